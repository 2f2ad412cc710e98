// Requests, and when they are sent again. Knows nothing of tasks.

import {
  ConflictError,
  GoneError,
  InboxError,
  ProblemError,
  UnexpectedAnswerError,
  UnreachableError,
} from './errors.js'
import type { ConflictProblem, GoneProblem, Problem } from './types.js'

/** That something failed and is about to be tried again. */
export interface Retry {
  /** What failed. */
  error: InboxError
  /** How often it has failed now without a success between. */
  failures: number
  /** Seconds until the next attempt. */
  delay: number
}

/** What is asked for. */
export interface Request {
  method: 'GET' | 'POST' | 'PATCH'
  /** Below the inbox's address. */
  path: string
  query?: Record<string, string | undefined>
  headers?: Record<string, string>
  body?: string
  /** Seconds that the inbox takes its time for on purpose. */
  wait?: number
}

/** An answer: its status, and its JSON. */
export interface Answer {
  status: number
  json: unknown
}

/** Seconds for an answer. */
const PATIENCE = 30
/** Seconds without a sign of life after which a stream is taken for broken: three of the inbox's heartbeats. */
const SILENCE = 45
/** Seconds before the second attempt, at most; doubled for each further one up to the longest. */
const FIRST_DELAY = 0.25
const LONGEST_DELAY = 10
/** How much of an answer that is no problem document is told. */
const EXCERPT = 200

/** Sends requests to one inbox. */
export class Transport {
  readonly #base: string
  readonly #apiKey: string
  readonly #fetch: typeof fetch
  readonly #onRetry: ((retry: Retry) => void) | undefined
  /** Seconds for which a request that fails is repeated. */
  readonly retryFor: number

  constructor(
    url: string | URL,
    apiKey: string,
    send: typeof fetch,
    retryFor: number,
    onRetry?: (retry: Retry) => void,
  ) {
    const { protocol, origin, pathname } = new URL(url)
    if (protocol !== 'http:' && protocol !== 'https:') throw new TypeError(`${protocol} is neither http: nor https:`)
    if (!/^[!-~]+$/.test(apiKey)) throw new TypeError('an API key is visible ASCII characters')
    if (!(retryFor >= 0)) throw new TypeError('retryFor is a number of seconds')
    this.#base = origin + pathname.replace(/\/+$/, '')
    this.#apiKey = apiKey
    this.#fetch = send
    this.retryFor = retryFor
    this.#onRetry = onRetry
  }

  /** Sends, and repeats what fails in passing until `end` at most. */
  async send(request: Request, end: number, signal?: AbortSignal): Promise<Answer> {
    const backoff = this.backoff()
    for (;;) {
      try {
        return await this.#once(request, signal)
      } catch (error) {
        await backoff.rest(error, end, signal)
      }
    }
  }

  /** Opens a stream of server-sent events, and gives what arrives. */
  async *stream(path: string, query: Request['query'], signal?: AbortSignal): AsyncGenerator<Uint8Array, void, void> {
    const watch = new Watch(signal)
    try {
      const response = await watch.over(
        PATIENCE,
        this.#open({ method: 'GET', path, query: query ?? {} }, 'text/event-stream', watch),
      )
      if (!response.ok || !isOf(response, 'text/event-stream') || !response.body) {
        const text = await watch.over(PATIENCE, response.text())
        throw response.ok ? unexpected(response, text) : problem(response, text)
      }
      const reader = response.body.getReader()
      for (;;) {
        const { done, value } = await watch.over(SILENCE, reader.read())
        if (done) return
        yield value
      }
    } finally {
      watch.end()
    }
  }

  /** For failures that follow each other. */
  backoff(): Backoff {
    return new Backoff(this.#onRetry)
  }

  async #once(request: Request, signal?: AbortSignal): Promise<Answer> {
    const watch = new Watch(signal)
    const patience = PATIENCE + (request.wait ?? 0)
    try {
      const response = await watch.over(patience, this.#open(request, 'application/json', watch))
      const text = await watch.over(patience, response.text())
      if (!response.ok) throw problem(response, text)
      try {
        return { status: response.status, json: JSON.parse(text) }
      } catch {
        throw unexpected(response, text)
      }
    } finally {
      watch.end()
    }
  }

  #open({ method, path, query = {}, headers = {}, body }: Request, accept: string, watch: Watch): Promise<Response> {
    const parameters = new URLSearchParams()
    for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, value)
    const search = parameters.size > 0 ? `?${parameters}` : ''
    const all: Record<string, string> = { accept, 'api-key': this.#apiKey, ...headers }
    if (body !== undefined) all['content-type'] = 'application/json'
    const send = this.#fetch
    return send(this.#base + path + search, {
      method,
      headers: all,
      ...(body === undefined ? {} : { body }),
      cache: 'no-store',
      // The key goes to this inbox alone.
      redirect: 'manual',
      signal: watch.signal,
    })
  }
}

/** How long to wait between failures, and when no longer. */
export class Backoff {
  readonly #onRetry: ((retry: Retry) => void) | undefined
  #failures = 0

