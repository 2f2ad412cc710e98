// A receiver of webhooks that verifies each with the client.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingHttpHeaders, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { WebhookError, type WebhookEvent, verifyWebhook } from 'task-inbox'

/** A webhook as it came. */
export interface Received {
  headers: IncomingHttpHeaders
  body: Buffer
  event: WebhookEvent
}

export class Receiver {
  /** What it verifies with. */
  secrets: string | string[] = []
  /** What it says to a guard's question. */
  verdict: object = { allow: true }
  /** What it refused. */
  refused: WebhookError[] = []
  readonly #received: Received[] = []
  #listeners: (() => void)[] = []
  readonly #server = createServer(async (request, response) => {
    const body = await buffer(request)
    try {
      const event = await verifyWebhook(body, request.headers, this.secrets)
      this.#received.push({ headers: request.headers, body, event })
      response.end(event.type === 'task.guard' ? JSON.stringify(this.verdict) : '')
    } catch (error) {
      assert.ok(error instanceof WebhookError)
      this.refused.push(error)
      response.writeHead(401).end()
    }
    for (const listener of this.#listeners.splice(0)) listener()
  })

  static async start(): Promise<Receiver> {
    const receiver = new Receiver()
    receiver.#server.listen(0, '127.0.0.1')
    await once(receiver.#server, 'listening')
    return receiver
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Waits for a webhook that this holds for. */
  async of(wanted: (event: WebhookEvent) => boolean): Promise<Received> {
    for (;;) {
      const found = this.#received.find(({ event }) => wanted(event))
      if (found) return found
      await this.#next()
    }
  }

  /** Waits until it has refused something. */
  async refusal(): Promise<WebhookError> {
    while (this.refused.length === 0) await this.#next()
    return this.refused[0]!
  }

  async remove(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #next(): Promise<void> {
    return new Promise((resolve) => this.#listeners.push(resolve))
  }
}
