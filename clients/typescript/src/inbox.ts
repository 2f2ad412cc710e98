// The inbox's calls.

import { WaitTimeoutError } from './errors.js'
import { Subscription } from './subscription.js'
import { type Answer, type Retry, Transport, isPassing, now, pause } from './transport.js'
import type { Amend, Cancel, Decide, Decided, EventType, PostTask, TaskAnswer } from './types.js'

/** Where the inbox is, and how to call it. All times are in seconds. */
export interface TaskInboxOptions {
  /** Its address, such as `https://inbox.example`. */
  url: string | URL
  /** An API key. */
  apiKey: string
  /** Used in the place of the global `fetch`. */
  fetch?: typeof fetch
  /**
   * How long a request that fails in passing is repeated: 60 if it is not said, 0 for never. Once a wait or a
   * subscription has had an answer, it goes on for as long as it takes.
   */
  retryFor?: number
  /** Hears of each failure that is followed by another attempt. */
  onRetry?: (retry: Retry) => void
}

/** Of every call. */
export interface RequestOptions {
  /** Ends the call, which then throws the signal's reason. */
  signal?: AbortSignal | undefined
}

/** How a task is posted. */
export interface PostOptions extends RequestOptions {
  /**
   * Of two posts with the same key, the second gets the first one's task. Repetitions by this client have one key in
   * any case; give your own, such as the order's number, if your program may post once more after a crash.
   */
  idempotencyKey?: string | undefined
  /** How many seconds to wait for its end. The answer is the task as it is then; its `phase` says whether it waits still. */
  wait?: number | undefined
}

/** How a task is decided. */
export interface DecideOptions extends RequestOptions {
  /**
   * The `version` of the task that was looked at: if it has changed since, the decision is refused (412). Where the type
   * binds decisions to what was seen, one without it is refused, too (428).
   */
  version?: number | undefined
  /** As of a post. */
  idempotencyKey?: string | undefined
}

/** How the sender changes or withdraws what waits. */
export interface ChangeOptions extends RequestOptions {
  /** Why. */
  reason?: string | undefined
  /** For whom a program does it; recorded as claimed, not proven. */
  onBehalfOf?: string | undefined
  /** The `version` of the task that was looked at: if it has changed since, nothing is done (412). */
  version?: number | undefined
  /** As of a post. */
  idempotencyKey?: string | undefined
}

/** How long is waited for a decision. */
export interface WaitOptions extends RequestOptions {
  /** Seconds until `WaitTimeoutError`; without it, as long as it takes. */
  timeout?: number | undefined
}

/** What is subscribed to. Filters combine. */
export interface SubscribeOptions extends RequestOptions {
  /** The `cursor` of the event behind which to begin, or `latest`; without it, at the beginning of the log. */
  after?: string | undefined
  /** Only events of this schema. */
  schema?: string | undefined
  /** Only events of tasks of types with this name. */
  ttype?: string | undefined
  /** Only events of this type. */
  type?: EventType | undefined
  /** Only events of the task with this id. */
  task?: string | undefined
}

/** How long the inbox is asked to wait at once: it takes 55 s at most. */
const SPAN = 50
/** An answer of the inbox that comes sooner, and says that a task is still open, is that of a server that stops. */
const SOON = 1

/** A task-inbox, as one key sees it. */
export class TaskInbox {
  readonly #transport: Transport

  constructor({ url, apiKey, fetch: send = fetch, retryFor = 60, onRetry }: TaskInboxOptions) {
    this.#transport = new Transport(url, apiKey, send, retryFor, onRetry)
  }

