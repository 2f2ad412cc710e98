// The three parts, on ports and in a folder of their own, and what the story does and asks there.

import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { arch, platform, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Ingress, Opts, connect } from '@restatedev/restate-sdk-clients'
import { type Task, TaskInbox } from 'task-inbox'
import type { RefundOutcome, RefundRequest, RefundWorkflow } from '../src/refund.js'
import { PATIENCE, Program, freePort, until } from './program.js'
import { Way } from './way.js'

const execute = promisify(execFile)
/** The example's folder. */
const HERE = fileURLToPath(new URL('../../', import.meta.url))

/** What was posted, as `task-inbox deliveries` shows it. */
export interface Delivery {
  id: string
  status: string
  attempts: number
}

export class Parts {
  readonly inbox: Program
  readonly restate: Program
  readonly service: Program
  readonly way: Way
  readonly client: TaskInbox
  readonly #folder: string
  readonly #program: string
  readonly #ports: Ports
  readonly #key: string
  readonly #ingress: Ingress

  /** Starts all of them, and makes them known to each other. `program` is the path of `task-inbox`. */
  static async start(program: string, started: (parts: Program[], folder: string) => void): Promise<Parts> {
    const folder = await mkdtemp(join(tmpdir(), 'task-inbox-restate-'))
    const ports: Ports = { inbox: 0, ingress: 0, admin: 0, fabric: 0, service: 0, way: 0 }
    for (const name of Object.keys(ports) as (keyof Ports)[]) {
      do ports[name] = await freePort()
      while (Object.values(ports).filter((port) => port === ports[name]).length > 1)
    }
    const database = { DATABASE_URL: `sqlite://${folder}/inbox.db`, TASK_INBOX_LOG: 'warn' }
    const inbox = new Program(
      'inbox',
      folder,
      [program, 'serve', '--dev'],
      { ...database, TASK_INBOX_LISTEN: `127.0.0.1:${ports.inbox}` },
      /^listening on/,
    )
    const restate = new Program(
      'restate',
      folder,
      [restateServer(), '--no-logo', '--config-file', join(HERE, 'restate.toml')],
      {
        RESTATE_BASE_DIR: join(folder, 'restate-data'),
        RESTATE_BIND_PORT: `${ports.fabric}`,
        RESTATE_INGRESS__BIND_PORT: `${ports.ingress}`,
        RESTATE_ADMIN__BIND_PORT: `${ports.admin}`,
      },
      async () => (await answers(ports.admin, '/health')) && (await answers(ports.ingress, '/restate/health')),
    )
    started([inbox, restate], folder)
    await Promise.all([inbox.start(), restate.start()])

    const set = async (...args: string[]) => {
      const { stdout } = await execute(program, ['--dev', ...args, '--json'], { cwd: folder, env: database })
      return JSON.parse(stdout)
    }
    await set('taskschema', join(HERE, 'refunds.yml'))
    await set('webhook_key', 'refunds')
    const may = (...permissions: string[]) => permissions.flatMap((permission) => ['--permission', permission])
    const own = await set('api_key', '--name', 'refund-workflow', ...may('tasks:read', 'tasks:write'))
    const people = ['tasks:read', 'tasks:write', 'tasks:resolve', 'endpoints:read', 'endpoints:write', 'schemas:write']
    const { key } = await set('api_key', '--name', 'people', ...may(...people))

    const way = await Way.open(ports.way, ports.inbox)
    const service = new Program(
      'service',
      folder,
      [process.execPath, join(HERE, 'built/src/service.js')],
      {
        INBOX_URL: `http://127.0.0.1:${ports.way}`,
        INBOX_KEY: own.key,
        INGRESS_URL: `http://127.0.0.1:${ports.ingress}`,
        LEDGER: join(folder, 'ledger'),
        PORT: `${ports.service}`,
        LOOK_EVERY: '3600',
      },
      /^listening on/,
    )
    started([inbox, restate, service], folder)
    await service.start()
    const registered = await fetch(`http://127.0.0.1:${ports.admin}/deployments`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ uri: `http://127.0.0.1:${ports.service}` }),
    })
    if (!registered.ok) throw new Error(await registered.text())
    return new Parts({ inbox, restate, service, way }, folder, program, ports, key)
  }

  private constructor(
    { inbox, restate, service, way }: Pick<Parts, 'inbox' | 'restate' | 'service' | 'way'>,
    folder: string,
    program: string,
    ports: Ports,
    key: string,
  ) {
    this.inbox = inbox
    this.restate = restate
    this.service = service
    this.way = way
    this.#folder = folder
    this.#program = program
    this.#ports = ports
    this.#key = key
    this.client = new TaskInbox({ url: this.#url, apiKey: key })
    this.#ingress = connect({ url: `http://127.0.0.1:${ports.ingress}` })
  }

  /** Ends everything, and takes it away. */
  async remove(): Promise<void> {
    this.way.close()
    await Promise.all([this.inbox, this.restate, this.service].map((part) => part.kill()))
    await rm(this.#folder, { recursive: true })
  }

  /** Starts a refund. */
  async submit(id: string, request: RefundRequest): Promise<string> {
    return (await this.#workflow(id).workflowSubmit(request)).invocationId
  }

  /** Waits for a refund's end. */
  async outcome(id: string): Promise<RefundOutcome> {
    return this.#workflow(id).workflowAttach(Opts.from({ timeout: PATIENCE }))
  }

  /** Waits until a refund's question is in the inbox. */
  async question(id: string): Promise<Task> {
    const filter = { schema: 'refunds', type: 'task.created', signal: AbortSignal.timeout(PATIENCE) } as const
    for await (const { data } of this.client.subscribe(filter)) {
      if (data.task?.external_id === id) return (await this.client.get(data.task.id)).task
    }
    throw new Error('the log ended')
  }

  /** How many tasks have ever been made for a refund. */
  async questions(id: string): Promise<number> {
    const answer = await fetch(`${this.#url}/api/v1/events?schema=refunds&type=task.created&limit=100`, {
      headers: { 'api-key': this.#key },
    })
    if (!answer.ok) throw new Error(await answer.text())
    const { events } = (await answer.json()) as { events: { data: { task: Task } }[] }
    return events.filter(({ data }) => data.task.external_id === id).length
  }

  /** Runs `task-inbox` as somebody at a terminal does; gives what it prints. */
  async run(...args: string[]): Promise<any> {
    const { stdout } = await execute(this.#program, [...args, '--server', this.#url, '--json'], {
      cwd: this.#folder,
      env: { TASK_INBOX_API_KEY: this.#key },
    })
    return JSON.parse(stdout)
  }

  /** Waits until the callback of a task is as it is asked for. */
  async callback(task: string, what: string, fits: (delivery: Delivery) => boolean): Promise<Delivery> {
    return until(`the callback is ${what}`, async () => {
      const { deliveries } = (await this.run('deliveries', '--task', task)) as { deliveries: Delivery[] }
      return deliveries.find(fits)
    })
  }

  /** Waits until Restate says that an invocation is in this status. */
  async status(invocation: string, status: string): Promise<void> {
    await until(`${invocation} is ${status}`, async () => {
      const answer = await fetch(`http://127.0.0.1:${this.#ports.admin}/query`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json' },
        body: JSON.stringify({ query: `SELECT status FROM sys_invocation WHERE id = '${invocation}'` }),
      })
      const { rows } = (await answer.json()) as { rows: { status: string }[] }
      return rows[0]?.status === status || undefined
    })
  }

  /** Asks something of Restate's admin API about an invocation. */
  async administer(invocation: string, action: string): Promise<void> {
    const answer = await fetch(`http://127.0.0.1:${this.#ports.admin}/invocations/${invocation}/${action}`, {
      method: 'PATCH',
    })
    if (!answer.ok) throw new Error(await answer.text())
  }

  /** Posts something to a callback's address that is not the inbox's. */
  async forge(callback: string | null, body: string): Promise<void> {
    const answer = await fetch(callback ?? '', { method: 'POST', body })
    if (!answer.ok) throw new Error(await answer.text())
  }

  /** What was given back for a refund; `undefined` if nothing was. */
  async paid(id: string): Promise<number | undefined> {
    const text = await readFile(join(this.#folder, 'ledger', `${id}.json`), 'utf8').catch(() => undefined)
    return text === undefined ? undefined : (JSON.parse(text).cents as number)
  }

  get #url(): string {
    return `http://127.0.0.1:${this.#ports.inbox}`
  }

  #workflow(id: string) {
    return this.#ingress.workflowClient<RefundWorkflow>({ name: 'refund' }, id)
  }
}

interface Ports {
  inbox: number
  ingress: number
  admin: number
  /** Restate's own, between its nodes. */
  fabric: number
  service: number
  way: number
}

async function answers(port: number, path: string): Promise<boolean> {
  return (await fetch(`http://127.0.0.1:${port}${path}`)).ok
}

/** Restate's program itself, and not the script that starts it: killing that would leave it alive. */
function restateServer(): string {
  const resolve = createRequire(import.meta.url).resolve
  return resolve(`@restatedev/restate-server-${platform()}-${arch()}/bin/restate-server`)
}
