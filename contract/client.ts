// The client that openapi-typescript and openapi-fetch make of the description, used: a task is
// posted, read, decided and found, and a refusal is told. What is described otherwise than it is
// used here doesn't compile.

import assert from 'node:assert/strict'
import createClient from 'openapi-fetch'
import type { components, paths } from './generated/api.js'

type Task = components['schemas']['Task']

const { INBOX_URL = '', INBOX_KEY = '' } = process.env
const inbox = createClient<paths>({ baseUrl: INBOX_URL, headers: { 'api-key': INBOX_KEY } })

const posted = await inbox.POST('/api/v1/tasks', {
  params: { header: { 'Idempotency-Key': 'typescript-1' } },
  body: { schema_name: 'ti:sample', task: 'flag-content', meta: { url: 'https://example.com/ts' } },
})
assert.equal(posted.response.status, 201)
const task: Task = posted.data!.task
assert.equal(task.phase, 'open')
assert.deepEqual(task.meta, { url: 'https://example.com/ts' })

const params = { path: { id: task.id } }
const read = await inbox.GET('/api/v1/tasks/{id}', { params })
assert.deepEqual(read.data, posted.data)

const stale = await inbox.PATCH('/api/v1/tasks/{id}/state', {
  params: { ...params, header: { 'If-Match': '"7"' } },
  body: { state: 'block' },
})
assert.equal(stale.response.status, 412)
assert.equal(stale.error?.status, 412)

const decided = await inbox.PATCH('/api/v1/tasks/{id}/state', {
  params: { ...params, header: { 'If-Match': `"${task.version}"` } },
  body: { state: 'block', reason: 'spam' },
})
assert.equal(decided.data?.task.state, 'block')

const history = await inbox.GET('/api/v1/tasks/{id}/history', { params })
assert.deepEqual(
  history.data?.history.map((line) => line.state),
  [null, 'block'],
)

const listed = await inbox.GET('/api/v1/tasks', { params: { query: { resolved: 'all', state: 'block', limit: 500 } } })
assert.ok(listed.data?.tasks.some(({ id }) => id === task.id))

// Read page by page, as an application that follows the log does.
const types = new Set<string>()
for (let after = ''; ; ) {
  const page = await inbox.GET('/api/v1/events', { params: { query: { after, task: task.id } } })
  assert.ok(page.data)
  if (page.data.next_cursor === after) break
  page.data.events.forEach((event) => types.add(event.type))
  after = page.data.next_cursor
}
assert.deepEqual([...types], ['task.created', 'task.state_changed'])

console.log(`openapi-typescript: posted, read, decided and found ${task.id}`)
