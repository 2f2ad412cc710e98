// The protocol's own inspector lists the tools and calls each, over stdio and over HTTP.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { QUESTION, Site, WAYS } from "./site.js";

const { INBOX_BINARY } = process.env;
// Of the inspector, the part for the command line: the whole needs Node 22. It looks for its package.json from where it is
// started.
const cwd = new URL("../node_modules/@modelcontextprotocol/inspector-cli/build", import.meta.url).pathname;
const site = await Site.start();

async function inspect(way, ...words) {
  const target =
    way === "stdio"
      ? [INBOX_BINARY, "mcp", "-e", `TASK_INBOX_SERVER=${site.url}`, "-e", `TASK_INBOX_API_KEY=${site.key}`]
      : [`${site.url}/mcp`, "--transport", "http", "--header", `Authorization: Bearer ${site.key}`];
  const run = promisify(execFile)("mcp-inspector-cli", ["--cli", ...target, ...words], { timeout: 60_000, cwd });
  const { stdout } = await run;
  return JSON.parse(stdout);
}

async function call(way, name, args = {}) {
  const pairs = Object.entries(args).map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  const given = pairs.length ? ["--tool-arg", ...pairs] : [];
  return inspect(way, "--method", "tools/call", "--tool-name", name, ...given);
}

for (const way of WAYS) {
  const { tools } = await inspect(way, "--method", "tools/list");
  assert.deepEqual(
    tools.map((tool) => tool.name),
    ["list_task_types", "request_decision", "wait_for_decision", "cancel_request", "get_task"],
  );
  for (const tool of tools) assert.ok(tool.description && tool.inputSchema && tool.outputSchema, tool.name);

  const { types } = (await call(way, "list_task_types")).structuredContent;
  assert.equal(types.length, 1);
  assert.deepEqual(types[0].states.resolved, ["approve", "edit", "reject", "respond"]);
  assert.deepEqual(types[0].input.required, ["command", "host"]);
  assert.deepEqual(Object.keys(types[0].output), ["edit"]);

  const wrong = await call(way, "request_decision", { ...QUESTION, meta: { command: [] } });
  assert.equal(wrong.isError, true);
  const { errors } = JSON.parse(wrong.content[1].text);
  assert.deepEqual(errors.map((error) => error.pointer).sort(), ["/meta", "/meta/command"]);

  const asked = (await call(way, "request_decision", QUESTION)).structuredContent;
  assert.equal(asked.status, "pending");
  const { task_id } = asked;
  const open = await call(way, "wait_for_decision", { task_id, wait_seconds: 1 });
  assert.equal(open.structuredContent.status, "pending");
  const output = { command: ["systemctl", "reload", "shop"] };
  site.cli("decide", task_id, "edit", "--output", JSON.stringify(output), "--reason", "a reload will do");
  for (const name of ["wait_for_decision", "get_task"]) {
    const result = await call(way, name, { task_id });
    assert.equal(result.isError, false);
    const { status, state, output: got, reason } = result.structuredContent;
    assert.deepEqual({ status, state, got, reason }, { status: "decided", state: "edit", got: output, reason: "a reload will do" });
    assert.match(result.content[0].text, /is decided: edit\.\nOutput: .*reload.*\nReason: a reload will do/);
  }

  const other = (await call(way, "request_decision", QUESTION)).structuredContent;
  const cancelled = await call(way, "cancel_request", { task_id: other.task_id, reason: "found another way" });
  assert.equal(cancelled.structuredContent.status, "cancelled");
  console.log(`${way}: the inspector lists the tools and calls each`);
}
await site.end();
