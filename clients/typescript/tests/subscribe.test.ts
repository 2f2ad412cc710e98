import assert from 'node:assert/strict'
import { type TestContext, after, before, test } from 'node:test'
import { type Event, GoneError, ProblemError, type Subscription, TaskInbox } from 'task-inbox'
import { Cable } from './cable.js'
import { Server, refund } from './server.js'

let server: Server
let apiKey: string
let inbox: TaskInbox

before(async () => {
  server = await Server.start()
  apiKey = await server.key()
  inbox = new TaskInbox({ url: server.url, apiKey })
})
after(() => server.remove())

async function cableFor(t: TestContext): Promise<Cable> {
  const cable = await Cable.to(server.port)
  t.after(() => cable.remove())
  return cable
}

async function next(events: Subscription): Promise<Event> {
  const { value, done } = await events.next()
  return done ? assert.fail('it ended') : value
}

/** The log's end. */
async function end(): Promise<string> {
  const { task } = await inbox.post(refund('the end'))
  const { data } = await next(inbox.subscribe({ task: task.id }))
  return data.cursor
}

/** Waits until a subscription is no longer where it was: it has begun. */
async function moved(events: Subscription, from: string): Promise<void> {
  while (events.cursor === from) await new Promise(setImmediate)
}

test('the log from its beginning, and each event as it happens', async () => {
  const events = inbox.subscribe()
  const first = await next(events)
  assert.deepEqual([first.type, first.data.schema, first.data.seq], ['schema.version_created', 'shop', 1])
  assert.equal(events.cursor, first.data.cursor)

  const { task, ttype } = await inbox.post(refund('1'))
  const created = await next(events)
  const { allowed_transitions: _, ...shown } = task
  assert.deepEqual([created.type, created.data.task, created.data.ttype], ['task.created', shown, ttype])
  await inbox.decide(task.id, { state: 'granted', output: { cents: 500 }, reason: 'broken' })
  const { type, data } = await next(events)
  assert.deepEqual(
    [type, data.task?.state, data.previous_state, data.output, data.reason, data.actor?.name],
    ['task.state_changed', 'granted', null, { cents: 500 }, 'broken', 'shop'],
  )
  // Leaving it frees the connection.
  assert.deepEqual(await events.return(), { value: undefined, done: true })
  assert.deepEqual(await events.next(), { value: undefined, done: true })
})

test('another process goes on behind a cursor, and filters combine', async () => {
  const after = await end()
  const tasks = []
  for (const order of ['a', 'b', 'c']) tasks.push((await inbox.post(refund(order))).task)
  await inbox.post({ schema_name: 'shop', task: 'note' })
  for (const { id } of tasks) await inbox.decide(id, { state: 'granted', output: { cents: 1 } })

  const first = await next(inbox.subscribe({ after }))
  const second = await next(inbox.subscribe({ after: first.data.cursor }))
  assert.deepEqual(
    [first, second].map(({ data }) => data.task?.meta?.order),
    ['a', 'b'],
  )

  const only = inbox.subscribe({
    after,
    schema: 'shop',
    ttype: 'refund',
    type: 'task.state_changed',
    task: tasks[2]!.id,
  })
  assert.equal((await next(only)).data.task?.id, tasks[2]!.id)
  const latest = inbox.subscribe({ after: 'latest' })
  const coming = next(latest)
  // It has begun once it knows where it is.
  await moved(latest, 'latest')
  const { task } = await inbox.post(refund('d'))
  assert.equal((await coming).data.task?.id, task.id)
  await Promise.all([only.return(), latest.return()])
})

test('what a filter leaves out moves the position, and is not read again', async (t) => {
  const cable = await cableFor(t)
  const after = await end()
  const { task } = await inbox.post(refund('left out'))
  const events = new TaskInbox({ url: cable.url, apiKey }).subscribe({ after, type: 'task.state_changed' })
  const coming = next(events)
  await moved(events, after)
  cable.cut()
  await cable.sent(`after=${events.cursor}`)
  await inbox.decide(task.id, { state: 'granted', output: { cents: 1 } })
  assert.equal((await coming).data.task?.id, task.id)
  await events.return()
})

