// Is this webhook from whom it says, unchanged and fresh? After Standard Webhooks.

import { WebhookError } from './errors.js'
import type { WebhookEvent } from './types.js'

/** The headers of a request, as Fetch API or Node have them. */
export type WebhookHeaders = Headers | Record<string, string | readonly string[] | undefined>

/** How a webhook is verified. */
export interface VerifyOptions {
  /** How many seconds the sender's clock may be from this one, in either direction: 300 if it is not said. */
  toleranceSeconds?: number
}

/**
 * Verifies a webhook, and gives what it says. While a key is rotated, pass the old and the new secret.
 *
 * `rawBody` is the body as it arrived: parsed and written again, it may be other bytes. Deduplicate by the header
 * `webhook-id`: a delivery whose answer was lost comes again.
 *
 * @throws {WebhookError} if it is to be refused: answer 401.
 * @throws {TypeError} if a secret is none, or the body is no longer raw.
 */
export async function verifyWebhook(
  rawBody: string | Uint8Array | ArrayBuffer,
  headers: WebhookHeaders,
  secretOrSecrets: string | readonly string[],
  { toleranceSeconds = 300 }: VerifyOptions = {},
): Promise<WebhookEvent> {
  const secrets = (typeof secretOrSecrets === 'string' ? [secretOrSecrets] : secretOrSecrets).map(key)
  if (secrets.length === 0) throw new TypeError('there is no secret to verify with')
  if (!(toleranceSeconds >= 0)) throw new TypeError('toleranceSeconds is a number of seconds')
  const body = bytes(rawBody)
  const id = header(headers, 'webhook-id')
  const timestamp = header(headers, 'webhook-timestamp')
  const signatures = header(headers, 'webhook-signature')

  const signed = concatenated(new TextEncoder().encode(`${id}.${timestamp}.`), body)
  const candidates = signatures
    .split(' ')
    // Other versions may stand beside ours.
    .filter((signature) => signature.startsWith('v1,'))
    .map((signature) => signature.slice('v1,'.length))
  let matches = false
  for (const secret of secrets) {
    const expected = await sign(secret, signed)
    // No early end: the time must not tell which secret it was.
    for (const candidate of candidates) matches = isSame(expected, candidate) || matches
  }
  if (!matches) throw new WebhookError('signature', 'no signature in webhook-signature matches')

  // After the signature, so that "stale" is only ever said of a genuine webhook.
  if (!/^\d{1,15}$/.test(timestamp)) throw new WebhookError('timestamp', 'webhook-timestamp is not in Unix seconds')
  const age = Math.floor(Date.now() / 1000) - Number(timestamp)
  if (Math.abs(age) > toleranceSeconds) {
    const off = age > 0 ? `${age} s behind` : `${-age} s ahead of`
    throw new WebhookError('stale', `webhook-timestamp is ${off} this clock, ${toleranceSeconds} s are allowed`)
  }
  return event(body)
}

function bytes(rawBody: string | Uint8Array | ArrayBuffer): Uint8Array {
  if (typeof rawBody === 'string') return new TextEncoder().encode(rawBody)
  if (rawBody instanceof Uint8Array) return rawBody
  // Not `instanceof`: one from another realm is of another class.
  if (Object.prototype.toString.call(rawBody) === '[object ArrayBuffer]') return new Uint8Array(rawBody)
  throw new TypeError('rawBody is the body as it arrived, text or bytes: verify before it is parsed')
}

function header(headers: WebhookHeaders, name: string): string {
  const value =
    typeof headers.get === 'function'
      ? headers.get(name)
      : Object.entries(headers).find(([other]) => other.toLowerCase() === name)?.[1]
  const text = typeof value === 'string' ? value : value?.length === 1 ? value[0] : undefined
  if (!text) throw new WebhookError('header', `${name} is missing`)
  return text
}

/** The key in `whsec_{base64}`. */
function key(secret: string): Uint8Array<ArrayBuffer> {
  const prefix = 'whsec_'
  if (typeof secret !== 'string' || !secret.startsWith(prefix)) throw new TypeError('a secret starts with whsec_')
  let binary
  try {
    binary = atob(secret.slice(prefix.length))
  } catch {
    throw new TypeError('what follows whsec_ is not base64')
  }
  if (binary.length < 24 || binary.length > 64) throw new TypeError('a secret has 24 to 64 bytes')
  return Uint8Array.from(binary, (char) => char.charCodeAt(0))
}

async function sign(secret: Uint8Array<ArrayBuffer>, signed: Uint8Array<ArrayBuffer>): Promise<string> {
  const hmac = { name: 'HMAC', hash: 'SHA-256' }
  const imported = await crypto.subtle.importKey('raw', secret, hmac, false, ['sign'])
  const mac = await crypto.subtle.sign(hmac, imported, signed)
  return btoa(String.fromCharCode(...new Uint8Array(mac)))
}

/** Compares in a time that tells nothing but the length, which is no secret. */
function isSame(expected: string, candidate: string): boolean {
  if (candidate.length !== expected.length) return false
  let difference = 0
  for (let i = 0; i < expected.length; i++) difference |= expected.charCodeAt(i) ^ candidate.charCodeAt(i)
  return difference === 0
}

function concatenated(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}

function event(body: Uint8Array): WebhookEvent {
  let said: unknown
  try {
    said = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch (cause) {
    throw new WebhookError('body', 'the body is not JSON', { cause })
  }
  const isEvent = typeof said === 'object' && said !== null && 'type' in said && 'data' in said
  if (!isEvent) throw new WebhookError('body', 'the body is not an event: is the format of this endpoint `full`?')
  return said as WebhookEvent
}
