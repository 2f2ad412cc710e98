// Programs that the story starts, kills and starts again.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** How long anything may take to happen, in milliseconds. */
export const PATIENCE = 30_000

export class Program {
  readonly #name: string
  readonly #folder: string
  readonly #command: string[]
  readonly #environment: NodeJS.ProcessEnv
  readonly #ready: RegExp | (() => Promise<boolean>)
  #process: ChildProcess | undefined

  /** It runs in `folder`, and writes its log there. A line of its output tells that it is ready, or `ready` finds out. */
  constructor(
    name: string,
    folder: string,
    command: string[],
    environment: NodeJS.ProcessEnv,
    ready: RegExp | (() => Promise<boolean>),
  ) {
    this.#name = name
    this.#folder = folder
    this.#command = command
    const { PATH, HOME } = process.env
    this.#environment = { PATH, HOME, ...environment }
    this.#ready = ready
  }

  /** Starts it, and waits until it is ready. `environment` is added to its own. */
  async start(environment: NodeJS.ProcessEnv = {}): Promise<void> {
    const [file, ...args] = this.#command
    const child = spawn(file!, args, {
      cwd: this.#folder,
      env: { ...this.#environment, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#process = child
    const log = createWriteStream(this.#log, { flags: 'a' })
    child.stdout.pipe(log)
    child.stderr.pipe(log)
    // What can't be started has no exit.
    child.on('error', (error) => log.write(`${error}\n`))
    let said = false
    const ready = this.#ready
    if (ready instanceof RegExp)
      createInterface({ input: child.stdout }).on('line', (line) => {
        said ||= ready.test(line)
      })
    await until(`${this.#name} is ready`, async () => {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null)
        throw new Error(`${this.#name} ended`)
      if (ready instanceof RegExp) return said || undefined
      return (await ready().catch(() => false)) || undefined
    })
  }

  /** Ends it at once, as a power cut does. */
  async kill(): Promise<void> {
    const child = this.#process
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  /** Ends it at once, where there is no time to wait. */
  abandon(): void {
    this.#process?.kill('SIGKILL')
  }

  /** The end of its log, for whoever looks for what went wrong. */
  async log(): Promise<string> {
    const text = await readFile(this.#log, 'utf8').catch(() => '')
    return `== ${this.#name}\n${text.split('\n').slice(-40).join('\n')}`
  }

  get #log(): string {
    return join(this.#folder, `${this.#name}.log`)
  }
}

/** Asks again and again, until there is an answer. */
export async function until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + PATIENCE
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    if (Date.now() > end) throw new Error(`waited ${PATIENCE / 1000} s in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** A port on loopback that nobody has, below those that connections come from: it is free again when a program was killed. */
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
