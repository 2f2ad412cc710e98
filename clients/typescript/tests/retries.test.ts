import assert from 'node:assert/strict'
import { type TestContext, after, before, test } from 'node:test'
import { type Decided, ProblemError, type Retry, TaskInbox, UnreachableError } from 'task-inbox'
import { Cable } from './cable.js'
import { Server, refund } from './server.js'

let server: Server
let apiKey: string

before(async () => {
  server = await Server.start()
  apiKey = await server.key()
})
after(() => server.remove())

async function cableFor(t: TestContext): Promise<Cable> {
  const cable = await Cable.to(server.port)
  t.after(() => cable.remove())
  return cable
}

/** How many tasks were posted about an order. */
async function posted(order: string): Promise<number> {
  const events = new TaskInbox({ url: server.url, apiKey }).subscribe({ type: 'task.created' })
  const { task: last } = await new TaskInbox({ url: server.url, apiKey }).post(refund('the last'))
  let count = 0
  for await (const { data } of events) {
    if (data.task?.meta?.order === order) count += 1
    if (data.task?.id === last.id) return count
  }
  return assert.fail('the log has no end')
}

test('a post whose answer was lost is repeated, and makes one task', async (t) => {
  const cable = await cableFor(t)
  // The first two connections break before the answer's first byte, the third in the middle of it.
  const lasts = [0, 0, 40]
  cable.lasts = () => lasts.shift() ?? Infinity
  const retries: Retry[] = []
  const inbox = new TaskInbox({ url: cable.url, apiKey, onRetry: (retry) => retries.push(retry) })
  const { task } = await inbox.post(refund('lost'))
  assert.equal(task.meta?.order, 'lost')
  assert.deepEqual(
    retries.map(({ failures }) => failures),
    [1, 2, 3],
  )
  assert.ok(retries.every(({ error }) => error instanceof UnreachableError))
  assert.equal(cable.count('"order":"lost"'), 4)
  assert.equal(await posted('lost'), 1)

  // Decisions, and what the sender does, too.
  const { task: other } = await inbox.post(refund('changed'))
  const calls: [(inbox: TaskInbox) => Promise<Decided>, number][] = [
    [(far) => far.decide(task.id, { state: 'granted', output: { cents: 1 } }, { version: 1 }), 2],
    [(far) => far.amend(other.id, { cents: 1 }), 2],
    [(far) => far.cancel(other.id, { version: 2 }), 3],
  ]
  for (const [call, version] of calls) {
    const far = await cableFor(t)
    far.lasts = cable.lasts
    lasts.push(0)
    const failed = retries.length
    const caller = new TaskInbox({ url: far.url, apiKey, onRetry: (retry) => retries.push(retry) })
    assert.deepEqual([(await call(caller)).task.version, retries.length - failed], [version, 1])
  }
})

test('whoever is over a rate comes back when told', async () => {
  const slow = await server.key('--rate', '2/s')
  const retries: Retry[] = []
  const inbox = new TaskInbox({ url: server.url, apiKey: slow, onRetry: (retry) => retries.push(retry) })
  const answers = await Promise.all(Array.from({ length: 5 }, () => inbox.post(refund('rate'))))
  assert.equal(new Set(answers.map(({ task }) => task.id)).size, 5)
  assert.ok(retries.length > 0)
  for (const { error, delay } of retries) {
    assert.ok(error instanceof ProblemError && error.status === 429)
    assert.ok(delay >= (error.retryAfter ?? Infinity))
  }
  const hasty = new TaskInbox({ url: server.url, apiKey: slow, retryFor: 0 })
  const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => hasty.post(refund('rate'))))
  const refused = outcomes.find(({ status }) => status === 'rejected') as PromiseRejectedResult
  assert.ok(refused.reason instanceof ProblemError)
  assert.deepEqual([refused.reason.status, refused.reason.type], [429, '/problems/too-many-requests'])
})

/** Begins or ends maintenance over the API: the server knows at once. */
async function maintenance(method: 'PUT' | 'DELETE', body?: object, query = ''): Promise<void> {
  const { key } = await server.run('api_key', '--name', 'operator', '--permission', 'maintenance:write')
  const headers = { 'api-key': key, 'content-type': 'application/json' }
  const url = `${server.url}/api/v1/maintenance${query}`
  const response = await fetch(url, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) })
  assert.ok(response.ok, await response.text())
}

