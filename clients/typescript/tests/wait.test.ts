import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ProblemError, TaskInbox, WaitTimeoutError } from 'task-inbox'
import { Cable } from './cable.js'
import { Server, offer, refund } from './server.js'

let server: Server
let inbox: TaskInbox
let cable: Cable
/** A client whose connections can be cut. */
let far: TaskInbox

before(async () => {
  server = await Server.start()
  inbox = await server.client()
  cable = await Cable.to(server.port)
  // It is answered once, and needs no more to be patient.
  far = await server.client({ url: cable.url, retryFor: 0 })
})
after(async () => {
  await cable.remove()
  await server.remove()
})

const grant = { state: 'granted', output: { cents: 500 } }

/** Waits until a client waits for this task. */
function waits(id: string, times = 1): Promise<void> {
  return cable.sent(`GET /api/v1/tasks/${id}/wait?timeout=50s`, times)
}

test('a wait ends with the decision', async () => {
  const { task } = await inbox.post(refund('1'))
  const wait = far.wait(task.id)
  await waits(task.id)
  await inbox.decide(task.id, grant)
  const decided = await wait
  assert.deepEqual([decided.task.state, decided.task.output, decided.ttype], ['granted', { cents: 500 }, 'refund'])
  // Of a task that was decided before, too.
  assert.deepEqual(await far.wait(task.id), decided)
})

test('it ends with whatever ends the task, and says what that was', async () => {
  const { task } = await inbox.post(refund('withdrawn'))
  const wait = far.wait(task.id)
  await waits(task.id)
  await inbox.cancel(task.id)
  assert.deepEqual([(await wait).task.phase, (await wait).task.state], ['cancelled', null])

  const old = await inbox.post(offer('waits', 1))
  const other = far.wait(old.task.id)
  await waits(old.task.id)
  const { task: newer } = await inbox.post(offer('waits', 2))
  assert.deepEqual([(await other).task.phase, (await other).task.superseded_by], ['superseded', newer.id])

  const question = await inbox.post({ schema_name: 'shop', task: 'question' })
  assert.ok(question.task.expires_at)
  assert.equal((await far.wait(question.task.id, { timeout: 30 })).task.phase, 'expired')
  const asked = await inbox.post({ schema_name: 'shop', task: 'question' }, { wait: 30 })
  assert.equal(asked.task.phase, 'expired')
})

test('it survives a server that is killed and comes back', async () => {
  const { task } = await inbox.post(refund('2'))
  const wait = far.wait(task.id)
  await waits(task.id)
  await server.kill()
  await server.serve()
  await inbox.decide(task.id, grant)
  assert.equal((await wait).task.state, 'granted')
})

test('it survives a server that stops in order', async () => {
  const { task } = await inbox.post(refund('3'))
  const wait = far.wait(task.id)
  await waits(task.id)
  await server.terminate()
  await server.serve()
  await inbox.decide(task.id, grant)
  assert.equal((await wait).task.state, 'granted')
})

test('it survives connections that break, and misses no decision between them', async () => {
  const { task } = await inbox.post(refund('4'))
  const wait = far.wait(task.id)
  for (let times = 1; times <= 3; times++) {
    await waits(task.id, times)
    cable.cut()
  }
  await inbox.decide(task.id, grant)
  assert.equal((await wait).task.state, 'granted')
})

test('it ends in time, and tells the task', async () => {
  const { task } = await inbox.post(refund('5'))
  const begun = performance.now()
  await assert.rejects(inbox.wait(task.id, { timeout: 0.5 }), (error) => {
    assert.ok(error instanceof WaitTimeoutError)
    assert.equal(error.answer.task.id, task.id)
    return true
  })
  const spent = performance.now() - begun
  assert.ok(spent >= 500 && spent < 5000, `${spent} ms`)
  await assert.rejects(inbox.wait(task.id, { timeout: 0 }), WaitTimeoutError)
  await inbox.decide(task.id, grant)
  assert.equal((await inbox.wait(task.id, { timeout: 0 })).task.state, 'granted')
})

test('it ends with its signal', async () => {
  const { task } = await inbox.post(refund('6'))
  const stop = new AbortController()
  const wait = far.wait(task.id, { signal: stop.signal })
  await waits(task.id)
  const over = new Error('over')
  stop.abort(over)
  await assert.rejects(wait, (error) => error === over)
})

test('a task that is not there is not waited for, and one that goes meanwhile neither', async () => {
  await assert.rejects(
    inbox.wait('01a1fcff-1738-7249-afb1-3080e581513b'),
    (error) => error instanceof ProblemError && error.status === 404,
  )
  const key = await server.run('api_key', '--name', 'waits', '--permission', 'tasks:read')
  const { task } = await inbox.post(refund('7'))
  const reader = new TaskInbox({ url: cable.url, apiKey: key.key })
  const wait = reader.wait(task.id)
  await waits(task.id)
  await server.run('revoke_key', key.id)
  // The server hears of it within a second.
  const isRefused = (error: unknown) => error instanceof ProblemError && error.status === 403
  await assert.rejects(async () => {
    for (;;) await reader.get(task.id)
  }, isRefused)
  cable.cut()
  await assert.rejects(wait, isRefused)
})

test('a post waits', async () => {
  const open = await inbox.post(refund('8'), { wait: 0.2 })
  assert.equal(open.task.phase, 'open')

  // The connection breaks while it waits: the repetition gets the same task, and waits for it.
  const patient = await server.client({ url: cable.url })
  const post = patient.post(refund('9'), { wait: 30, idempotencyKey: 'order-9' })
  await cable.sent('POST /api/v1/tasks?wait=30s')
  for await (const { data } of inbox.subscribe({ type: 'task.created' })) {
    if (data.task?.meta?.order !== '9') continue
    cable.cut()
    await cable.sent('POST /api/v1/tasks?wait=', 2)
    await inbox.decide(data.task.id, grant)
    assert.deepEqual([(await post).task.id, (await post).task.state], [data.task.id, 'granted'])
    break
  }
})
