// A server of its own that can be killed and started again where it was, and the two ways to it.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const { INBOX_BINARY } = process.env;
const SCHEMA = new URL("change.yml", import.meta.url).pathname;

export class Site {
  #folder = mkdtempSync(join(tmpdir(), "inbox-mcp-"));
  #server;
  #listen = "127.0.0.1:0";

  static async start() {
    const site = new Site();
    await site.serve();
    site.cli("taskschema", SCHEMA);
    site.key = site.cli("api_key", "--name", "agent").key;
    return site;
  }

  get #environment() {
    const database = `sqlite://${this.#folder}/inbox.db`;
    return { PATH: process.env.PATH, DATABASE_URL: database, TASK_INBOX_LISTEN: this.#listen, TASK_INBOX_LOG: "warn" };
  }

  async serve() {
    const options = { cwd: this.#folder, env: this.#environment, stdio: ["ignore", "pipe", "inherit"] };
    this.#server = spawn(INBOX_BINARY, ["--dev", "serve"], options);
    const server = this.#server;
    process.once("exit", () => server.kill("SIGKILL"));
    const [line] = await once(createInterface(this.#server.stdout), "line");
    this.url = line.replace("listening on ", "");
    this.#listen = this.url.replace("http://", "");
  }

  // An operator's command, on the database: also while there is no server.
  cli(...words) {
    const options = { cwd: this.#folder, env: this.#environment, stdio: ["ignore", "pipe", "ignore"] };
    return JSON.parse(execFileSync(INBOX_BINARY, ["--dev", ...words, "--json"], options));
  }

  tasks() {
    return this.cli("tasks", "ops:agent", "change", "--resolved", "all").tasks;
  }

  async kill(signal = "SIGKILL") {
    const gone = once(this.#server, "exit");
    this.#server.kill(signal);
    await gone;
  }

  async end() {
    await this.kill();
    rmSync(this.#folder, { recursive: true });
  }
}

// The ways in which an agent may be set up.
export const WAYS = ["stdio", "http"];

export function transport(way, url, key) {
  if (way === "http") {
    return new StreamableHTTPClientTransport(new URL("/mcp", url), { requestInit: { headers: { "api-key": key } } });
  }
  const env = { TASK_INBOX_SERVER: url, TASK_INBOX_API_KEY: key };
  return new StdioClientTransport({ command: INBOX_BINARY, args: ["mcp"], env, stderr: "ignore" });
}

// An agent that is connected.
export async function connect(way, url, key) {
  const client = new Client({ name: "contract", version: "1" });
  client.way = transport(way, url, key);
  await client.connect(client.way);
  // So that what comes back is held to the tools' own schemas.
  await client.listTools();
  return client;
}

export const QUESTION = {
  schema: "ops:agent",
  type: "change",
  meta: { command: ["systemctl", "restart", "shop"], host: "web-1" },
};
