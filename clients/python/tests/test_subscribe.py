import random
from concurrent.futures import ThreadPoolExecutor
from typing import List, Optional
from unittest import TestCase

from task_inbox import GoneError, ProblemError, Subscription, TaskInbox
from task_inbox.models import Event, EventTask, PostTask

from .cable import Cable
from .server import GRANT, Server, refund


def task(event: Event) -> EventTask:
    """The task that an event is about."""
    found = event["data"]["task"]
    assert found
    return found


def order(event: Event) -> object:
    meta = task(event)["meta"]
    return meta.get("order") if meta else None


class Subscribe(TestCase):
    server: Server
    key: str
    inbox: TaskInbox
    threads: ThreadPoolExecutor

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server()
        cls.addClassCleanup(cls.server.remove)
        cls.key = cls.server.key()
        cls.inbox = TaskInbox(cls.server.url, cls.key)
        cls.threads = ThreadPoolExecutor()
        cls.addClassCleanup(cls.threads.shutdown)

    def cable(self) -> Cable:
        cable = Cable(self.server.port)
        self.addCleanup(cable.remove)
        return cable

    def end(self) -> str:
        """The log's end."""
        posted = self.inbox.post(refund("the end"))["task"]["id"]
        return next(self.inbox.subscribe(task=posted))["data"]["cursor"]

    def test_the_log_from_its_beginning_and_each_event_as_it_happens(self) -> None:
        events = self.inbox.subscribe()
        first = next(events)
        self.assertEqual((first["type"], first["data"]["schema"]), ("schema.version_created", "shop"))
        self.assertEqual((first["data"]["seq"], first["data"]["cursor"]), (1, events.cursor))

        posted = self.inbox.post(refund("the first"))
        created = next(event for event in events if event["type"] == "task.created" and order(event) == "the first")
        shown = {name: value for name, value in posted["task"].items() if name != "allowed_transitions"}
        self.assertEqual((task(created), created["data"]["ttype"]), (shown, posted["ttype"]))
        self.inbox.decide(posted["task"]["id"], {"state": "granted", "output": {"cents": 500}, "reason": "broken"})
        data = next(events)["data"]
        assert data["task"] and data["actor"]
        self.assertEqual((data["task"]["state"], data["actor"]["name"]), ("granted", "shop"))
        self.assertEqual((data["previous_state"], data["output"], data["reason"]), (None, {"cents": 500}, "broken"))
        events.close()
        self.assertEqual(list(events), [])

    def test_another_process_goes_on_behind_a_cursor_and_filters_combine(self) -> None:
        after = self.end()
        tasks = [self.inbox.post(refund(name))["task"]["id"] for name in "abc"]
        self.inbox.post({"schema_name": "shop", "task": "note"})
        for posted in tasks:
            self.inbox.decide(posted, GRANT)
        with self.inbox.subscribe(after=after) as events:
            first = next(events)
        with self.inbox.subscribe(after=first["data"]["cursor"]) as events:
            self.assertEqual([order(first), order(next(events))], ["a", "b"])
        filters = self.inbox.subscribe(
            after=after, schema="shop", ttype="refund", type="task.state_changed", task=tasks[2]
        )
        with filters as events:
            self.assertEqual(task(next(events))["id"], tasks[2])

    def test_only_what_is_yet_to_come(self) -> None:
        cable = self.cable()
        with TaskInbox(cable.url, self.key).subscribe(after="latest") as events:
            coming = self.threads.submit(next, events)
            cable.came("\nid: ")
            posted = self.inbox.post(refund("to come"))["task"]["id"]
            self.assertEqual(task(coming.result(60))["id"], posted)

    def test_what_a_filter_leaves_out_moves_the_position_and_is_not_read_again(self) -> None:
        cable = self.cable()
        after = self.end()
        posted = self.inbox.post(refund("left out"))["task"]["id"]
        place = self.end()
        with TaskInbox(cable.url, self.key).subscribe(after=after, type="task.state_changed") as events:
            coming = self.threads.submit(next, events)
            cable.came(f"\nid: {place}\n\n")
            cable.end()
            cable.sent(f"after={place}")
            self.inbox.decide(posted, GRANT)
            self.assertEqual(task(coming.result(60))["id"], posted)

    def test_connections_that_break_at_random_lose_and_repeat_nothing(self) -> None:
        posts = 300
        cable = self.cable()
        breaks: List[int] = []

        def lasts() -> int:
            breaks.append(random.randrange(60_000))
            return breaks[-1]

        cable.lasts = lasts
        after = self.end()

        def write(number: int) -> None:
            body: PostTask = {**refund(f"{number}"), "external_id": f"break-{number}"}
            self.inbox.post(body)

        with (
            ThreadPoolExecutor(5) as writers,
            TaskInbox(cable.url, self.key).subscribe(after=after, type="task.created") as events,
        ):
            written = [writers.submit(write, number) for number in range(posts)]
            seen = [next(events) for _ in range(posts)]
            for each in written:
                each.result()
        numbers = [event["data"]["seq"] for event in seen]
        self.assertEqual(numbers, sorted(set(numbers)), "in order, and none twice")
        self.assertEqual(len({task(event)["external_id"] for event in seen}), posts)
        self.assertGreater(len(breaks), 3)

    def test_a_server_that_is_killed_again_and_again(self) -> None:
        # It is answered once, and needs no more to be patient.
        follower = TaskInbox(self.server.url, self.key, retry_for=0)
        with follower.subscribe(after=self.end(), type="task.created") as events:
            for number in range(3):
                coming = self.threads.submit(lambda: [next(events), next(events)])
                first = self.inbox.post(refund(f"before {number}"))["task"]["id"]
                self.server.kill()
                second = self.threads.submit(self.inbox.post, refund(f"after {number}"))
                self.server.serve()
                seen = [task(event)["id"] for event in coming.result(60)]
                self.assertEqual(seen, [first, second.result()["task"]["id"]])

    def test_another_thread_closes_it_while_it_waits_and_between_two_connections(self) -> None:
        cable = self.cable()
        events = TaskInbox(cable.url, self.key).subscribe(after="latest")
        waiting = self.threads.submit(list, events)
        cable.came("\nid: ")
        events.close()
        # Not by the next heartbeat, which comes after fifteen.
        self.assertEqual(waiting.result(10), [])

        failing = self.cable()
        failing.lasts = lambda: 0
        closed: Optional[Subscription] = None

        def on_retry(_: object) -> None:
            assert closed
            closed.close()

        closed = TaskInbox(failing.url, self.key, on_retry=on_retry).subscribe()
        self.assertEqual(list(closed), [])
        never = self.inbox.subscribe()
        never.close()
        self.assertEqual(list(never), [])

    def test_any_text_arrives_as_it_was_sent(self) -> None:
        after = self.end()
        text = "\u2028 \u2029 \r\n\n data: id: \u0085 \ufeff 🦊"
        self.inbox.post(refund(text))
        with self.inbox.subscribe(after=after) as events:
            self.assertEqual(order(next(events)), text)
        # A large event that arrives in many pieces, one of which ends within a character.
        large = "🦊\u2028" * 30_000
        self.inbox.post({"schema_name": "shop", "task": "note", "meta": {"text": large}})
        with self.inbox.subscribe(after=after, ttype="note") as events:
            self.assertEqual(task(next(events))["meta"], {"text": large})
        # A document that was sent on several lines stands so in the log.
        lines = b'{"schema_name": "shop", "task": "refund", "meta": {\r\n\r\n"order":\r"lines",\n"cents": 7}}'
        self.server.call(self.key, "POST", "/api/v1/tasks", lines)
        with self.inbox.subscribe(after=after, ttype="refund") as events:
            next(events)
            self.assertEqual(task(next(events))["meta"], {"order": "lines", "cents": 7})

    def test_a_key_that_ends_and_what_cannot_be_read_are_told(self) -> None:
        reader = self.server.run("api_key", "--name", "reader", "--permission", "tasks:read")
        cable = self.cable()
        coming = self.threads.submit(next, TaskInbox(cable.url, reader["key"]).subscribe(after="latest"))
        cable.came("\nid: ")
        self.server.run("revoke_key", reader["id"])
        with self.assertRaises(ProblemError) as revoked:
            coming.result(60)
        self.assertEqual(revoked.exception.status, 403)
        with self.assertRaises(ProblemError) as wrong:
            next(self.inbox.subscribe(after="nonsense"))
        self.assertEqual(wrong.exception.status, 400)


class Floor(TestCase):
    def test_below_the_floor_of_the_log_there_is_nothing_and_the_error_says_where_there_is(self) -> None:
        server = Server()
        self.addCleanup(server.remove)
        inbox = server.client()
        inbox.post(refund("gone"))
        inbox.post(refund("kept"))
        server.sql("UPDATE log_head SET floor_seq = (SELECT max(seq) - 1 FROM events)")
        with self.assertRaises(GoneError) as gone:
            next(inbox.subscribe())
        self.assertEqual((gone.exception.status, gone.exception.floor), (410, 2))
        with inbox.subscribe(after=gone.exception.cursor) as events:
            self.assertEqual(order(next(events)), "kept")
