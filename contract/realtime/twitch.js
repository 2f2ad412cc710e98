// A public client library of Twitch PubSub listens here and hears, and is told where it may not.
import assert from "node:assert/strict";
import TwitchPS from "twitchps";

const { INBOX_URL, INBOX_KEY } = process.env;
const deadline = setTimeout(() => assert.fail("nothing was heard in 20 s"), 20_000);

async function call(method, path, body) {
  const headers = { "api-key": INBOX_KEY, "content-type": "application/json" };
  const response = await fetch(INBOX_URL + path, { method, headers, body: body && JSON.stringify(body) });
  assert.ok(response.ok, `${method} ${path}: ${response.status}`);
  return response.json();
}

const post = () => call("POST", "/api/v1/tasks", { schema_name: "ti:sample", task: "flag-content", meta: { n: 1 } });

const { token } = await call("POST", "/auth/ws");
const client = new TwitchPS({
  url: `${INBOX_URL.replace("http", "ws")}/realtime`,
  reconnect: false,
  init_topics: [{ topic: "task:create.ti:sample", token }],
});
// What is refused is told twice: by the promise, and so.
const refused = [];
client.on("error", ({ origin, error, topic }) => {
  assert.equal(origin, "addTopic()", JSON.stringify({ origin, error, topic }));
  refused.push([topic, error]);
});
const heard = [];
let wake = () => {};
client.on("raw", (frame) => {
  heard.push(frame);
  wake();
});
const next = async (type) => {
  for (;;) {
    const at = heard.findIndex((frame) => frame.type === type);
    if (at >= 0) return heard.splice(at, 1)[0];
    await new Promise((resolve) => (wake = resolve));
  }
};

assert.equal((await next("RESPONSE")).error, "");
const { task } = await post();
const message = await next("MESSAGE");
assert.equal(message.data.topic, "task:create.ti:sample");
assert.equal(message.data.message.task.id, task.id);

await client.addTopic([{ topic: "task:state:update", token }]);
await assert.rejects(client.addTopic([{ topic: "video-playback.lirik", token }]), (e) => e === "ERR_BADTOPIC");
await assert.rejects(client.addTopic([{ topic: "task:create", token: "x" }]), (e) => e === "ERR_BADAUTH");
await call("PATCH", `/api/v1/tasks/${task.id}/state?state=block`);
assert.equal((await next("MESSAGE")).data.message.task.state, "block");
await client.removeTopic([{ topic: "task:state:update" }]);
assert.deepEqual(refused, [["video-playback.lirik", "ERR_BADTOPIC"], ["task:create", "ERR_BADAUTH"]]);

console.log("twitchps listens, hears, and is refused");
clearTimeout(deadline);
process.exit(0);
