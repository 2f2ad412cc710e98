import json
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import monotonic
from typing import List, Optional
from unittest import TestCase

from task_inbox import ProblemError, Retry, TaskInbox, UnreachableError

from .cable import FOR_EVER, Cable
from .server import Server, refund

BAD_GATEWAY = (
    b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 26\r\nconnection: close\r\n\r\n"
    b"<h1>502 Bad Gateway</h1>\r\n"
)


class Retries(TestCase):
    server: Server
    key: str

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server()
        cls.addClassCleanup(cls.server.remove)
        cls.key = cls.server.key()

    def cable(self) -> Cable:
        cable = Cable(self.server.port)
        self.addCleanup(cable.remove)
        return cable

    def posted(self, order: str) -> int:
        """How many tasks were posted about an order."""
        inbox = TaskInbox(self.server.url, self.key)
        last = inbox.post(refund("the last"))["task"]["id"]
        count = 0
        for event in inbox.subscribe(type="task.created"):
            task = event["data"]["task"]
            assert task and task["meta"] is not None
            count += 1 if task["meta"]["order"] == order else 0
            if task["id"] == last:
                return count
        self.fail("the log has no end")

    def test_a_post_whose_answer_was_lost_is_repeated_and_makes_one_task(self) -> None:
        cable = self.cable()
        # The first two connections break before the answer's first byte, the third in the middle of it.
        lasts = [0, 0, 40]
        cable.lasts = lambda: lasts.pop(0) if lasts else FOR_EVER
        retries: List[Retry] = []
        inbox = TaskInbox(cable.url, self.key, on_retry=retries.append)
        task = inbox.post(refund("lost"))["task"]
        self.assertEqual(task["meta"], {"order": "lost", "cents": 500})
        self.assertEqual([retry.failures for retry in retries], [1, 2, 3])
        for retry in retries:
            self.assertIsInstance(retry.error, UnreachableError)
        self.assertEqual(cable.count('"order":"lost"'), 4)
        self.assertEqual(self.posted("lost"), 1)

        # A decision, too.
        lasts.append(0)
        decided = inbox.decide(task["id"], {"state": "granted", "output": {"cents": 1}}, version=1)
        self.assertEqual((decided["task"]["version"], len(retries)), (2, 4))

        # And what the sender changes and withdraws.
        waits = inbox.post(refund("changed"))["task"]["id"]
        lasts.append(0)
        self.assertEqual(inbox.amend(waits, {"cents": 1})["task"]["version"], 2)
        lasts.append(0)
        self.assertEqual(inbox.cancel(waits, version=2)["task"]["version"], 3)
        self.assertEqual(len(retries), 6)

    def test_whoever_is_over_a_rate_comes_back_when_told(self) -> None:
        slow = self.server.key("--rate", "2/s")
        retries: List[Retry] = []
        inbox = TaskInbox(self.server.url, slow, on_retry=retries.append)
        with ThreadPoolExecutor(5) as threads:
            answers = list(threads.map(lambda _: inbox.post(refund("rate")), range(5)))
        self.assertEqual(len({answer["task"]["id"] for answer in answers}), 5)
        self.assertTrue(retries)
        for retry in retries:
            assert isinstance(retry.error, ProblemError) and retry.error.retry_after
            self.assertEqual(retry.error.status, 429)
            self.assertGreaterEqual(retry.delay, retry.error.retry_after)
        with self.assertRaises(ProblemError) as refused:
            for _ in range(5):
                TaskInbox(self.server.url, slow, retry_for=0).post(refund("rate"))
        self.assertEqual((refused.exception.status, refused.exception.type), (429, "/problems/too-many-requests"))

    def test_a_post_outlives_maintenance_that_is_short_and_hears_the_message_of_one_that_is_long(self) -> None:
        operator = self.server.run("api_key", "--name", "operator", "--permission", "maintenance:write")["key"]

        def begin(**how: str) -> None:
            self.server.call(operator, "PUT", "/api/v1/maintenance", json.dumps(how).encode())

        begin(schema="shop", retry_after="1s")
        retries: List[Retry] = []

        def on_retry(retry: Retry) -> None:
            if not retries:
                self.server.call(operator, "DELETE", "/api/v1/maintenance?schema=shop")
            retries.append(retry)

        TaskInbox(self.server.url, self.key, on_retry=on_retry).post(refund("maintained"))
        error, delay = retries[0].error, retries[0].delay
        assert isinstance(error, ProblemError)
        self.assertEqual((error.status, error.retry_after, delay >= 1), (503, 1, True))

        begin(message="Back at 14:00 UTC.", retry_after="10m")
        # Ten minutes are more than the one for which it would try: it doesn't.
        begun = monotonic()
        with self.assertRaisesRegex(ProblemError, "Back at 14:00 UTC.") as refused:
            TaskInbox(self.server.url, self.key).post(refund("never"))
        self.assertEqual((refused.exception.status, refused.exception.retry_after), (503, 600))
        self.assertLess(monotonic() - begun, 30)
        self.server.call(operator, "DELETE", "/api/v1/maintenance")
        self.assertEqual((self.posted("maintained"), self.posted("never")), (1, 0))

    def test_a_proxy_that_does_not_reach_the_inbox_is_tried_again(self) -> None:
        cable = self.cable()
        cable.answer = BAD_GATEWAY
        retries: List[Retry] = []

        def on_retry(retry: Retry) -> None:
            retries.append(retry)
            if len(retries) == 2:
                cable.answer = None

        TaskInbox(cable.url, self.key, on_retry=on_retry).post(refund("proxied"))
        error = retries[0].error
        assert isinstance(error, ProblemError)
        self.assertEqual((error.status, error.type, error.detail), (502, "about:blank", "<h1>502 Bad Gateway</h1>"))
        self.assertEqual(self.posted("proxied"), 1)

        # Where a redirect leads, the key does not go.
        location = f"location: {self.server.url}/api/v1/tasks".encode()
        cable.answer = b"HTTP/1.1 307 Temporary Redirect\r\n" + location + b"\r\ncontent-length: 0\r\n\r\n"
        with self.assertRaises(ProblemError) as redirected:
            TaskInbox(cable.url, self.key).post(refund("redirected"))
        self.assertEqual((redirected.exception.status, self.posted("redirected")), (307, 0))

    def test_a_server_that_is_gone_is_waited_for_and_not_for_ever(self) -> None:
        retries: List[Retry] = []
        long_gone = Event()

        def on_retry(retry: Retry) -> None:
            retries.append(retry)
            if len(retries) == 4:
                long_gone.set()

        self.server.kill()
        with ThreadPoolExecutor() as threads:
            post = threads.submit(TaskInbox(self.server.url, self.key, on_retry=on_retry).post, refund("outage"))
            self.assertTrue(long_gone.wait(60))
            tried: List[Optional[float]] = []
            with self.assertRaises(UnreachableError):
                impatient = TaskInbox(
                    self.server.url, self.key, retry_for=0.5, on_retry=lambda r: tried.append(r.delay)
                )
                impatient.post(refund("too late"))
            self.assertTrue(tried)
            self.server.serve()
            self.assertEqual(post.result()["task"]["meta"], {"order": "outage", "cents": 500})
        self.assertEqual([retry.failures for retry in retries], list(range(1, len(retries) + 1)))
        self.assertEqual(self.posted("outage"), 1)
