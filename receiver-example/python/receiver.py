"""A receiver of task-inbox webhooks on Python's standard library and `standardwebhooks`.

It does the four things that ../README.md tells. An application has a framework in the server's
place; its raw body is `request.get_data()` in Flask and `await request.body()` in FastAPI.
"""

import json
import os
import sqlite3
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

LIMIT = 1024 * 1024
webhook = Webhook(os.environ["RCV_HOOK_SECRET"])
inbox = os.environ.get("RCV_INBOX", "webhooks.db")


class Receiver(BaseHTTPRequestHandler):
    timeout = 15  # seconds that a sender may be silent

    def do_POST(self):
        length = self.headers.get("content-length", "")
        if not (length.isdecimal() and len(length) < 9 and int(length) <= LIMIT):
            return self.answer(413)
        body = self.rfile.read(int(length))  # 1. raw: the bytes that were signed
        try:
            event = webhook.verify(body, dict(self.headers))  # 2. verify
        except (WebhookVerificationError, ValueError):  # the latter if what was sent is not even base64
            return self.answer(401)
        webhook_id = self.headers["webhook-id"]
        if event["type"] == "task.guard":  # a question: answered and not kept, it comes once
            return self.guard(webhook_id, event["data"])
        with closing(sqlite3.connect(inbox)) as database, database:  # 3. deduplicate: kept once, on disk
            new = database.execute("INSERT OR IGNORE INTO webhooks VALUES (?, ?)", (webhook_id, body)).rowcount
        self.answer(200)  # 4. answer fast: it is kept, and what follows may take its time
        verdict, data = "verified" if new else "duplicate", event["data"]
        task = data.get("task") or {}
        change = f'{data.get("previous_state") or "unset"} -> {task.get("state") or "unset"}'
        print(verdict, "(hmac)", webhook_id, event["type"], task.get("id"), change, flush=True)

    def guard(self, webhook_id, data):
        paid, given = ((document or {}).get("cents", 0) for document in (data["task"]["meta"], data["output"]))
        allow = given <= paid
        verdict = {"allow": True} if allow else {"allow": False, "reason": f"only {paid} cents were paid"}
        self.answer(200, json.dumps(verdict).encode())
        step = f'{data["transition"]["from"] or "unset"} -> {data["transition"]["to"] or "unset"}'
        print("allowed" if allow else "refused", "(hmac)", webhook_id, "task.guard", data["task"]["id"], step, flush=True)

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Prints nothing: what was accepted is printed above."""


with closing(sqlite3.connect(inbox)) as database, database:
    database.execute("CREATE TABLE IF NOT EXISTS webhooks (id TEXT PRIMARY KEY, body BLOB NOT NULL)")
host, port = os.environ.get("RCV_LISTEN", "127.0.0.1:5001").rsplit(":", 1)
server = ThreadingHTTPServer((host, int(port)), Receiver)
print(f"listening on http://{host}:{server.server_port}", flush=True)
server.serve_forever()
