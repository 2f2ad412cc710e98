// What happens to refunds. Each story says what it does, and fails where something else happens.

import assert from 'node:assert/strict'
import type { Parts } from './parts.js'

type Story = (parts: Parts, tell: (line: string) => void) => Promise<void>

/** A refund that needs a person. */
const large = (order: string) => ({ order, cents: 129_00, why: 'arrived broken' })

/** That money went out, and how much; and that a person was asked once. */
async function settled(parts: Parts, order: string, cents: number | undefined): Promise<void> {
  assert.equal(await parts.paid(order), cents, 'what was given back')
  assert.equal(await parts.questions(order), 1, 'how often a person was asked')
}

const small: Story = async (parts, tell) => {
  await parts.submit('order-1', { order: 'order-1', cents: 19_99, why: 'too small' })
  assert.deepEqual(await parts.outcome('order-1'), { outcome: 'refunded', cents: 1999, allowed_by: 'limit' })
  assert.equal(await parts.questions('order-1'), 0)
  tell('19.99 go back, and nobody is asked.')
}

const serviceDies: Story = async (parts, tell) => {
  const order = 'order-2'
  const invocation = await parts.submit(order, large(order))
  const { id } = await parts.question(order)
  tell(`129.00 are more than software may give back: task ${id} asks a person.`)
  await parts.status(invocation, 'suspended')
  tell('The workflow is suspended: it waits in Restate, and nothing of it runs.')
  await parts.service.kill()
  tell('The workflow service is killed.')
  await parts.run('decide', id, 'approved', '--output', '{"cents": 9900}')
  await parts.callback(id, 'delivered', ({ status }) => status === 'delivered')
  tell('A person approves 99.00. Restate has taken the decision, and nobody is there to act on it.')
  assert.equal(await parts.paid(order), undefined)
  await parts.service.start()
  tell('The workflow service is started again.')
  assert.deepEqual(await parts.outcome(order), { outcome: 'refunded', cents: 9900, allowed_by: 'person' })
  await settled(parts, order, 9900)
  tell('The workflow goes on by itself: 99.00 went back, once.')
}

const restateDies: Story = async (parts, tell) => {
  const order = 'order-3'
  await parts.submit(order, large(order))
  const { id } = await parts.question(order)
  await parts.restate.kill()
  tell(`Restate is killed, while task ${id} waits.`)
  await parts.run('decide', id, 'approved', '--output', '{"cents": 12900}')
  await parts.callback(id, 'tried', ({ attempts }) => attempts > 0)
  tell('A person approves all of it. The callback finds nobody, and will be tried again.')
  await parts.restate.start()
  tell('Restate is started again.')
  assert.deepEqual(await parts.outcome(order), { outcome: 'refunded', cents: 12900, allowed_by: 'person' })
  await settled(parts, order, 12900)
  const { attempts } = await parts.callback(id, 'delivered', ({ status }) => status === 'delivered')
  assert.ok(attempts > 1, `it took ${attempts} attempts`)
  tell(`The callback was taken at attempt ${attempts}, and 129.00 went back.`)
}

const inboxDies: Story = async (parts, tell) => {
  const order = 'order-4'
  await parts.inbox.kill()
  const invocation = await parts.submit(order, large(order))
  await parts.status(invocation, 'backing-off')
  tell('The inbox is down, so that the workflow can ask nobody. Restate tries again.')
  await parts.inbox.start()
  const { id } = await parts.question(order)
  tell(`The inbox is started: task ${id} asks.`)
  await parts.inbox.kill()
  await parts.inbox.start()
  tell('The inbox is killed, and started again: the task is there.')
  await parts.run('decide', id, 'rejected', '--reason', 'the photo shows another parcel')
  assert.deepEqual(await parts.outcome(order), { outcome: 'rejected', reason: 'the photo shows another parcel' })
  await settled(parts, order, undefined)
  tell('A person rejects it, and says why. Nothing went back, and the workflow is over.')
}

