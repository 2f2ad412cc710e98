// A real server on a database of its own, which tests kill and start again.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { TaskInbox, type TaskInboxOptions } from 'task-inbox'

const run = promisify(execFile)
const program = process.env.TASK_INBOX ?? ''

/** A port that nobody has, below those that connections come from: it is free again when a server was killed. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const probe = createServer()
    try {
      probe.listen(port, '127.0.0.1')
      await once(probe, 'listening')
      probe.close()
      await once(probe, 'close')
      return port
    } catch {
      // Somebody has it.
    }
  }
}

export class Server {
  readonly folder: string
  readonly port: number
  #process: ChildProcess | undefined

  private constructor(folder: string, port: number) {
    this.folder = folder
    this.port = port
  }

  /** Starts one that has the schema `shop`; `receiver` is where its webhooks go. */
  static async start(receiver = 'http://127.0.0.1:9'): Promise<Server> {
    const server = new Server(await mkdtemp(join(tmpdir(), 'task-inbox-')), await freePort())
    await server.serve()
    const schema = await readFile(new URL('../../shop.yml', import.meta.url), 'utf8')
    await writeFile(join(server.folder, 'shop.yml'), schema.replaceAll('RECEIVER', receiver))
    await server.run('taskschema', 'shop.yml')
    return server
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Starts it, where it was before if it was killed. */
  async serve(): Promise<void> {
    const child = spawn(program, ['--dev', 'serve'], {
      cwd: this.folder,
      env: { ...this.#environment, TASK_INBOX_LISTEN: `127.0.0.1:${this.port}` },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#process = child
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
    if (line !== `listening on ${this.url}`) throw new Error(line)
  }

  /** Ends it at once, as a power cut does. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** Lets it finish what it does. */
  async terminate(): Promise<void> {
    await this.#end('SIGTERM')
  }

  /** Ends it, and takes everything away. */
  async remove(): Promise<void> {
    await this.#end('SIGKILL')
    await rm(this.folder, { recursive: true })
  }

  /** Runs a command of the program on the database; gives what it prints. */
  async run(...args: string[]): Promise<any> {
    const { stdout } = await run(program, ['--dev', ...args, '--json'], { cwd: this.folder, env: this.#environment })
    return JSON.parse(stdout)
  }

  /** Changes the database as no call can. */
  async sql(statement: string): Promise<void> {
    await run('sqlite3', ['-cmd', '.timeout 5000', join(this.folder, 'inbox.db'), statement])
  }

  /** A new key that may post, read and decide. */
  async key(...options: string[]): Promise<string> {
    const may = ['write', 'read', 'resolve'].flatMap((what) => ['--permission', `tasks:${what}`])
    return (await this.run('api_key', '--name', 'shop', ...may, ...options)).key
  }

  /** A client with a new key. */
  async client(options: Partial<TaskInboxOptions> = {}): Promise<TaskInbox> {
    return new TaskInbox({ url: this.url, apiKey: await this.key(), ...options })
  }

  get #environment(): NodeJS.ProcessEnv {
    const { PATH, HOME } = process.env
    return { PATH, HOME, DATABASE_URL: `sqlite://${this.folder}/inbox.db`, TASK_INBOX_LOG: 'error' }
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    child.kill(signal)
    await once(child, 'exit')
  }
}

/** A refund to ask for. */
export function refund(order: string, cents = 500) {
  return { schema_name: 'shop', task: 'refund', meta: { order, cents } }
}

/** An offer, of which a customer has one at a time. */
export function offer(customer: string, cents: number) {
  return { schema_name: 'shop', task: 'offer', meta: { customer, cents } }
}
