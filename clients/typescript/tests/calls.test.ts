import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ConflictError, ProblemError, type Task, TaskInbox, UnexpectedAnswerError, UnreachableError } from 'task-inbox'
import { Server, offer, refund } from './server.js'

let server: Server
let inbox: TaskInbox

before(async () => {
  server = await Server.start()
  inbox = await server.client()
})
after(() => server.remove())

/** What a call throws, which must be of this class. */
async function thrown<E extends Error>(kind: new (...args: any[]) => E, call: Promise<unknown>): Promise<E> {
  const error = await call.then(
    () => assert.fail('it went well'),
    (error: unknown) => error,
  )
  assert.ok(error instanceof kind, String(error))
  return error
}

test('a task is posted, read and decided', async () => {
  const posted = await inbox.post({ ...refund('4711', 1999), external_id: 'order-4711' })
  assert.equal(posted.ttype, 'refund')
  const task: Task = posted.task
  assert.deepEqual([task.phase, task.state, task.version], ['open', null, 1])
  assert.deepEqual(await inbox.get(task.id), posted)

  const decision = { state: 'granted', output: { cents: 1500 }, reason: 'broken', on_behalf_of: 'the night shift' }
  const decided = await inbox.decide(task.id, decision, { version: 1 })
  assert.deepEqual(
    [decided.task.state, decided.task.phase, decided.task.output],
    ['granted', 'resolved', { cents: 1500 }],
  )
  // The answer was lost, say.
  assert.equal((await inbox.decide(task.id, decision, { version: 1 })).task.version, 2)
  const again = await inbox.post({ ...refund('4711', 1999), external_id: 'order-4711' })
  assert.deepEqual([again.task.id, again.task.state], [task.id, 'granted'])
})

test('an idempotency key names one task, and no second one', async () => {
  const [first, second] = await Promise.all(
    [1, 2].map(() => inbox.post(refund('4712'), { idempotencyKey: 'refund-4712' })),
  )
  assert.equal(first?.task.id, second?.task.id)
  const other = await thrown(ConflictError, inbox.post(refund('4713'), { idempotencyKey: 'refund-4712' }))
  assert.equal(other.status, 409)
  // Without one, two posts are two tasks.
  const [third, fourth] = await Promise.all([inbox.post(refund('4714')), inbox.post(refund('4714'))])
  assert.notEqual(third.task.id, fourth.task.id)
})

test('what is wrong with a body is told by pointers', async () => {
  const body = { schema_name: 'shop', task: 'refund', meta: { order: 4714 } }
  const error = await thrown(ProblemError, inbox.post(body))
  assert.deepEqual([error.status, error.type], [422, '/problems/invalid'])
  assert.deepEqual(error.errors.map(({ pointer }) => pointer).sort(), ['/meta', '/meta/order'])
  assert.match(error.message, /\/meta\/order: /)
  // @ts-expect-error: the type says so, too.
  const unknown = await thrown(ProblemError, inbox.post({ ...refund('1'), colour: 'red' }))
  assert.deepEqual([unknown.status, unknown.errors[0]?.pointer], [422, '/colour'])
})

test('whoever decides too late hears what was decided', async () => {
  const { task } = await inbox.post(refund('4715'))
  const first = await server.client()
  await first.decide(task.id, { state: 'granted', output: { cents: 500 } }, { version: 1 })
  const late = await thrown(
    ConflictError,
    inbox.decide(task.id, { state: 'refused', reason: 'too old' }, { version: 1 }),
  )
  assert.equal(late.status, 412)
  assert.deepEqual([late.current?.state, late.decidedBy?.name, late.current?.version], ['granted', 'shop', 2])
  assert.equal(late.decidedAt, late.current?.updated)
  const never = await thrown(ConflictError, inbox.decide(task.id, { state: 'refused', reason: 'too old' }))
  assert.deepEqual([never.status, never.allowedTransitions, never.guard], [409, [null], undefined])
})

