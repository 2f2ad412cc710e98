// Runs the programs that the README shows.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { type TestContext, after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { TaskInbox } from 'task-inbox'
import { Server, freePort, refund } from './server.js'

let server: Server
let inbox: TaskInbox
let env: NodeJS.ProcessEnv
/** Where the README's receiver listens. */
let port: number

before(async () => {
  port = await freePort()
  server = await Server.start(`http://127.0.0.1:${port}`)
  inbox = await server.client()
  const secret = (await server.run('webhook_key', 'shop')).key
  const { PATH } = process.env
  env = { PATH, INBOX_URL: server.url, INBOX_KEY: await server.key(), WEBHOOK_SECRETS: secret, PORT: String(port) }
})
after(() => server.remove())

class Program {
  readonly #lines: AsyncIterator<string>
  readonly exit: Promise<unknown[]>

  constructor(t: TestContext, name: string, ...args: string[]) {
    const path = fileURLToPath(new URL(`readme/${name}.js`, import.meta.url))
    const child = spawn(process.execPath, [path, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] })
    this.exit = once(child, 'exit')
    t.after(() => child.kill('SIGKILL'))
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  }

  async line(): Promise<string> {
    const { value, done } = await this.#lines.next()
    return done ? assert.fail('it printed no more') : value
  }
}

test('all of them, as one story', async (t) => {
  const receive = new Program(t, 'receive')
  assert.equal(await receive.line(), 'ready')
  const follow = new Program(t, 'follow')
  const post = new Program(t, 'post')
  const id = /^asked: (.*)$/.exec(await post.line())?.[1] ?? ''
  assert.match(await receive.line(), /^evt_\S+ task\.created$/)

  const decide = new Program(t, 'decide', id)
  assert.equal(await decide.line(), 'granted')
  assert.equal(await post.line(), 'granted: {"cents":1500}')
  assert.match(await receive.line(), /^evt_\S+ task\.state_changed$/)
  assert.equal(await follow.line(), 'task.state_changed: order-4711 is granted')
  assert.deepEqual(await Promise.all([post.exit, decide.exit]), [
    [0, null],
    [0, null],
  ])
})

test('a decision that is too late', async (t) => {
  const { task } = await inbox.post(refund('4712'))
  await inbox.decide(task.id, { state: 'granted', output: { cents: 1500 } })
  const late = new Program(t, 'decide', task.id)
  assert.equal(await late.line(), 'too late: granted, by shop')
})

test('a webhook from somebody else', async (t) => {
  const receive = new Program(t, 'receive')
  assert.equal(await receive.line(), 'ready')
  assert.equal((await fetch(`http://127.0.0.1:${port}`, { method: 'POST', body: '{}' })).status, 401)
  assert.equal(await receive.line(), 'webhook-id is missing')
})

test('a log whose beginning is gone', async (t) => {
  const { value } = await inbox.subscribe().next()
  await server.sql('UPDATE log_head SET floor_seq = 2')
  const follow = new Program(t, 'follow', value?.data.cursor ?? '')
  assert.match(await follow.line(), /^what comes next is gone; the log begins at \S+$/)
})
