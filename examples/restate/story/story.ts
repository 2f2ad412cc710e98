// Refunds, and everything that may go wrong on the way: each part is killed while a person decides.

import { rmSync } from 'node:fs'
import { Parts } from './parts.js'
import type { Program } from './program.js'
import { STORIES } from './stories.js'

const task_inbox = process.env.TASK_INBOX
if (!task_inbox) throw new Error('TASK_INBOX is not set: it is the path of the program task-inbox')

let programs: Program[] = []
let folder = ''
// However the story ends, it leaves nothing behind.
process.on('exit', () => {
  for (const program of programs) program.abandon()
  if (folder) rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1))

const begun = Date.now()
const seconds = () => `${((Date.now() - begun) / 1000).toFixed(1)} s`.padStart(7)
try {
  const parts = await Parts.start(task_inbox, (started, where) => {
    programs = started
    folder = where
  })
  console.log(`${seconds()}  The inbox, Restate and the workflow service run.`)
  for (const [title, story] of STORIES) {
    console.log(`\n${title}`)
    await story(parts, (line) => console.log(`${seconds()}  ${line}`))
  }
  await parts.remove()
  console.log(`\nAll of it is true (${seconds().trim()}).`)
} catch (error) {
  for (const program of programs) console.error(await program.log())
  console.error(error)
  process.exitCode = 1
}
// Connections that are kept open would hold it up.
process.exit()
