// A connection between a client and a real server that can be cut, listened to, and led nowhere.

import { once } from 'node:events'
import { type AddressInfo, type Socket, connect, createServer } from 'node:net'

export class Cable {
  /** What is answered in the server's place, by a proxy that doesn't reach it. */
  answer: string | undefined
  /** After how many bytes to the client a new connection breaks. */
  lasts: () => number = () => Infinity
  readonly #target: number
  readonly #ends = new Set<Socket>()
  readonly #server = createServer((client) => this.#join(client))
  #listeners: (() => void)[] = []
  #sent = ''

  private constructor(target: number) {
    this.#target = target
  }

  static async to(target: number): Promise<Cable> {
    const cable = new Cable(target)
    cable.#server.listen(0, '127.0.0.1')
    await once(cable.#server, 'listening')
    return cable
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Breaks every connection. */
  cut(): void {
    for (const end of this.#ends) end.resetAndDestroy()
  }

  async remove(): Promise<void> {
    this.cut()
    this.#server.close()
    await once(this.#server, 'close')
  }

  /** How often clients have sent this. */
  count(text: string): number {
    return this.#sent.split(text).length - 1
  }

  /** Waits until clients have sent this so often. */
  async sent(text: string, times = 1): Promise<void> {
    while (this.count(text) < times) await new Promise<void>((resolve) => this.#listeners.push(resolve))
  }

  #join(client: Socket): void {
    const { answer } = this
    this.#hold(client)
    if (answer !== undefined) {
      client.once('data', (bytes) => {
        this.#heard(bytes)
        client.end(answer)
      })
      return
    }
    const server = connect(this.#target, '127.0.0.1')
    this.#hold(server)
    let left = this.lasts()
    client.on('data', (bytes) => {
      this.#heard(bytes)
      server.write(bytes)
    })
    server.on('data', (bytes) => {
      if (bytes.length < left) {
        left -= bytes.length
        client.write(bytes)
        return
      }
      // What was before the break arrives.
      client.write(bytes.subarray(0, left), () => client.resetAndDestroy())
      server.destroy()
    })
    client.on('close', () => server.destroy())
    server.on('close', () => client.destroy())
  }

  #hold(end: Socket): void {
    this.#ends.add(end)
    end.on('error', () => {})
    end.on('close', () => this.#ends.delete(end))
  }

  #heard(bytes: Buffer): void {
    this.#sent += bytes.toString('latin1')
    for (const listener of this.#listeners.splice(0)) listener()
  }
}