test('the sender changes what waits, and whoever decides on what it said before hears what is another now', async () => {
  const { task } = await inbox.post(refund('4718'))
  const amended = await inbox.amend(
    task.id,
    { cents: 400, note: 'one came back' },
    { reason: 'half of it', version: 1, onBehalfOf: 'the night shift' },
  )
  assert.deepEqual(
    [amended.task.version, amended.task.phase, amended.task.meta],
    [2, 'open', { order: '4718', cents: 400, note: 'one came back' }],
  )
  const late = await thrown(
    ConflictError,
    inbox.decide(task.id, { state: 'granted', output: { cents: 500 } }, { version: 1 }),
  )
  assert.deepEqual([late.status, late.current], [412, amended.task])
  assert.deepEqual(late.changes, [
    { pointer: '/meta/cents', from: 500, to: 400 },
    { pointer: '/meta/note', to: 'one came back' },
  ])
  const other = await thrown(ConflictError, inbox.amend(task.id, { cents: 300 }, { version: 1 }))
  assert.deepEqual([other.status, other.changes.length], [412, 2])
  // Null takes away; nothing that the type doesn't allow is taken.
  assert.deepEqual((await inbox.amend(task.id, { note: null })).task.meta, { order: '4718', cents: 400 })
  assert.equal((await thrown(ProblemError, inbox.amend(task.id, { cents: null }))).errors[0]?.pointer, '/meta')
  for await (const { type, data } of inbox.subscribe({ task: task.id, type: 'task.amended' })) {
    assert.deepEqual([type, data.reason, data.actor?.on_behalf_of], ['task.amended', 'half of it', 'the night shift'])
    break
  }
})

test('the sender withdraws what waits, and nothing else', async () => {
  const { task } = await inbox.post(refund('4719'))
  assert.equal((await thrown(ConflictError, inbox.cancel(task.id, { version: 7 }))).status, 412)
  const cancelled = await inbox.cancel(task.id, { reason: 'the customer keeps it', version: 1 })
  assert.deepEqual([cancelled.task.phase, cancelled.task.version], ['cancelled', 2])
  assert.deepEqual((await inbox.cancel(task.id)).task, cancelled.task)
  const calls = [
    () => inbox.amend(task.id, { cents: 1 }),
    () => inbox.decide(task.id, { state: 'refused', reason: 'no' }),
  ]
  for (const call of calls) {
    const { status, current } = await thrown(ConflictError, call())
    assert.deepEqual([status, current?.phase], [409, 'cancelled'])
  }
  const decided = await inbox.post(refund('4720'))
  await inbox.decide(decided.task.id, { state: 'granted', output: { cents: 500 } })
  const late = await thrown(ConflictError, inbox.cancel(decided.task.id))
  assert.deepEqual([late.status, late.current?.state, late.decidedBy?.name], [409, 'granted', 'shop'])
})

test('a newer task takes the place of the one that waits, and a decision is bound to what was seen', async () => {
  const { task: first } = await inbox.post(offer('c-1', 500))
  assert.deepEqual([first.merge_key, (await inbox.post(offer('c-1', 500))).task.id], ['c-1', first.id])
  const { task } = await inbox.post(offer('c-1', 700))
  assert.deepEqual([task.supersedes, task.binding?.paths], [first.id, ['/meta/cents']])
  const { task: old } = await inbox.get(first.id)
  assert.deepEqual([old.phase, old.superseded_by], ['superseded', task.id])
  // A type that has none takes one all the same.
  const one = await inbox.post({ ...refund('1'), merge_key: 'k' })
  const two = await inbox.post({ ...refund('2'), merge_key: 'k' })
  assert.equal(two.task.supersedes, one.task.id)

  const blind = await thrown(ProblemError, inbox.decide(task.id, { state: 'accepted' }))
  assert.deepEqual([blind.status, blind.type], [428, '/problems/precondition-required'])
  assert.match(blind.detail, /If-Match/)
  await inbox.decide(task.id, { state: 'accepted' }, { version: task.version })
  for await (const { data } of inbox.subscribe({ task: task.id, type: 'task.state_changed' })) {
    assert.deepEqual(data.bound, { version: 1, ...task.binding })
    break
  }
})

test('a wrong key, a key without a permission, and a task that is not there', async () => {
  const apiKey = 'ti_wrong'
  assert.equal((await thrown(ProblemError, new TaskInbox({ url: server.url, apiKey }).post(refund('1')))).status, 403)
  const reader = (await server.run('api_key', '--name', 'reader', '--permission', 'tasks:read')).key
  const refused = await thrown(ProblemError, new TaskInbox({ url: server.url, apiKey: reader }).post(refund('1')))
  assert.match(refused.detail, /tasks:write/)
  const missing = await thrown(ProblemError, inbox.get('01a1fcff-1738-7249-afb1-3080e581513b'))
  assert.deepEqual([missing.status, missing.retryAfter], [404, undefined])
})

