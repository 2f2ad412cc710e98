// A real browser listens over a WebSocket and reads the log as a stream, directly and through nginx.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const { INBOX_URL, PROXY_URL, INBOX_KEY, CHROMIUM } = process.env;

/** Runs in the page: what it heard of one task, by both ways. */
async function listen(key) {
  const headers = { "api-key": key, "content-type": "application/json" };
  const call = async (method, path, body) => {
    const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status}`);
    return response.json();
  };
  const { token } = await call("POST", "/auth/ws");
  const { next_cursor } = await call("GET", "/api/v1/events?after=latest");
  const stream = await fetch(`/api/v1/events?after=${next_cursor}`, {
    headers: { ...headers, accept: "text/event-stream" },
  });
  const reader = stream.body.pipeThrough(new TextDecoderStream()).getReader();

  const socket = new WebSocket(`${location.origin.replace("http", "ws")}/realtime`);
  const frames = [];
  let wake = () => {};
  socket.onmessage = ({ data }) => {
    frames.push(JSON.parse(data));
    wake();
  };
  const next = async () => {
    while (frames.length === 0) await new Promise((resolve) => (wake = resolve));
    return frames.shift();
  };
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error("no WebSocket"));
  });
  socket.send(JSON.stringify({ type: "LISTEN", nonce: "b", data: { topics: ["task:create"], auth_token: token } }));
  const answer = await next();
  const begun = performance.now();
  const meta = { said: "line\u2028separator" };
  const { task } = await call("POST", "/api/v1/tasks", { schema_name: "ti:sample", task: "flag-content", meta });
  const told = await next();
  const toldAfter = performance.now() - begun;
  let text = "";
  while (!text.includes(task.id)) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the stream ended");
    text += value;
  }
  socket.send(JSON.stringify({ type: "PING" }));
  const pong = await next();
  const closed = new Promise((resolve) => (socket.onclose = ({ code, wasClean }) => resolve({ code, wasClean })));
  socket.close(1000);
  return { answer, pong, told, toldAfter, task, text, closed: await closed };
}

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
try {
  for (const [name, url] of [["directly", INBOX_URL], ["through nginx", PROXY_URL]]) {
    const page = await browser.newPage();
    await page.goto(`${url}/health`);
    const heard = await page.evaluate(listen, INBOX_KEY);
    assert.deepEqual(heard.answer, { type: "RESPONSE", nonce: "b", error: "" });
    assert.deepEqual(heard.pong, { type: "PONG" });
    const said = JSON.parse(heard.told.data.message);
    assert.equal(said.task.id, heard.task.id);
    assert.equal(said.task.meta.said, "line\u2028separator");
    assert.match(heard.text, /event: task\.created/);
    assert.deepEqual(heard.closed, { code: 1000, wasClean: true });
    console.log(`chromium, ${name}: told after ${heard.toldAfter.toFixed(0)} ms`);
    await page.close();
  }
} finally {
  await browser.close();
}