  /** Posts a task that a person must decide. It is on disk when the answer comes, and there once, however often it was sent. */
  async post(task: PostTask, { idempotencyKey, wait, signal }: PostOptions = {}): Promise<TaskAnswer> {
    const end = wait === undefined ? undefined : now() + checked('wait', wait)
    const span = wait === undefined ? 0 : Math.min(wait, SPAN)
    const answer = await this.#send(
      {
        method: 'POST',
        path: '/api/v1/tasks',
        query: { wait: wait === undefined ? undefined : text(span) },
        headers: { 'Idempotency-Key': idempotent(idempotencyKey) },
        body: JSON.stringify(task),
        wait: span,
      },
      signal,
    )
    const posted = answer.json as TaskAnswer
    if (end === undefined || posted.task.phase !== 'open') return posted
    return this.#wait(posted.task.id, end, posted, signal).catch((error: unknown) => {
      if (error instanceof WaitTimeoutError) return error.answer
      throw error
    })
  }

  /** Reads a task. */
  async get(id: string, { signal }: RequestOptions = {}): Promise<TaskAnswer> {
    const answer = await this.#send({ method: 'GET', path: path(id) }, signal)
    return answer.json as TaskAnswer
  }

  /** Decides a task. The same decision by the same key may be sent again: it is made once. */
  async decide(id: string, decision: Decide, options: DecideOptions = {}): Promise<Decided> {
    return this.#change('PATCH', `${path(id)}/state`, decision, options)
  }

  /**
   * Changes what a task says that waits. `meta` is merged into the task's (RFC 7396): what it doesn't name stays, and
   * null takes away. Whoever decides with the version before is refused, and told what has changed.
   */
  async amend(id: string, meta: Amend['meta'], options: ChangeOptions = {}): Promise<Decided> {
    const { reason = null, onBehalfOf: on_behalf_of = null } = options
    return this.#change('PATCH', path(id), { meta, reason, on_behalf_of } satisfies Amend, options)
  }

  /** Withdraws a task that waits: nobody can decide it any more. To withdraw it again changes nothing. */
  async cancel(id: string, options: ChangeOptions = {}): Promise<Decided> {
    const { reason = null, onBehalfOf: on_behalf_of = null } = options
    return this.#change('POST', `${path(id)}/cancel`, { reason, on_behalf_of } satisfies Cancel, options)
  }

  /**
   * Waits until a task is no longer open. How it ended is its `phase`: `resolved` is a decision; `cancelled` (withdrawn),
   * `expired` (nobody decided in time) and `superseded` (by the task `superseded_by`) are none. Survives restarts of the
   * inbox and connections that break; no end falls between two of its requests.
   *
   * @throws {WaitTimeoutError} if the time is over first.
   */
  async wait(id: string, { timeout, signal }: WaitOptions = {}): Promise<TaskAnswer> {
    const end = timeout === undefined ? Infinity : now() + checked('timeout', timeout)
    return this.#wait(id, end, undefined, signal)
  }

  /**
   * Follows the log: `for await (const event of inbox.subscribe())`. Each event comes once and in order, over broken
   * connections and restarts of the inbox, until the loop is left or the signal aborted. It begins with the first
   * event that is asked for.
   *
   * To go on after a restart of your own, keep `event.data.cursor` with the work that the event led to, and pass it as
   * `after`.
   *
   * @throws {GoneError} if the log no longer has what comes after the cursor.
   */
  subscribe({ after, schema, ttype, type, task, signal }: SubscribeOptions = {}): Subscription {
    return new Subscription(this.#transport, { schema, ttype, type, task }, after, signal)
  }

  async #wait(id: string, end: number, seen: TaskAnswer | undefined, signal?: AbortSignal): Promise<TaskAnswer> {
    for (;;) {
      const begun = now()
      // The first answer comes at once: from then on it is known what is waited for.
      const span = seen ? Math.max(0, Math.min(end - begun, SPAN)) : 0
      let answer: Answer
      try {
        const request = { method: 'GET', path: `${path(id)}/wait`, query: { timeout: text(span) }, wait: span } as const
        const patience = seen ? end : Math.min(end, begun + this.#transport.retryFor)
        answer = await this.#transport.send(request, patience, signal)
      } catch (error) {
        if (seen && isPassing(error)) throw new WaitTimeoutError(seen, { cause: error })
        throw error
      }
      seen = answer.json as TaskAnswer
      if (answer.status !== 202) return seen
      if (now() >= end) throw new WaitTimeoutError(seen)
      if (now() - begun < Math.min(SOON, span)) await pause(SOON / 4, signal)
    }
  }

  async #change(
    method: 'POST' | 'PATCH',
    path: string,
    body: object,
    { version, idempotencyKey, signal }: DecideOptions,
  ): Promise<Decided> {
    const headers: Record<string, string> = { 'Idempotency-Key': idempotent(idempotencyKey) }
    if (version !== undefined) headers['If-Match'] = `"${whole('version', version)}"`
    const answer = await this.#send({ method, path, headers, body: JSON.stringify(body) }, signal)
    return answer.json as Decided
  }

  #send(request: Parameters<Transport['send']>[0], signal?: AbortSignal): Promise<Answer> {
    return this.#transport.send(request, now() + this.#transport.retryFor, signal)
  }
}

/** Where a task is. Anything else in an id's place could lead elsewhere. */
function path(id: string): string {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id))
    throw new TypeError(`${JSON.stringify(id)} is no task's id`)
  return `/api/v1/tasks/${id}`
}

function checked(name: string, seconds: number): number {
  if (!(seconds >= 0)) throw new TypeError(`${name} is a number of seconds`)
  return seconds
}

function whole(name: string, number: number): number {
  if (!Number.isSafeInteger(number)) throw new TypeError(`${name} is a whole number`)
  return number
}

/** A span of time as the API reads it. */
function text(seconds: number): string {
  return seconds < 10 ? `${Math.floor(seconds * 1000)}ms` : `${Math.floor(seconds)}s`
}

/** The caller's key, or one by which repetitions are known. */
function idempotent(key: string | undefined): string {
  if (key === undefined) {
    // Not `randomUUID`, which browsers have in secure contexts only.
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
  }
  if (!/^[!-~]{1,255}$/.test(key)) throw new TypeError('an Idempotency-Key is 1 to 255 visible ASCII characters')
  return key
}
