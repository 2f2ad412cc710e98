// Where the money goes: a folder with a file for each refund. A payment provider stands here in earnest; what it needs is the
// same, a name for the refund by which it knows a second attempt.

import { link, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Gives money back, once for each `id`. */
export async function pay(ledger: string, id: string, cents: number): Promise<void> {
  await mkdir(ledger, { recursive: true })
  const name = encodeURIComponent(id)
  const draft = join(ledger, `.${name}.${process.pid}`)
  await writeFile(draft, `${JSON.stringify({ id, cents })}\n`)
  try {
    // Unlike a rename, this fails if there is one.
    await link(draft, join(ledger, `${name}.json`))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(draft)
  }
}
