// Writes src/api.ts: the types that the client speaks, from the API's description and ../types.json.
// Usage: node generate.mjs [FILE]

import { readFileSync, writeFileSync } from 'node:fs'
import openapiTS, { astToString } from 'openapi-typescript'

const read = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8'))
const description = read('../../openapi/openapi.json')
const wanted = read('../types.json')

const all = { ...description.components.schemas, ...wanted.schemas }
for (const [name, { schema, properties: without, description }] of Object.entries(wanted.without)) {
  const isKept = (key) => !without.includes(key)
  all[name] = {
    ...all[schema],
    description,
    properties: Object.fromEntries(Object.entries(all[schema].properties).filter(([key]) => isKept(key))),
    required: all[schema].required.filter(isKept),
  }
}
for (const [name, properties] of Object.entries(wanted.properties)) {
  all[name] = { ...all[name], properties: { ...all[name].properties, ...properties } }
}

// Only what is reached from the types that the client uses.
const schemas = {}
function take(name) {
  if (name in schemas) return
  schemas[name] = all[name]
  for (const [, other] of JSON.stringify(all[name]).matchAll(/"#\/components\/schemas\/(\w+)"/g)) take(other)
}
wanted.types.forEach(take)
const sorted = Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)))

const nodes = await openapiTS(
  { openapi: description.openapi, info: description.info, paths: {}, components: { schemas: sorted } },
  { rootTypes: true, rootTypesNoSchemaPrefix: true, emptyObjectsUnknown: true },
)
const header = '// Made by generate.mjs from ../../openapi/openapi.json and ../types.json; not to be edited.\n\n'
writeFileSync(process.argv[2] ?? new URL('src/api.ts', import.meta.url), header + astToString(nodes))