const answerIsLost: Story = async (parts, tell) => {
  const order = 'order-5'
  const lost = parts.way.lose()
  const invocation = await parts.submit(order, large(order))
  await lost
  const { id } = await parts.question(order)
  tell(`The workflow asks, but never hears that task ${id} is there.`)
  await parts.run('decide', id, 'approved', '--output', '{"cents": 5000}')
  await parts.callback(id, 'delivered', ({ status }) => status === 'delivered')
  tell('A person decides. The decision is there before the workflow knows that it has asked.')
  await parts.service.kill()
  parts.way.mend()
  await parts.service.start()
  tell('The workflow service is killed, and started again: it asks once more.')
  assert.deepEqual(await parts.outcome(order), { outcome: 'refunded', cents: 5000, allowed_by: 'person' })
  await settled(parts, order, 5000)
  await parts.status(invocation, 'completed')
  tell('It is one task all the same, and 50.00 went back.')
}

const withdrawn: Story = async (parts, tell) => {
  const order = 'order-6'
  await parts.submit(order, large(order))
  const { id } = await parts.question(order)
  await parts.run('amend', id, '--meta', '{"why": "arrived broken, and the customer called"}')
  tell('The sender adds what the customer said. That ends no question, and calls nobody back.')
  await parts.run('cancel', id, '--reason', 'the customer keeps it')
  assert.deepEqual(await parts.outcome(order), { outcome: 'withdrawn', reason: 'the customer keeps it' })
  await settled(parts, order, undefined)
  tell('The sender withdraws it: the workflow hears of that, too, and is over.')
}

const twice: Story = async (parts, tell) => {
  const order = 'order-7'
  await parts.submit(order, large(order))
  const question = await parts.question(order)
  await parts.run('decide', question.id, 'approved', '--output', '{"cents": 100}')
  const delivery = await parts.callback(question.id, 'delivered', ({ status }) => status === 'delivered')
  const first = await parts.outcome(order)
  assert.deepEqual(first, { outcome: 'refunded', cents: 100, allowed_by: 'person' })
  const { delivery: resent } = await parts.run('deliveries', 'resend', delivery.id)
  await parts.callback(question.id, 'delivered again', ({ id, status }) => id === resent.id && status === 'delivered')
  assert.deepEqual(await parts.outcome(order), first)
  await settled(parts, order, 100)
  tell('The callback comes twice, the second time when the workflow is over: it is taken, and changes nothing.')
}

const tooMuch: Story = async (parts, tell) => {
  const order = 'order-8'
  await parts.submit(order, large(order))
  const { id } = await parts.question(order)
  await parts.run('decide', id, 'approved', '--output', '{"cents": 1290000}')
  await assert.rejects(parts.outcome(order), /1290000 cents were approved, and 12900 paid/)
  await settled(parts, order, undefined)
  tell('A slip of the finger approves 12,900.00. The workflow fails, and nothing goes back.')
}

const forged: Story = async (parts, tell) => {
  for (const [order, body] of [['order-9', '{"type": "task.state_changed", "data": {}}'], ['order-9-too', 'hello']] as const) {
    await parts.submit(order, large(order))
    const { id, callback_url } = await parts.question(order)
    await parts.forge(callback_url, body)
    await assert.rejects(parts.outcome(order), /this is no decision/)
    const { task } = await parts.client.wait(id, { timeout: 10 })
    assert.equal(task.phase, 'cancelled')
    await settled(parts, order, undefined)
  }
  tell('The workflow fails, and the question goes out of the inbox.')
}

const again: Story = async (parts, tell) => {
  const order = 'order-10'
  const invocation = await parts.submit(order, large(order))
  const { id } = await parts.question(order)
  await parts.run('decide', id, 'approved', '--output', '{"cents": 700}')
  const first = await parts.outcome(order)
  await parts.administer(invocation, 'purge')
  await parts.submit(order, large(order))
  assert.deepEqual(await parts.outcome(order), first)
  await settled(parts, order, 700)
  tell('Nobody is asked again: it ends as before, and 7.00 went back once.')
}

