// How a workflow asks a person. This is the part to take along; nothing of it is about refunds.

import { CancelledError, type Context, TerminalError, TimeoutError, serde } from '@restatedev/restate-sdk'
import type { Phase, PostTask, Task } from 'task-inbox'
import type { Inbox } from './inbox.js'

/** What became of a question. */
export interface Answer {
  /** How it ended: `resolved` is a decision, and nothing else is; `gone` is a task that is not there any more. */
  phase: Exclude<Phase, 'open'> | 'gone'
  /** The state that was chosen. Of what nobody decided, it means nothing. */
  state: string | null
  /** What goes with the decision, as the task type's `output` says; null if that says nothing for this state. */
  output: unknown
  /** Why. */
  reason: string | null
}

/** Where to ask, and where the answer comes in. */
export interface Desk {
  inbox: Inbox
  /** Restate's ingress, as the inbox reaches it. */
  ingress: string
  /** After how many seconds without an answer to look for one in the inbox. */
  lookEvery: number
}

/** A task that is posted under a name of its own, so that asking twice is asking once. */
export type Question = PostTask & { external_id: string }

const GONE: Answer = { phase: 'gone', state: null, output: null, reason: 'the task is gone' }

/** How a question stands. */
interface Standing {
  /** The task's id. */
  id: string
  /** Null while it is open. */
  answer: Answer | null
}

/**
 * Asks, and waits for as long as it takes. While it waits nothing runs: the workflow is suspended, and Restate starts it
 * again when the inbox calls back.
 *
 * The task's type must send nothing but what ends the question: see `refunds.yml`.
 */
export async function ask(ctx: Context, desk: Desk, question: Question): Promise<Answer> {
  // As bytes: what is no JSON would be read again and again, and never get through.
  const { id, promise } = ctx.awakeable(serde.binary)
  const task = { ...question, callback_url: new URL(`/restate/awakeables/${id}/resolve`, desk.ingress).href }
  let asked = false
  let called = false
  try {
    let now = await ctx.run('ask', async () => standing(await desk.inbox.post(task)))
    asked = true
    for (;;) {
      // At first, too: it may have been posted and decided before this run of the workflow heard of it.
      if (now.answer) return now.answer
      if (called) {
        await ctx.sleep({ seconds: desk.lookEvery })
      } else {
        try {
          const answer = checked(await promise.orTimeout({ seconds: desk.lookEvery }))
          if (answer) return answer
          // It was moved, and waits on. The promise has been kept, so that from now on only a look tells.
          called = true
        } catch (error) {
          if (!(error instanceof TimeoutError)) throw error
        }
      }
      // Callbacks that fail for two days are given up, and a removed schema sends none.
      const { id } = now
      now = await ctx.run('look', async () => {
        const task = await desk.inbox.get(id)
        return task ? standing(task) : { id, answer: GONE }
      })
    }
  } catch (error) {
    // What was cancelled, or can't go on, waits no more, and nobody should be asked for nothing.
    if (error instanceof CancelledError || (error instanceof TerminalError && asked))
      await ctx.run('withdraw', () => desk.inbox.withdraw(task, 'the workflow does not wait any more'))
    throw error
  }
}

function standing({ id, phase, state, output }: Task): Standing {
  return { id, answer: phase === 'open' ? null : { phase, state, output: output ?? null, reason: null } }
}

/** What the awakeable was resolved with: `hook_body: output`, or something that is not the inbox's. Null: it waits on. */
function checked(body: Uint8Array): Answer | null {
  let value: Partial<Omit<Answer, 'phase'> & { phase: Phase }> | null = null
  try {
    value = JSON.parse(new TextDecoder().decode(body))
  } catch {
    // It is no decision either.
  }
  const { phase, state, output, reason } = value ?? {}
  if (phase === undefined || state === undefined || output === undefined || reason === undefined)
    throw new TerminalError('this is no decision: has the schema hook_body: output?')
  return phase === 'open' ? null : { phase, state, output, reason }
}
