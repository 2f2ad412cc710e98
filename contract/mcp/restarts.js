// The official client asks for a decision, and while it waits either side is killed: the decision arrives all the same.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { QUESTION, Site, WAYS, connect } from "./site.js";

const deadline = setTimeout(() => {
  console.error("no decision within 3 minutes");
  process.exit(1);
}, 180_000);

const decided = { status: "decided", state: "approve", reason: "go on" };

function check(result, task_id) {
  assert.ok(!result.isError, JSON.stringify(result));
  const { status, state, reason } = result.structuredContent;
  assert.deepEqual({ status, state, reason }, decided);
  assert.equal(result.structuredContent.task_id, task_id);
}

// Decides the task that an agent calls so.
function decide(site, external_id) {
  const found = site.tasks().filter((task) => task.external_id === external_id);
  assert.equal(found.length, 1, "asked once");
  site.cli("decide", found[0].id, "approve", "--reason", "go on");
  return found[0].id;
}

async function gone(pid) {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function clientIsKilled(site, way) {
  const external_id = `client-${way}`;
  const script = new URL("asker.js", import.meta.url).pathname;
  const asker = spawn(process.execPath, [script, way, site.url, site.key, external_id], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(createInterface(asker.stdout), "line");
  const { waits, pid } = JSON.parse(line);
  assert.equal(waits, true);
  asker.kill("SIGKILL");
  await once(asker, "exit");
  if (pid) await gone(pid);
  const task_id = decide(site, external_id);
  // The agent is started again. It asks what it asked, or knows the id still.
  const client = await connect(way, site.url, site.key);
  const again = { ...QUESTION, external_id, wait_seconds: 60 };
  const asked = await client.callTool({ name: "request_decision", arguments: again });
  assert.equal(asked.structuredContent.is_new, false);
  check(asked, task_id);
  check(await client.callTool({ name: "wait_for_decision", arguments: { task_id } }), task_id);
  await client.close();
  console.log(`${way}: the client was killed while it waited, came back, and has the decision`);
}

// The server goes while a client waits, a person decides, and the server comes back.
async function serverGoes(site, way, signal) {
  const external_id = `server-${way}-${signal}`;
  const client = await connect(way, site.url, site.key);
  const asking = { ...QUESTION, external_id, wait_seconds: 120 };
  const lost = new Promise((resolve) => (client.onerror = resolve));
  let began;
  const waits = new Promise((resolve) => (began = resolve));
  const options = { onprogress: () => began(), timeout: 120_000 };
  const call = client.callTool({ name: "request_decision", arguments: asking }, undefined, options);
  call.catch(() => {});
  await waits;
  await site.kill(signal);
  const task_id = decide(site, external_id);
  if (way === "stdio") {
    // It goes on by itself.
    await site.serve();
    check(await call, task_id);
    await client.close();
  } else {
    // The client hears that the stream broke, or that the server stopped, and calls again.
    if (signal === "SIGKILL") await lost;
    else assert.equal((await call).structuredContent.status, "pending");
    await client.close();
    await site.serve();
    const next = await connect(way, site.url, site.key);
    check(await next.callTool({ name: "wait_for_decision", arguments: { task_id } }), task_id);
    await next.close();
  }
  console.log(`${way}: the server went by ${signal} during the wait, came back, and the client has the decision`);
}

const site = await Site.start();
for (const way of WAYS) {
  await clientIsKilled(site, way);
  for (const signal of ["SIGKILL", "SIGTERM"]) await serverGoes(site, way, signal);
}
await site.end();
clearTimeout(deadline);
process.exit(0);
