// The log, followed by server-sent events (HTML Standard, section 9.2).

import { InboxError, UnreachableError } from './errors.js'
import { now, type Transport } from './transport.js'
import type { Event } from './types.js'

/** What a subscription is about. */
export interface Filter {
  schema: string | undefined
  ttype: string | undefined
  type: string | undefined
  task: string | undefined
}

/**
 * The log's events, each once and in order, for as long as it is read. A connection that breaks is taken up again
 * where it was.
 */
export class Subscription implements AsyncIterableIterator<Event, void, void> {
  readonly #events: AsyncGenerator<Event, void, void>
  #cursor: string | undefined

  /** @internal */
  constructor(transport: Transport, filter: Filter, after: string | undefined, signal: AbortSignal | undefined) {
    this.#cursor = after
    this.#events = this.#follow(transport, filter, signal)
  }

  /**
   * Where it is: behind the last event that it gave, and behind what its filter left out since. To go on from here in
   * another process, pass it as `after`.
   */
  get cursor(): string | undefined {
    return this.#cursor
  }

  /** The next event, when there is one. */
  next(): Promise<IteratorResult<Event, void>> {
    return this.#events.next()
  }

  /** Ends it, as leaving a `for await` does; a `next` that waits is ended by the signal. */
  return(): Promise<IteratorResult<Event, void>> {
    return this.#events.return()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async *#follow(transport: Transport, filter: Filter, signal?: AbortSignal): AsyncGenerator<Event, void, void> {
    const backoff = transport.backoff()
    // A wrong address is told soon. What has worked once is an inbox, and worth any patience.
    let end = now() + transport.retryFor
    for (;;) {
      try {
        const blocks = new Blocks()
        for await (const bytes of transport.stream('/api/v1/events', { ...filter, after: this.#cursor }, signal)) {
          for (const { id, data } of blocks.add(bytes)) {
            backoff.reset()
            end = Infinity
            const event = data === undefined ? undefined : parsed(data)
            if (id !== undefined) this.#cursor = id
            if (event) yield event
          }
        }
        throw new UnreachableError('the stream ended')
      } catch (error) {
        await backoff.rest(error, end, signal)
      }
    }
  }
}

interface Block {
  id: string | undefined
  data: string | undefined
}

/** Blocks of a stream, of which an unfinished one counts for nothing. */
class Blocks {
  readonly #decoder = new TextDecoder()
  #line: string[] = []
  #endsInReturn = false
  #id: string | undefined
  #data: string[] = []

  /** Takes what arrived, and gives the blocks that are complete with it. */
  add(bytes: Uint8Array): Block[] {
    let text = this.#decoder.decode(bytes, { stream: true })
    if (text === '') return []
    if (this.#endsInReturn && text.startsWith('\n')) text = text.slice(1)
    this.#endsInReturn = text.endsWith('\r')
    // Not where U+2028 stands: it ends a line elsewhere, and here it is text.
    const lines = text.split(/\r\n|\n|\r/)
    const rest = lines.pop() ?? ''
    const complete: Block[] = []
    for (const line of lines) {
      this.#line.push(line)
      const block = this.#take(this.#line.join(''))
      this.#line = []
      if (block) complete.push(block)
    }
    this.#line.push(rest)
    return complete
  }

  #take(line: string): Block | undefined {
    if (line === '') {
      const block = { id: this.#id, data: this.#data.length > 0 ? this.#data.join('\n') : undefined }
      this.#id = undefined
      this.#data = []
      return block.id === undefined && block.data === undefined ? undefined : block
    }
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'id') this.#id = value
    else if (field === 'data') this.#data.push(value)
    // `event` is the data's type once more; how long to wait is decided here, and not by `retry`.
    return undefined
  }
}

function parsed(data: string): Event {
  try {
    return JSON.parse(data) as Event
  } catch (cause) {
    throw new InboxError('an event is not JSON', { cause })
  }
}
