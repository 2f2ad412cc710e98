"""Runs the programs that the README shows."""

import os
import subprocess
import sys
from pathlib import Path
from unittest import TestCase
from urllib.error import HTTPError
from urllib.request import urlopen

from .server import Server, free_port, refund

PROGRAMS = Path(__file__).parent / "readme"


class Readme(TestCase):
    def setUp(self) -> None:
        self.port = free_port()
        self.server = Server(f"http://127.0.0.1:{self.port}")
        self.addCleanup(self.server.remove)
        self.inbox = self.server.client()
        self.environment = {
            "PYTHONPATH": os.environ["PYTHONPATH"],
            "INBOX_URL": self.server.url,
            "INBOX_KEY": self.server.key(),
            "WEBHOOK_SECRETS": self.server.run("webhook_key", "shop")["key"],
            "PORT": str(self.port),
        }

    def program(self, name: str, *args: str) -> "subprocess.Popen[str]":
        command = [sys.executable, str(PROGRAMS / f"{name}.py"), *args]
        program = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, text=True)

        def end() -> None:
            program.kill()
            program.communicate()

        self.addCleanup(end)
        return program

    def line(self, program: "subprocess.Popen[str]") -> str:
        assert program.stdout
        return program.stdout.readline().rstrip("\n")

    def test_all_of_them_as_one_story(self) -> None:
        receive = self.program("receive")
        self.assertEqual(self.line(receive), "ready")
        follow = self.program("follow")
        post = self.program("post")
        asked, _, task = self.line(post).partition(": ")
        self.assertEqual(asked, "asked")
        self.assertRegex(self.line(receive), r"^evt_\S+ task\.created$")

        decide = self.program("decide", task)
        self.assertEqual(self.line(decide), "granted")
        self.assertEqual(self.line(post), "granted: {'cents': 1500}")
        self.assertRegex(self.line(receive), r"^evt_\S+ task\.state_changed$")
        self.assertEqual(self.line(follow), "task.state_changed: order-4711 is granted")
        self.assertEqual((post.wait(60), decide.wait(60)), (0, 0))

        # A webhook from somebody else.
        with self.assertRaises(HTTPError) as refused:
            urlopen(f"http://127.0.0.1:{self.port}", b"{}")
        refused.exception.close()
        self.assertEqual((refused.exception.code, self.line(receive)), (401, "webhook-id is missing"))

        # A decision that is too late.
        task = self.inbox.post(refund("4712"))["task"]["id"]
        self.inbox.decide(task, {"state": "granted", "output": {"cents": 1500}})
        self.assertEqual(self.line(self.program("decide", task)), "too late: granted, by shop")

        # A log whose beginning is gone.
        first = next(self.inbox.subscribe())["data"]["cursor"]
        self.server.sql("UPDATE log_head SET floor_seq = 2")
        gone = self.line(self.program("follow", first))
        self.assertRegex(gone, r"^what comes next is gone; the log begins at \S+$")
