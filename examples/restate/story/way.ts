// The way from the workflow service to the inbox, which loses an answer when it is told to.

import { once } from 'node:events'
import { type Server, createServer, request as send } from 'node:http'
import { buffer } from 'node:stream/consumers'

export class Way {
  readonly #server: Server
  #lose: (() => void) | undefined

  /** Opens it on a port of loopback. */
  static async open(port: number, inbox: number): Promise<Way> {
    const way = new Way(inbox)
    way.#server.listen(port, '127.0.0.1')
    await once(way.#server, 'listening')
    return way
  }

  private constructor(inbox: number) {
    this.#server = createServer((request, response) => {
      const { method, url, headers } = request
      const passed = send({ host: '127.0.0.1', port: inbox, method, path: url, headers }, async (answer) => {
        const body = await buffer(answer)
        // It has done what it was asked for, and nobody hears of it.
        if (method === 'POST' && this.#lose) {
          this.#lose()
          return response.destroy()
        }
        return response.writeHead(answer.statusCode!, answer.headers).end(body)
      })
      passed.on('error', () => response.destroy())
      request.pipe(passed)
    })
  }

  /** Loses the answers to all posts from now on; the first one is told. */
  async lose(): Promise<void> {
    return new Promise((resolve) => (this.#lose = resolve))
  }

  /** Loses no more. */
  mend(): void {
    this.#lose = undefined
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}
