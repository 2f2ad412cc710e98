// Serves the workflow to Restate.

import { createServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { createEndpointHandler } from '@restatedev/restate-sdk'
import { Inbox } from './inbox.js'
import { refundWorkflow } from './refund.js'

function setting(name: string, otherwise?: string): string {
  const value = process.env[name] ?? otherwise
  if (!value) throw new Error(`${name} is not set`)
  return value
}

const desk = {
  inbox: new Inbox(setting('INBOX_URL', 'http://127.0.0.1:8080'), setting('INBOX_KEY')),
  ingress: setting('INGRESS_URL', 'http://127.0.0.1:8090'),
  lookEvery: Number(setting('LOOK_EVERY', '86400')),
}
const workflow = refundWorkflow(desk, setting('LEDGER', 'ledger'))
// On loopback, where nobody but Restate on this machine reaches it. Elsewhere, `identityKeys` tells Restate from others.
const server = createServer(createEndpointHandler({ services: [workflow] }))
server.listen(Number(setting('PORT', '9080')), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
