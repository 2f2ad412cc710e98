import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { after, before, test } from 'node:test'
import { ConflictError, type TaskInbox, type WebhookError, type WebhookEvent, verifyWebhook } from 'task-inbox'
import { Receiver } from './receiver.js'
import { Server, refund } from './server.js'

let receiver: Receiver
let server: Server
let inbox: TaskInbox
let secret: string

before(async () => {
  receiver = await Receiver.start()
  server = await Server.start(receiver.url)
  inbox = await server.client()
  secret = (await server.run('webhook_key', 'shop')).key
  receiver.secrets = secret
})
after(async () => {
  await server.remove()
  await receiver.remove()
})

function about(id: string, type: WebhookEvent['type'] = 'task.created') {
  return (event: WebhookEvent) => event.type === type && 'task' in event.data && event.data.task?.id === id
}

test('a webhook of the server is verified, and says what the log says', async () => {
  const { task } = await inbox.post(refund('\u2028 🦊'))
  const { event, headers, body } = await receiver.of(about(task.id))
  assert.ok(event.type === 'task.created')
  assert.equal(headers['webhook-id'], `evt_${event.data.event_id}`)
  const logged = await inbox.subscribe({ task: task.id }).next()
  assert.deepEqual(event, logged.value)

  // As Fetch API has it, and as text.
  const fetched = new Headers(
    Object.entries(headers).map(([name, value]): [string, string] => [name.toUpperCase(), String(value)]),
  )
  assert.deepEqual(await verifyWebhook(new Uint8Array(body).buffer, fetched, secret), event)
  assert.deepEqual(await verifyWebhook(body.toString(), headers, [secret]), event)

  // Anything else is refused.
  const changed = Buffer.from(body)
  changed[body.length - 2]! ^= 1
  await refused('signature', changed, headers, secret)
  await refused('signature', JSON.stringify(event, null, 1), headers, secret)
  await refused('signature', body, { ...headers, 'webhook-id': 'evt_other' }, secret)
  await refused('signature', body, headers, `whsec_${'A'.repeat(32)}`)
})

test('while a key is rotated, either verifies', async () => {
  const { key: next } = await server.run('webhook_key', 'shop', '--rotate', '--overlap', '1h')
  for (const secrets of [secret, next, [next, secret], [`whsec_${'A'.repeat(32)}`, next]]) {
    receiver.secrets = secrets
    const { task } = await inbox.post(refund('rotated'))
    const { headers } = await receiver.of(about(task.id))
    assert.equal(String(headers['webhook-signature']).split(' ').length, 2)
  }
  assert.deepEqual(receiver.refused, [])

  // The old one ends, and proves nothing any more.
  const { webhook_keys: keys } = await server.run('webhook_keys', 'shop')
  const old = keys.find((key: { expires: string | null }) => key.expires !== null)
  await server.run('revoke_webhook_key', old.id)
  receiver.secrets = secret
  for (;;) {
    // The server hears of it within a second.
    const { task } = await inbox.post(refund('revoked'))
    const taken = receiver.of(about(task.id)).then(() => undefined)
    const refusal = await Promise.race([receiver.refusal(), taken])
    if (!refusal) continue
    assert.equal(refusal.reason, 'signature')
    break
  }
  receiver.secrets = secret = next
  receiver.refused = []
})

test('a guard asks, and its reason reaches who decides', async () => {
  const { task } = await inbox.post({ schema_name: 'shop', task: 'payout', meta: { cents: 500 } })
  receiver.verdict = { allow: false, reason: 'only 400 cents were paid' }
  const refusal = await inbox.decide(task.id, { state: 'paid', reason: 'please' }).catch((error: unknown) => error)
  assert.ok(refusal instanceof ConflictError)
  assert.deepEqual([refusal.status, refusal.guard], [409, { reason: 'only 400 cents were paid' }])
  const { event } = await receiver.of(about(task.id, 'task.guard'))
  assert.ok(event.type === 'task.guard')
  const { allowed_transitions: _, ...shown } = task
  assert.deepEqual(event.data.task, shown)
  const { ttype, transition, actor, reason, output } = event.data
  assert.deepEqual(
    [ttype, transition, actor.name, reason, output],
    ['payout', { from: null, to: 'paid' }, 'shop', 'please', null],
  )
  receiver.verdict = { allow: true }
  assert.equal((await inbox.decide(task.id, { state: 'paid' })).task.state, 'paid')
  const paid = await receiver.of(about(task.id, 'task.state_changed'))
  assert.ok(paid.event.type === 'task.state_changed')
  assert.equal(paid.event.data.guard, 'allowed')
})

