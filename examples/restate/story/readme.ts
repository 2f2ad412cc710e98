// Runs what the README says to do by hand, and compares what is printed with what it shows. The ports are others, so that it
// disturbs nobody who follows the README at the same time.

import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, copyFileSync, mkdirSync, mkdtempSync, openSync } from 'node:fs'
import { readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { PATIENCE, freePort, until } from './program.js'

const HERE = fileURLToPath(new URL('../../', import.meta.url))
const task_inbox = process.env.TASK_INBOX
if (!task_inbox) throw new Error('TASK_INBOX is not set: it is the path of the program task-inbox')

/** A block of the README: how it begins, and what it holds. */
interface Block {
  kind: string
  tag: string | undefined
  text: string
}

const readme = readFileSync(join(HERE, 'README.md'), 'utf8')
const part = readme.slice(readme.indexOf('\n## By hand'), readme.indexOf('\n## What survives what'))
const blocks: Block[] = [...part.matchAll(/^```(\w+) ?(.*)\n([^]*?)^```$/gm)].map(([, kind, tag, text]) => ({
  kind: kind!,
  tag: tag || undefined,
  text: text!,
}))

const folder = mkdtempSync(join(tmpdir(), 'task-inbox-readme-'))
const terminals = new Map<string, ChildProcess>()
process.on('exit', () => {
  for (const name of terminals.keys()) signal(name)
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
})
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => process.exit(1))

for (const name of ['package.json', 'refunds.yml', 'restate.toml']) copyFileSync(join(HERE, name), join(folder, name))
for (const name of ['node_modules', 'built']) symlinkSync(join(HERE, name), join(folder, name))
mkdirSync(join(folder, 'bin'))
symlinkSync(task_inbox, join(folder, 'bin/task-inbox'))
// What one block sets, the next one has: of the terminals together, which they can't tell.
const variables = join(folder, 'variables')
writeFileSync(variables, '')

const ports: Record<string, number> = {}
for (const usual of ['8080', '8090', '9070', '9080', '5122']) {
  do ports[usual] = await freePort()
  while (Object.values(ports).filter((port) => port === ports[usual]).length > 1)
}
const { PATH, HOME } = process.env
const env = {
  PATH: `${folder}/bin${delimiter}${PATH}`,
  HOME,
  TASK_INBOX_LISTEN: `127.0.0.1:${ports['8080']}`,
  INBOX_URL: `http://127.0.0.1:${ports['8080']}`,
  INGRESS_URL: `http://127.0.0.1:${ports['8090']}`,
  PORT: `${ports['9080']}`,
  RESTATE_INGRESS__BIND_PORT: `${ports['8090']}`,
  RESTATE_ADMIN__BIND_PORT: `${ports['9070']}`,
  RESTATE_BIND_PORT: `${ports['5122']}`,
}

/** A block as a script, with the ports of this run. */
function script(text: string): string {
  const here = text.replace(/(?<=127\.0\.0\.1:)\d+/g, (port) => `${ports[port]}`)
  return `set -eo pipefail; . ${variables}; trap 'declare -p TASK INBOX_KEY >${variables} 2>/dev/null || true' EXIT\n${here}`
}

/** Ends a terminal, with all that runs in it. */
function signal(name: string): void {
  const { pid, exitCode, signalCode } = terminals.get(name) ?? {}
  if (pid !== undefined && exitCode === null && signalCode === null) process.kill(-pid, 'SIGKILL')
}

/** Runs a block in a terminal of its own, until it is ready. */
async function open(name: string, text: string): Promise<void> {
  // The last line stays; what the others set is kept first.
  const lines = text.trimEnd().split('\n')
  const last = lines.pop()!
  if (lines.length > 0) await run(lines.join('\n'))
  const log = openSync(join(folder, `${name}.log`), 'a')
  const child = spawn('bash', ['-c', script(last)], { cwd: folder, env, detached: true, stdio: ['ignore', 'pipe', log] })
  closeSync(log)
  terminals.set(name, child)
  let ready = false
  createInterface({ input: child.stdout! }).on('line', (line) => (ready ||= line.startsWith('listening on')))
  const health = `http://127.0.0.1:${ports['9070']}/health`
  await until(`${name} is ready`, async () => {
    if (child.exitCode !== null) throw new Error(`${name} ended`)
    if (name === 'restate') ready = await fetch(health).then(({ ok }) => ok, () => false)
    return ready || undefined
  })
}

async function run(text: string): Promise<string> {
  return (await promisify(execFile)('bash', ['-c', script(text)], { cwd: folder, env, timeout: PATIENCE })).stdout
}

let printed = ''
try {
  for (const { kind, tag, text } of blocks) {
    const [key, name] = tag?.split('=') ?? []
    if (kind === 'text') {
      // What differs each time is shown as an ellipsis.
      const shown = text.split('…').map((piece) => piece.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      assert.match(printed, new RegExp(`^${shown.join('.*')}$`))
    } else if (key === 'terminal') {
      await open(name!, text)
    } else if (key === 'kills') {
      const ended = once(terminals.get(name!)!, 'exit')
      signal(name!)
      await ended
      printed = await run(text)
    } else if (key !== 'once') {
      // What is to be done once was done before: this runs what it built.
      printed = await run(text)
    }
  }
  assert.ok(blocks.length >= 10, `the README has ${blocks.length} blocks`)
  console.log(`The README's ${blocks.length} blocks are true.`)
} catch (error) {
  for (const name of terminals.keys()) console.error(`== ${name}\n${readFileSync(join(folder, `${name}.log`), 'utf8')}`)
  console.error(error)
  process.exitCode = 1
}
process.exit()