test('connections that break at random lose and repeat nothing', async (t) => {
  const POSTS = 300
  const cable = await cableFor(t)
  let breaks = 0
  cable.lasts = () => {
    breaks += 1
    return Math.floor(Math.random() * 60_000)
  }
  const after = await end()
  const events = new TaskInbox({ url: cable.url, apiKey }).subscribe({ after, type: 'task.created' })
  const write = async () => {
    for (let n = 0; n < POSTS; n += 10) {
      const some = Array.from({ length: 10 }, (_, i) =>
        inbox.post({ ...refund(`${n + i}`), external_id: `break-${n + i}` }),
      )
      await Promise.all(some)
    }
  }
  const read = async () => {
    const seen: Event[] = []
    while (seen.length < POSTS) seen.push(await next(events))
    return seen
  }
  const [, seen] = await Promise.all([write(), read()])
  await events.return()
  const seqs = seen.map(({ data }) => data.seq)
  assert.deepEqual(
    seqs,
    [...new Set(seqs)].sort((a, b) => a - b),
    'in order, and none twice',
  )
  assert.equal(new Set(seen.map(({ data }) => data.task?.external_id)).size, POSTS)
  assert.ok(breaks > 3, `${breaks} connections`)
})

test('a server that is killed again and again', async () => {
  const ROUNDS = 3
  const after = await end()
  const patient = new TaskInbox({ url: server.url, apiKey })
  // It is answered once, and needs no more to be patient.
  const events = new TaskInbox({ url: server.url, apiKey, retryFor: 0 }).subscribe({ after, type: 'task.created' })
  for (let round = 0; round < ROUNDS; round++) {
    const coming = [next(events), next(events)]
    const first = await inbox.post(refund(`before ${round}`))
    await server.kill()
    const second = patient.post(refund(`after ${round}`))
    await server.serve()
    const seen = await Promise.all(coming)
    assert.deepEqual(
      seen.map(({ data }) => data.task?.id),
      [first.task.id, (await second).task.id],
    )
  }
  await events.return()
})

test('a signal ends it while it waits, and between two connections', async (t) => {
  const over = new Error('over')
  const stop = new AbortController()
  const events = inbox.subscribe({ after: 'latest', signal: stop.signal })
  const coming = events.next()
  await moved(events, 'latest')
  stop.abort(over)
  await assert.rejects(coming, (error) => error === over)
  assert.deepEqual(await events.next(), { value: undefined, done: true })

  const cable = await cableFor(t)
  cable.lasts = () => 0
  const again = new AbortController()
  const far = new TaskInbox({ url: cable.url, apiKey, onRetry: () => again.abort(over) })
  await assert.rejects(far.subscribe({ signal: again.signal }).next(), (error) => error === over)
  await assert.rejects(inbox.subscribe({ signal: AbortSignal.abort(over) }).next(), (error) => error === over)
})

test('any text arrives as it was sent', async () => {
  const after = await end()
  const order = '\u2028 \u2029 \r\n\n data: id: \u0085 \ufeff 🦊'
  await inbox.post(refund(order))
  assert.equal((await next(inbox.subscribe({ after }))).data.task?.meta?.order, order)
  // A large event that arrives in many pieces, one of which ends within a character.
  const text = '🦊\u2028'.repeat(30_000)
  await inbox.post({ schema_name: 'shop', task: 'note', meta: { text } })
  assert.equal((await next(inbox.subscribe({ after, ttype: 'note' }))).data.task?.meta?.text, text)
  // A document that was sent on several lines stands so in the log.
  await fetch(`${server.url}/api/v1/tasks`, {
    method: 'POST',
    headers: { 'api-key': apiKey, 'content-type': 'application/json' },
    body: '{"schema_name": "shop", "task": "refund", "meta": {\r\n\r\n"order":\r"lines",\n"cents": 7}}',
  })
  let seen: Event
  const events = inbox.subscribe({ after })
  do seen = await next(events)
  while (seen.data.task?.meta?.cents !== 7)
  assert.equal(seen.data.task.meta.order, 'lines')
  await events.return()
})

test('a key that ends, and what cannot be read, are told', async () => {
  const { id, key } = await server.run('api_key', '--name', 'reader', '--permission', 'tasks:read')
  const reader = new TaskInbox({ url: server.url, apiKey: key })
  const events = reader.subscribe({ after: 'latest' })
  const coming = events.next()
  await moved(events, 'latest')
  await server.run('revoke_key', id)
  await assert.rejects(coming, (error) => error instanceof ProblemError && error.status === 403)
  const wrong = inbox.subscribe({ after: 'nonsense' })
  await assert.rejects(wrong.next(), (error) => error instanceof ProblemError && error.status === 400)
})

test('below the floor of the log there is nothing, and the error says where there is', async () => {
  const after = await end()
  await inbox.post(refund('kept'))
  await server.sql(`UPDATE log_head SET floor_seq = (SELECT max(seq) - 1 FROM events)`)
  const gone = await inbox
    .subscribe()
    .next()
    .catch((error: unknown) => error)
  assert.ok(gone instanceof GoneError)
  assert.deepEqual([gone.status, gone.cursor, gone.floor > 1], [410, after, true])
  assert.equal((await next(inbox.subscribe({ after: gone.cursor }))).data.task?.meta?.order, 'kept')
})