test('a test of an endpoint is told from an event', async () => {
  const { endpoints } = await server.run('endpoints')
  const apiKey = (await server.run('api_key', '--name', 'tester', '--permission', 'endpoints:write')).key
  const [{ id }] = endpoints
  await fetch(`${server.url}/api/v1/endpoints/${id}/test`, { method: 'POST', headers: { 'api-key': apiKey } })
  const { event } = await receiver.of(({ type }) => type === 'endpoint.test')
  assert.ok(event.type === 'endpoint.test')
  assert.equal(event.data.endpoint_id, id)
  assert.equal(typeof event.data.message, 'string')
})

// The vector published with the Standard Webhooks specification.
const VECTOR = {
  secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  body: '{"test": 2432232314}',
  headers: {
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  },
}

async function refused(
  reason: WebhookError['reason'],
  ...args: Parameters<typeof verifyWebhook>
): Promise<WebhookError> {
  const error = await verifyWebhook(...args).then(
    () => assert.fail('it was taken'),
    (error: WebhookError) => error,
  )
  assert.deepEqual([error.name, error.reason], ['WebhookError', reason])
  return error
}

/** A webhook with a good signature, sent so many seconds ago. */
function signed(age: number, body: string | Buffer = '{"type":"task.created","data":{}}', timestamp?: string) {
  const sent = timestamp ?? String(Math.floor(Date.now() / 1000) - age)
  const mac = createHmac('sha256', Buffer.from(VECTOR.secret.slice(6), 'base64'))
  mac.update(`evt_1.${sent}.`).update(body)
  const signature = `v1,${mac.digest('base64')}`
  return [
    body,
    { 'webhook-id': 'evt_1', 'webhook-timestamp': sent, 'webhook-signature': signature },
    VECTOR.secret,
  ] as const
}

test('the published vector: its signature is right, it is of 2021, and no event', async () => {
  const { secret, body, headers } = VECTOR
  assert.match((await refused('stale', body, headers, secret)).message, /s behind this clock, 300 s are allowed/)
  await refused('body', body, headers, secret, { toleranceSeconds: Infinity })
  const signatures = ['', 'v1', 'v1,', 'v1a,', 'v2,', '%'].map((other) => `${other} `).join('')
  const many = { ...headers, 'webhook-signature': `${signatures}${headers['webhook-signature']} v1,AAAA` }
  await refused('stale', body, many, secret)
  for (const wrong of [
    'v1,',
    'v1',
    headers['webhook-signature'].slice(3),
    headers['webhook-signature'].replace('v1', 'v1a'),
  ]) {
    await refused('signature', body, { ...headers, 'webhook-signature': wrong }, secret)
  }
})

test('five minutes both ways, or as many seconds as are said', async () => {
  for (const age of [0, 298, -298]) assert.equal((await verifyWebhook(...signed(age))).type, 'task.created')
  await refused('stale', ...signed(303))
  assert.match((await refused('stale', ...signed(-303))).message, /ahead of this clock/)
  await refused('stale', ...signed(63), { toleranceSeconds: 60 })
  assert.equal((await verifyWebhook(...signed(303), { toleranceSeconds: 600 })).type, 'task.created')
  for (const timestamp of ['soon', '-1', '1e3', ' 1', '١', '9'.repeat(16)]) {
    await refused('timestamp', ...signed(0, undefined, timestamp))
  }
})

test('what is genuine and no event is told so', async () => {
  for (const body of [
    '',
    '{',
    '[]',
    'null',
    '{"task":{},"ttype":"refund"}',
    Buffer.from('{"type":"\xff","data":1}', 'latin1'),
  ]) {
    await refused('body', ...signed(0, body))
  }
})

test('headers that are missing, and such as came twice', async () => {
  const [body, headers, secret] = signed(0)
  for (const name of Object.keys(headers)) {
    const { message } = await refused('header', body, { ...headers, [name]: undefined }, secret)
    assert.equal(message, `${name} is missing`)
    await refused('header', body, { ...headers, [name]: ['a', 'b'] }, secret)
  }
  await refused('header', body, {}, secret)
  assert.ok(await verifyWebhook(body, { ...headers, 'webhook-id': ['evt_1'] }, secret))
})

test('what is no secret, and what is no longer raw', async () => {
  const [body, headers, secret] = signed(0)
  for (const wrong of [
    '',
    secret.slice(6),
    'whsec_%',
    'whsec_AAAA',
    `whsec_${'A'.repeat(88)}`,
    undefined as unknown as string,
  ]) {
    await assert.rejects(verifyWebhook(body, headers, wrong), TypeError, wrong)
    await assert.rejects(verifyWebhook(body, headers, [secret, wrong]), TypeError, wrong)
  }
  await assert.rejects(verifyWebhook(body, headers, []), TypeError)
  await assert.rejects(verifyWebhook(JSON.parse(body as string), headers, secret), /before it is parsed/)
  await assert.rejects(verifyWebhook(body, headers, secret, { toleranceSeconds: NaN }), TypeError)
})
