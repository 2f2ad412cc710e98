"""A real server on a database of its own, which tests kill and start again."""

import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Optional
from urllib.request import Request, urlopen

from task_inbox import TaskInbox
from task_inbox.models import Decide, PostTask

PROGRAM = os.environ["TASK_INBOX"]
SCHEMA = Path(__file__).parent / "../../shop.yml"
NOBODY = "01a1fcff-1738-7249-afb1-3080e581513b"
"""The id of no task."""
GRANT: Decide = {"state": "granted", "output": {"cents": 500}}


def free_port() -> int:
    """A port that nobody has, below those that connections come from: it is free again when a server was killed."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass  # Somebody has it.


class Server:
    """Started when it is made, with the schema `shop`; `receiver` is where its webhooks go."""

    def __init__(self, receiver: str = "http://127.0.0.1:9") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="task-inbox-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: Optional["subprocess.Popen[str]"] = None
        self.serve()
        (self.folder / "shop.yml").write_text(SCHEMA.read_text().replace("RECEIVER", receiver))
        self.run("taskschema", "shop.yml")

    def serve(self) -> None:
        """Starts it, where it was before if it was killed."""
        self._process = subprocess.Popen(
            [PROGRAM, "--dev", "serve"],
            cwd=self.folder,
            env={**self._environment(), "TASK_INBOX_LISTEN": f"127.0.0.1:{self.port}"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line == f"listening on {self.url}\n", line

    def kill(self) -> None:
        """Ends it at once, as a power cut does."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """Lets it finish what it does."""
        self._end(signal.SIGTERM)

    def remove(self) -> None:
        """Ends it, and takes everything away."""
        self._end(signal.SIGKILL)
        shutil.rmtree(self.folder)

    def run(self, *args: str) -> Any:
        """Runs a command of the program on the database; gives what it prints."""
        command = [PROGRAM, "--dev", *args, "--json"]
        output = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        return json.loads(output.stdout)

    def sql(self, statement: str) -> None:
        """Changes the database as no call can."""
        database = sqlite3.connect(self.folder / "inbox.db", timeout=5)
        with database:
            database.execute(statement)
        database.close()

    def call(self, key: str, method: str, path: str, body: Optional[bytes] = None) -> None:
        """Makes a call that the client has no method for."""
        headers = {"api-key": key, "content-type": "application/json"}
        with urlopen(Request(self.url + path, body, headers, method=method)):
            pass

    def key(self, *options: str) -> str:
        """A new key that may post, read and decide."""
        may = [word for what in ("write", "read", "resolve") for word in ("--permission", f"tasks:{what}")]
        key: str = self.run("api_key", "--name", "shop", *may, *options)["key"]
        return key

    def client(self) -> TaskInbox:
        """A client with a new key."""
        return TaskInbox(self.url, self.key())

    def _environment(self) -> "dict[str, str]":
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "DATABASE_URL": f"sqlite://{self.folder}/inbox.db",
            "TASK_INBOX_LOG": "error",
        }

    def _end(self, how: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(how)
            self._process.communicate()
            self._process = None


def refund(order: str, cents: int = 500) -> PostTask:
    """A refund to ask for."""
    return {"schema_name": "shop", "task": "refund", "meta": {"order": order, "cents": cents}}


def offer(customer: str, cents: int) -> PostTask:
    """An offer, of which a customer has one at a time."""
    return {"schema_name": "shop", "task": "offer", "meta": {"customer": customer, "cents": cents}}
