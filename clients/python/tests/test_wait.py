import pickle
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import Tuple
from unittest import TestCase

from task_inbox import ProblemError, TaskInbox, WaitTimeoutError
from task_inbox.models import PostTask, TaskAnswer

from .cable import Cable
from .server import GRANT, NOBODY, Server, offer, refund


class Wait(TestCase):
    server: Server
    inbox: TaskInbox
    cable: Cable
    far: TaskInbox
    """A client whose connections can be cut."""
    threads: ThreadPoolExecutor

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server()
        cls.addClassCleanup(cls.server.remove)
        cls.inbox = cls.server.client()
        cls.cable = Cable(cls.server.port)
        cls.addClassCleanup(cls.cable.remove)
        # It is answered once, and needs no more to be patient.
        cls.far = TaskInbox(cls.cable.url, cls.server.key(), retry_for=0)
        cls.threads = ThreadPoolExecutor()
        cls.addClassCleanup(cls.threads.shutdown)

    def waits(self, order: str) -> "Tuple[str, Future[TaskAnswer]]":
        """A task, and somebody who waits for it."""
        task = self.inbox.post(refund(order))["task"]["id"]
        wait = self.threads.submit(self.far.wait, task)
        self.asked(task)
        return task, wait

    def asked(self, task: str, times: int = 1) -> None:
        self.cable.sent(f"GET /api/v1/tasks/{task}/wait?timeout=50s", times)

    def test_a_wait_ends_with_the_decision(self) -> None:
        task, wait = self.waits("1")
        self.inbox.decide(task, GRANT)
        decided = wait.result(60)
        self.assertEqual((decided["task"]["state"], decided["task"]["output"]), ("granted", {"cents": 500}))
        # Of a task that was decided before, too.
        self.assertEqual(self.far.wait(task), decided)

    def test_it_ends_with_whatever_ends_the_task_and_says_what_that_was(self) -> None:
        task, wait = self.waits("withdrawn")
        self.inbox.cancel(task)
        ended = wait.result(60)["task"]
        self.assertEqual((ended["phase"], ended["state"]), ("cancelled", None))

        old = self.inbox.post(offer("waits", 1))["task"]["id"]
        wait = self.threads.submit(self.far.wait, old)
        self.asked(old)
        newer = self.inbox.post(offer("waits", 2))["task"]["id"]
        ended = wait.result(60)["task"]
        self.assertEqual((ended["phase"], ended["superseded_by"]), ("superseded", newer))

        question: PostTask = {"schema_name": "shop", "task": "question"}
        asked = self.inbox.post(question)["task"]
        self.assertTrue(asked["expires_at"])
        self.assertEqual(self.far.wait(asked["id"], timeout=30)["task"]["phase"], "expired")
        self.assertEqual(self.inbox.post(question, wait=30)["task"]["phase"], "expired")

    def test_it_survives_a_server_that_is_killed_and_comes_back(self) -> None:
        task, wait = self.waits("2")
        self.server.kill()
        self.server.serve()
        self.inbox.decide(task, GRANT)
        self.assertEqual(wait.result(60)["task"]["state"], "granted")

    def test_it_survives_a_server_that_stops_in_order(self) -> None:
        task, wait = self.waits("3")
        self.server.terminate()
        self.server.serve()
        self.inbox.decide(task, GRANT)
        self.assertEqual(wait.result(60)["task"]["state"], "granted")

    def test_it_survives_connections_that_break_and_misses_no_decision_between_them(self) -> None:
        task, wait = self.waits("4")
        for times in range(1, 4):
            self.asked(task, times)
            self.cable.cut()
        self.inbox.decide(task, GRANT)
        self.assertEqual(wait.result(60)["task"]["state"], "granted")

    def test_it_ends_in_time_and_tells_the_task(self) -> None:
        task = self.inbox.post(refund("5"))["task"]["id"]
        begun = monotonic()
        with self.assertRaises(WaitTimeoutError) as late:
            self.inbox.wait(task, timeout=0.5)
        self.assertEqual(late.exception.answer["task"]["id"], task)
        self.assertIsInstance(late.exception, TimeoutError)
        self.assertEqual(str(pickle.loads(pickle.dumps(late.exception))), f"the task {task} is still open")
        self.assertTrue(0.5 <= monotonic() - begun < 5)
        with self.assertRaises(WaitTimeoutError):
            self.inbox.wait(task, timeout=0)
        self.inbox.decide(task, GRANT)
        self.assertEqual(self.inbox.wait(task, timeout=0)["task"]["state"], "granted")

    def test_a_task_that_is_not_there_is_not_waited_for_and_one_that_goes_meanwhile_neither(self) -> None:
        with self.assertRaises(ProblemError) as missing:
            self.inbox.wait(NOBODY)
        self.assertEqual(missing.exception.status, 404)
        reader = self.server.run("api_key", "--name", "waits", "--permission", "tasks:read")
        task = self.inbox.post(refund("6"))["task"]["id"]
        far = TaskInbox(self.cable.url, reader["key"])
        wait = self.threads.submit(far.wait, task)
        self.asked(task)
        self.server.run("revoke_key", reader["id"])
        # The server hears of it within a second.
        with self.assertRaises(ProblemError):
            while True:
                far.get(task)
        self.cable.cut()
        with self.assertRaises(ProblemError) as revoked:
            wait.result(60)
        self.assertEqual(revoked.exception.status, 403)

    def test_a_post_waits(self) -> None:
        self.assertEqual(self.inbox.post(refund("7"), wait=0.2)["task"]["phase"], "open")

        # The connection breaks while it waits: the repetition gets the same task, and waits for it.
        patient = TaskInbox(self.cable.url, self.server.key())
        post = self.threads.submit(patient.post, refund("8"), wait=30, idempotency_key="order-8")
        self.cable.sent("POST /api/v1/tasks?wait=30s")
        for event in self.inbox.subscribe(type="task.created"):
            task = event["data"]["task"]
            if task and task["meta"] == {"order": "8", "cents": 500}:
                self.cable.cut()
                self.cable.sent("POST /api/v1/tasks?wait=", 2)
                self.inbox.decide(task["id"], GRANT)
                decided = post.result(60)["task"]
                self.assertEqual((decided["id"], decided["state"]), (task["id"], "granted"))
                return