  constructor(onRetry?: (retry: Retry) => void) {
    this.#onRetry = onRetry
  }

  /** Something went well. */
  reset(): void {
    this.#failures = 0
  }

  /** Waits until it is time to try again; throws the error if there is no use in that, or no time before `end`. */
  async rest(error: unknown, end: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (!isPassing(error)) throw error
    const most = Math.min(FIRST_DELAY * 2 ** this.#failures, LONGEST_DELAY)
    // At random, so that those who were cut off together don't come back together.
    const own = most * (0.5 + Math.random() / 2)
    const left = end - now()
    const told = error instanceof ProblemError ? (error.retryAfter ?? 0) : 0
    if (left <= 0 || told > left) throw error
    const delay = Math.min(Math.max(own, told > 0 ? told + Math.random() * FIRST_DELAY : 0), left)
    this.#failures += 1
    this.#onRetry?.({ error, failures: this.#failures, delay })
    await pause(delay, signal)
  }
}

/** Cuts a request off when its caller's signal says so, or when nothing comes for too long. */
class Watch {
  readonly #controller = new AbortController()
  readonly #theirs: AbortSignal | undefined
  readonly #cut = () => this.#controller.abort(this.#theirs?.reason)

  constructor(signal?: AbortSignal) {
    signal?.throwIfAborted()
    this.#theirs = signal
    signal?.addEventListener('abort', this.#cut)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Waits for something that this watch's signal ends. */
  async over<T>(seconds: number, something: Promise<T>): Promise<T> {
    const late = new UnreachableError(`no answer within ${seconds} s`)
    const timer = setTimeout(() => this.#controller.abort(late), milliseconds(seconds))
    try {
      return await something
    } catch (error) {
      this.#theirs?.throwIfAborted()
      if (this.#controller.signal.aborted) throw late
      throw new UnreachableError(`the connection failed: ${told(error)}`, { cause: error })
    } finally {
      clearTimeout(timer)
    }
  }

  /** Closes what is still open. */
  end(): void {
    this.#theirs?.removeEventListener('abort', this.#cut)
    this.#controller.abort()
  }
}

/** Seconds on a clock that nobody sets. */
export function now(): number {
  return performance.now() / 1000
}

/** Waits; an aborted signal ends it with its reason. */
export function pause(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const stop = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, milliseconds(seconds))
    signal?.addEventListener('abort', stop, { once: true })
  })
}

/** As timers take it: one that is too long for them would end at once. */
function milliseconds(seconds: number): number {
  return Math.min(seconds * 1000, 0x7fff_ffff)
}

/** Whether the same request may go well another time. */
export function isPassing(error: unknown): error is InboxError {
  if (error instanceof ProblemError) return error.status === 408 || error.status === 429 || error.status >= 500
  return error instanceof UnreachableError
}

function isOf(response: Response, mediaType: string): boolean {
  return (response.headers.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase() === mediaType
}

function problem(response: Response, text: string): ProblemError {
  const retryAfter = seconds(response.headers.get('retry-after'))
  const told = isOf(response, 'application/problem+json') ? parsed(text) : undefined
  if (told === undefined) {
    const title = response.type === 'opaqueredirect' ? 'Redirect' : response.statusText || 'No problem document'
    const detail = excerpt(text) || 'the answer says no more'
    return new ProblemError({ type: 'about:blank', title, status: response.status, detail, instance: '' }, retryAfter)
  }
  // What is said and what is sent agree in this service; a proxy may have another idea of the status.
  const said = { ...told, status: response.status }
  if (said.status === 409 || said.status === 412) return new ConflictError(said as ConflictProblem, retryAfter)
  if (said.status === 410 && 'cursor' in said) return new GoneError(said as GoneProblem, retryAfter)
  return new ProblemError(said, retryAfter)
}

function parsed(text: string): Problem | undefined {
  try {
    const said: unknown = JSON.parse(text)
    const isOne = typeof said === 'object' && said !== null && 'type' in said && 'detail' in said && 'title' in said
    return isOne ? (said as Problem) : undefined
  } catch {
    return undefined
  }
}

function unexpected(response: Response, text: string): UnexpectedAnswerError {
  const type = response.headers.get('content-type') ?? 'no content type'
  return new UnexpectedAnswerError(`answered ${response.status} with ${type}, as no inbox does: ${excerpt(text)}`)
}

function excerpt(text: string): string {
  const line = text.trim().replace(/\s+/g, ' ')
  return line.length > EXCERPT ? `${line.slice(0, EXCERPT)}...` : line
}

/** `Retry-After` is seconds or a date (RFC 9110, section 10.2.3). */
function seconds(header: string | null): number | undefined {
  if (header === null) return undefined
  if (/^\d+$/.test(header)) return Number(header)
  const until = (Date.parse(header) - Date.now()) / 1000
  return Number.isNaN(until) ? undefined : Math.max(0, until)
}

function told(error: unknown): string {
  // Node says why in the cause alone.
  const reason = error instanceof Error && error.cause instanceof Error ? error.cause : error
  if (!(reason instanceof Error)) return String(reason)
  return reason.message || ('code' in reason && String(reason.code)) || reason.name
}
