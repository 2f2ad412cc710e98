// An agent in a process of its own, to be killed while it waits. Says so once the server shows that it waits, and which
// process its transport is.
import { QUESTION, connect } from "./site.js";

const [way, url, key, external_id] = process.argv.slice(2);
const client = await connect(way, url, key);
const onprogress = () => console.log(JSON.stringify({ waits: true, pid: client.way.pid ?? null }));
await client.callTool({ name: "request_decision", arguments: { ...QUESTION, external_id, wait_seconds: 3600 } }, undefined, {
  onprogress,
});
console.log(JSON.stringify({ waits: false }));
