// Verifies webhooks with the official library of the standard and with svix's.
//
// A line of stdin is a webhook: {"secret", "headers", "body"}, the body in base64. A line of stdout says which of
// the libraries took it.

import { createInterface } from 'node:readline'
import { Webhook, WebhookVerificationError } from 'standardwebhooks'
import * as svix from 'svix'

const verifiers = {
  standardwebhooks: [Webhook, WebhookVerificationError],
  svix: [svix.Webhook, svix.WebhookVerificationError]
}

function takes([Verifier, Refusal], { secret, headers, body }) {
  try {
    new Verifier(secret).verify(Buffer.from(body, 'base64').toString(), headers)
    return true
  } catch (error) {
    if (error instanceof Refusal) return false
    throw error
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const webhook = JSON.parse(line)
  const taken = Object.entries(verifiers).map(([name, verifier]) => [name, takes(verifier, webhook)])
  console.log(JSON.stringify(Object.fromEntries(taken)))
}
