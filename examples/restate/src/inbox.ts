// The inbox as steps of a workflow see it: what another try may mend is tried again, and what it can't ends the workflow.

import { RetryableError, TerminalError } from '@restatedev/restate-sdk'
import { type PostTask, ProblemError, type Task, TaskInbox } from 'task-inbox'

/** Answers that the same request would get for ever: it is wrong, or another one has its `external_id`. */
const FINAL = [400, 409, 422]

export class Inbox {
  readonly #client: TaskInbox

  constructor(url: string, key: string) {
    // Restate repeats what fails, and shows it: two that repeat would only hide it.
    this.#client = new TaskInbox({ url, apiKey: key, retryFor: 0 })
  }

  /** Posts a task. With an `external_id`, it is there once, however often it is posted; the answer is how it stands. */
  async post(task: PostTask): Promise<Task> {
    return step(async () => (await this.#client.post(task)).task)
  }

  /** Reads a task; `undefined` if there is none any more. */
  async get(id: string): Promise<Task | undefined> {
    return step(async () => {
      try {
        return (await this.#client.get(id)).task
      } catch (error) {
        if (error instanceof ProblemError && error.status === 404) return undefined
        throw error
      }
    })
  }

  /** Withdraws a task, if it still waits. Whether or not it is known to be there, posting it again tells its id. */
  async withdraw(task: PostTask, reason: string): Promise<void> {
    try {
      const { id } = (await this.#client.post(task)).task
      await this.#client.cancel(id, { reason })
    } catch (error) {
      // It never was, it was decided meanwhile, or its schema is gone, and it with that.
      if (error instanceof ProblemError && [...FINAL, 404].includes(error.status)) return
      throw error
    }
  }
}

/** Does a step, and says of what went wrong whether it is to be done again. */
async function step<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error
    if (FINAL.includes(error.status)) throw new TerminalError(error.message, { errorCode: error.status })
    // A key that was revoked, a schema that is not installed yet: somebody will see to it.
    if (error.retryAfter === undefined) throw error
    throw RetryableError.from(error, { retryAfter: { seconds: error.retryAfter } })
  }
}