test('a post outlives maintenance that is short, and hears the message of one that is long', async () => {
  await maintenance('PUT', { schema: 'shop', retry_after: '1s' })
  let post: Promise<unknown> | undefined
  const { error, delay } = await new Promise<Retry>((onRetry) => {
    post = new TaskInbox({ url: server.url, apiKey, onRetry }).post(refund('maintained'))
  })
  assert.ok(error instanceof ProblemError && error.status === 503 && delay >= 1)
  await maintenance('DELETE', undefined, '?schema=shop')
  await post

  const inbox = new TaskInbox({ url: server.url, apiKey })
  await maintenance('PUT', { message: 'Back at 14:00 UTC.', retry_after: '10m' })
  // Ten minutes are more than the one for which it would try: it doesn't.
  const begun = performance.now()
  await assert.rejects(inbox.post(refund('never')), (error) => {
    assert.ok(error instanceof ProblemError)
    assert.deepEqual([error.status, error.retryAfter], [503, 600])
    assert.match(error.detail, /Back at 14:00 UTC\./)
    return true
  })
  assert.ok(performance.now() - begun < 30_000)
  await maintenance('DELETE')
  assert.equal(await posted('maintained'), 1)
  assert.equal(await posted('never'), 0)
})

test('a proxy that does not reach the inbox is tried again', async (t) => {
  const cable = await cableFor(t)
  cable.answer =
    'HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 25\r\nconnection: close\r\n\r\n<h1>502 Bad Gateway</h1>\r\n'
  const retries: Retry[] = []
  const onRetry = (retry: Retry) => {
    if (retries.push(retry) === 2) cable.answer = undefined
  }
  const { task } = await new TaskInbox({ url: cable.url, apiKey, onRetry }).post(refund('proxied'))
  assert.equal(task.meta?.order, 'proxied')
  const { error } = retries[0]!
  assert.ok(error instanceof ProblemError)
  assert.deepEqual([error.status, error.type, error.detail], [502, 'about:blank', '<h1>502 Bad Gateway</h1>'])
  assert.equal(await posted('proxied'), 1)

  // Where a redirect leads, the key does not go.
  const elsewhere = await cableFor(t)
  elsewhere.answer = `HTTP/1.1 307 Temporary Redirect\r\nlocation: ${server.url}/api/v1/tasks\r\ncontent-length: 0\r\n\r\n`
  const redirected = new TaskInbox({ url: elsewhere.url, apiKey })
  await assert.rejects(
    redirected.post(refund('redirected')),
    (error) => error instanceof ProblemError && error.status === 307,
  )
  assert.equal(await posted('redirected'), 0)
})

test('a server that is gone is waited for, and not for ever', async () => {
  const retries: Retry[] = []
  let heard = () => {}
  const inbox = new TaskInbox({
    url: server.url,
    apiKey,
    onRetry: (retry) => {
      retries.push(retry)
      heard()
    },
  })
  await server.kill()
  const post = inbox.post(refund('outage'))
  while (retries.length < 4) await new Promise<void>((resolve) => (heard = resolve))
  const impatient = new TaskInbox({ url: server.url, apiKey, retryFor: 0.5 })
  const begun = performance.now()
  await assert.rejects(impatient.post(refund('too late')), UnreachableError)
  assert.ok(performance.now() - begun >= 500)
  await server.serve()
  assert.equal((await post).task.meta?.order, 'outage')
  assert.deepEqual(
    retries.map(({ failures }) => failures),
    retries.map((_, i) => i + 1),
  )
  assert.equal(await posted('outage'), 1)
})

test('an aborted call ends at once, also between two attempts', async (t) => {
  const over = new Error('the customer left')
  await assert.rejects(
    new TaskInbox({ url: server.url, apiKey }).post(refund('1'), { signal: AbortSignal.abort(over) }),
    (error) => error === over,
  )
  const cable = await cableFor(t)
  cable.lasts = () => 0
  const stop = new AbortController()
  const inbox = new TaskInbox({ url: cable.url, apiKey, onRetry: () => stop.abort(over) })
  await assert.rejects(inbox.post(refund('1'), { signal: stop.signal }), (error) => error === over)
})