const powerCut: Story = async (parts, tell) => {
  const [early, late] = ['order-11', 'order-12']
  await parts.submit(early, large(early))
  await parts.submit(late, large(late))
  const first = await parts.question(early)
  const second = await parts.question(late)
  await parts.service.kill()
  await parts.run('decide', first.id, 'approved', '--output', '{"cents": 8000}')
  await parts.callback(first.id, 'delivered', ({ status }) => status === 'delivered')
  await parts.restate.kill()
  await parts.run('decide', second.id, 'approved', '--output', '{"cents": 9000}')
  await parts.callback(second.id, 'tried', ({ attempts }) => attempts > 0)
  await parts.inbox.kill()
  tell('A person approves 80.00, and Restate takes it; 90.00, and nobody does. By then, all three are killed.')
  await Promise.all([parts.inbox.start(), parts.restate.start(), parts.service.start()])
  for (const [order, cents] of [[early, 8000], [late, 9000]] as const) {
    assert.deepEqual(await parts.outcome(order), { outcome: 'refunded', cents, allowed_by: 'person' })
    await settled(parts, order, cents)
  }
  tell('All three are started, and both went back.')
}

const cancelled: Story = async (parts, tell) => {
  const order = 'order-13'
  const invocation = await parts.submit(order, large(order))
  const { id } = await parts.question(order)
  await parts.administer(invocation, 'cancel')
  await assert.rejects(parts.outcome(order), /cancel/i)
  const { task } = await parts.client.wait(id, { timeout: 10 })
  assert.equal(task.phase, 'cancelled')
  await settled(parts, order, undefined)
  tell('An operator cancels the workflow: the question goes out of the inbox.')
}

const noCallback: Story = async (parts, tell) => {
  const [paused, removed, last] = ['order-14', 'order-15', 'order-16']
  await parts.service.kill()
  await parts.service.start({ LOOK_EVERY: '1' })
  await parts.submit(paused, large(paused))
  const { id } = await parts.question(paused)
  const { endpoints } = await parts.run('endpoints', '--origin', 'callback')
  await parts.run('endpoints', 'pause', endpoints[0].id)
  await parts.run('decide', id, 'approved', '--output', '{"cents": 300}')
  assert.deepEqual(await parts.outcome(paused), { outcome: 'refunded', cents: 300, allowed_by: 'person' })
  await settled(parts, paused, 300)
  await parts.callback(id, 'pending', ({ status }) => status === 'pending')
  tell('Somebody paused the callbacks. The workflow looks from time to time, and found that 3.00 were approved.')
  await parts.submit(removed, large(removed))
  await parts.question(removed)
  await parts.run('rmschema', 'refunds', '--yes')
  assert.deepEqual(await parts.outcome(removed), { outcome: 'withdrawn', reason: 'the task is gone' })
  assert.equal(await parts.paid(removed), undefined)
  tell('Somebody removed the schema with all its tasks. The workflow found that, too, and is over.')
  const invocation = await parts.submit(last, large(last))
  await parts.status(invocation, 'backing-off')
  await parts.administer(invocation, 'cancel')
  await assert.rejects(parts.outcome(last), /cancel/i)
  tell('The next one can ask nobody, and is cancelled: there is nothing to withdraw, and it is over as well.')
}

export const STORIES: [string, Story][] = [
  ['A small refund', small],
  ['The workflow service dies, and a person decides meanwhile', serviceDies],
  ['Restate dies, and a person decides meanwhile', restateDies],
  ['The inbox dies before the question, and between question and decision', inboxDies],
  ['The answer is lost, and the decision is faster than the workflow', answerIsLost],
  ['The task is amended, and withdrawn', withdrawn],
  ['The callback comes twice', twice],
  ['More is approved than was paid', tooMuch],
  ['Something else posts to the callback', forged],
  ['Restate has forgotten a refund, and it is started once more', again],
  ['The power is cut', powerCut],
  ['The workflow is cancelled', cancelled],
  ['Nobody calls back', noCallback],
]
