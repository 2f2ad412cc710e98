// A receiver of task-inbox webhooks on node:http and `standardwebhooks`.
//
// It does the four things that ../README.md tells. An application has a framework in the server's
// place; its raw body comes from `express.raw({ type: 'application/json' })` in Express.

import { createServer } from 'node:http'
import { Webhook } from 'standardwebhooks'

const LIMIT = 1024 * 1024
const webhook = new Webhook(process.env.RCV_HOOK_SECRET)
// Gone after a restart: an application has a table with a unique id, written along with the work.
const seen = new Set()

const server = createServer(async (request, response) => {
  let event
  try {
    const body = await raw(request) // 1. raw: the bytes that were signed
    event = webhook.verify(body, request.headers) // 2. verify
  } catch {
    return response.writeHead(401).end()
  }
  const id = request.headers['webhook-id']
  if (event.type === 'task.guard') return guard(id, event.data, response) // a question: answered and not kept
  const verdict = seen.has(id) ? 'duplicate' : 'verified' // 3. deduplicate
  seen.add(id)
  response.writeHead(200).end() // 4. answer fast: what follows may take its time
  const { task = {}, previous_state: before } = event.data
  console.log(`${verdict} (hmac) ${id} ${event.type} ${task.id} ${before ?? 'unset'} -> ${task.state ?? 'unset'}`)
})

// Has the last word on a decision: no more is given back than was paid.
function guard(id, { task, transition: { from, to }, output }, response) {
  const [paid, given] = [task.meta?.cents ?? 0, output?.cents ?? 0]
  const allow = given <= paid
  response.end(JSON.stringify(allow ? { allow } : { allow, reason: `only ${paid} cents were paid` }))
  console.log(`${allow ? 'allowed' : 'refused'} (hmac) ${id} task.guard ${task.id} ${from ?? 'unset'} -> ${to ?? 'unset'}`)
}

async function raw(request) {
  const chunks = []
  let length = 0
  for await (const chunk of request) {
    length += chunk.length
    if (length > LIMIT) throw new RangeError('the body is too long')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

const [, host, port] = /^(.*):(\d+)$/.exec(process.env.RCV_LISTEN ?? '127.0.0.1:5001')
server.listen(Number(port), host, () => console.log(`listening on http://${host}:${server.address().port}`))
