// What goes wrong, by what the caller can do about it. An aborted signal's reason is thrown as it is, and what was
// given wrongly is a TypeError.

import type {
  Actor,
  ChangeSince,
  ConflictProblem,
  GoneProblem,
  GuardRefusal,
  Invalid,
  Problem,
  Task,
  TaskAnswer,
} from './types.js'

/** Everything that this package throws of its own. */
export class InboxError extends Error {
  override name = 'InboxError'
}

/** The inbox could not be reached, or the connection broke. `cause` says how. */
export class UnreachableError extends InboxError {
  override name = 'UnreachableError'
}

/** What answered is not a task-inbox, or something stands between that changes its answers. */
export class UnexpectedAnswerError extends InboxError {
  override name = 'UnexpectedAnswerError'
}

/** The inbox, or a proxy before it, refused. */
export class ProblemError extends InboxError {
  override name = 'ProblemError'

  /** The whole document (RFC 9457). Of an answer without one, its type is `about:blank`. */
  readonly problem: Problem
  /** Seconds after which the request may be sent again, if the answer said so. */
  readonly retryAfter: number | undefined

  constructor(problem: Problem, retryAfter?: number) {
    super(`${problem.status} ${problem.title}: ${problem.detail}${listed(problem.errors)}`)
    this.problem = problem
    this.retryAfter = retryAfter
  }

  /** The status code. */
  get status(): number {
    return this.problem.status
  }

  /** The kind of problem, such as `/problems/invalid`. */
  get type(): string {
    return this.problem.type
  }

  /** The kind in words. */
  get title(): string {
    return this.problem.title
  }

  /** What is wrong this time. */
  get detail(): string {
    return this.problem.detail
  }

  /** Everything that is wrong with the body, each with its JSON pointer. */
  get errors(): Invalid[] {
    return this.problem.errors ?? []
  }
}

/** 409 or 412: the task, or what was posted before, is otherwise than the request thought. */
export class ConflictError extends ProblemError {
  override name = 'ConflictError'
  declare readonly problem: ConflictProblem

  /** The task as it stands, where one is concerned. */
  get current(): Task | undefined {
    return this.problem.current ?? undefined
  }

  /** Who made its last transition. */
  get decidedBy(): Actor | undefined {
    return this.problem.decided_by ?? undefined
  }

  /** When that was. */
  get decidedAt(): string | undefined {
    return this.problem.decided_at ?? undefined
  }

  /** The states that it can go to from here; null is unset. */
  get allowedTransitions(): (string | null)[] {
    return this.problem.allowed_transitions ?? []
  }

  /**
   * 412: what is another now than in the version that was named, each with its JSON pointer into the task. Empty if
   * nothing is known of that version.
   */
  get changes(): ChangeSince[] {
    return this.problem.changes ?? []
  }

  /** What the type's guard said, where it was the guard that refused. */
  get guard(): GuardRefusal | undefined {
    return this.problem.guard ?? undefined
  }
}

/** 410: the log no longer has what comes after the cursor. Those events are gone: read what is there now, and go on. */
export class GoneError extends ProblemError {
  override name = 'GoneError'
  declare readonly problem: GoneProblem

  /** The number of the last event that is gone. */
  get floor(): number {
    return this.problem.floor
  }

  /** Where what is kept begins: subscribe after this. */
  get cursor(): string {
    return this.problem.cursor
  }
}

/** The time of a wait was over, and the task still open. */
export class WaitTimeoutError extends InboxError {
  override name = 'WaitTimeoutError'

  /** The task as it was last seen, with its type's name. */
  readonly answer: TaskAnswer

  constructor(answer: TaskAnswer, options?: ErrorOptions) {
    super(`the task ${answer.task.id} is still open`, options)
    this.answer = answer
  }
}

/** Why a webhook was refused. */
export type WebhookRefusal = 'header' | 'signature' | 'timestamp' | 'stale' | 'body'

/** A webhook is not from whom it says, was changed, or is not from now: answer 401, and do nothing of what it says. */
export class WebhookError extends InboxError {
  override name = 'WebhookError'

  /**
   * `header`: one is missing; `signature`: none matches; `timestamp`: it is no number; `stale`: genuine, but too far
   * from this clock; `body`: genuine, but not an event.
   */
  readonly reason: WebhookRefusal

  constructor(reason: WebhookRefusal, message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}

function listed(errors: Invalid[] | null | undefined): string {
  return (errors ?? []).map(({ pointer, detail }) => `; ${pointer || 'the body'}: ${detail}`).join('')
}