test('any text comes back as it was sent', async () => {
  const meta = {
    order: '\u2028 \u2029 \r\n \u0085 \ufeff 🦊 "\\ \u007f ',
    cents: 1,
    ['\u2028']: { deep: [null, 1.5, -0.1] },
  }
  const { task } = await inbox.post({ schema_name: 'shop', task: 'refund', meta, external_id: 'Bestellung 🦊' })
  assert.deepEqual((await inbox.get(task.id)).task.meta, meta)
})

test('a body that is too large is a problem, and one that just fits is none', async () => {
  const note = (length: number) => ({ schema_name: 'shop', task: 'note', meta: { text: 'x'.repeat(length) } })
  const { task } = await inbox.post(note(255 * 1024))
  assert.equal((task.meta?.text as string).length, 255 * 1024)
  assert.equal((await thrown(ProblemError, inbox.post(note(257 * 1024)))).status, 422)
  assert.equal((await thrown(ProblemError, inbox.post(note(2 * 1024 * 1024)))).status, 413)
})

test('what is given wrongly is a type error, and nothing is sent', async () => {
  const url = server.url
  assert.throws(() => new TaskInbox({ url: 'inbox.example', apiKey: 'k' }), TypeError)
  assert.throws(() => new TaskInbox({ url: 'ftp://inbox.example', apiKey: 'k' }), TypeError)
  assert.throws(() => new TaskInbox({ url, apiKey: '' }), TypeError)
  assert.throws(() => new TaskInbox({ url, apiKey: 'a\nb' }), TypeError)
  assert.throws(() => new TaskInbox({ url, apiKey: 'k', retryFor: NaN }), TypeError)
  for (const id of ['', '..', '../../..', '01a1fcff', 'x/y', undefined as unknown as string]) {
    await thrown(TypeError, inbox.get(id))
    await thrown(TypeError, inbox.wait(id))
    await thrown(TypeError, inbox.decide(id, { state: 'granted' }))
    await thrown(TypeError, inbox.amend(id, {}))
    await thrown(TypeError, inbox.cancel(id))
  }
  const wrong = '1' as unknown as number
  await thrown(
    TypeError,
    inbox.decide('01a1fcff-1738-7249-afb1-3080e581513b', { state: 'granted' }, { version: wrong }),
  )
  await thrown(TypeError, inbox.post(refund('1'), { idempotencyKey: 'with a blank' }))
  await thrown(TypeError, inbox.post(refund('1'), { wait: -1 }))
  await thrown(TypeError, inbox.wait('01a1fcff-1738-7249-afb1-3080e581513b', { timeout: NaN }))
  await thrown(TypeError, inbox.post({ ...refund('1'), meta: { big: 1n } }))
})

test('an address below a path, with a slash at the end', async () => {
  const apiKey = await server.key()
  const { task } = await inbox.post(refund('4716'))
  const slashed = new TaskInbox({ url: `${server.url}/`, apiKey })
  assert.equal((await slashed.get(task.id)).task.id, task.id)
  // Nothing is there: the path was kept.
  const below = new TaskInbox({ url: new URL('/inbox/', server.url), apiKey })
  assert.equal((await thrown(ProblemError, below.get(task.id))).problem.instance, `/inbox/api/v1/tasks/${task.id}`)
})

test('the fetch that is given is used', async () => {
  const asked: string[] = []
  const counting: typeof fetch = (input, init) => {
    asked.push(`${init?.method} ${String(input).slice(server.url.length)}`)
    return fetch(input, init)
  }
  const { task } = await (await server.client({ fetch: counting })).post(refund('4717'))
  assert.deepEqual(asked, ['POST /api/v1/tasks'])
  assert.ok(task.id)
})

test('what is no inbox is told from one', async () => {
  const page: typeof fetch = (_, init) => fetch(`${server.url}/docs`, init?.signal ? { signal: init.signal } : {})
  const elsewhere = await server.client({ fetch: page })
  assert.match((await thrown(UnexpectedAnswerError, elsewhere.post(refund('1')))).message, /text\/html/)
  await thrown(UnexpectedAnswerError, elsewhere.subscribe().next())
  const nobody = await server.client({ url: 'http://127.0.0.1:9', retryFor: 0 })
  assert.match((await thrown(UnreachableError, nobody.post(refund('1')))).message, /ECONNREFUSED|bad port/)
})
