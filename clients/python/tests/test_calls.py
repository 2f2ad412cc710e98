import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, List, cast
from unittest import TestCase

from task_inbox import ConflictError, ProblemError, TaskInbox, UnexpectedAnswerError, UnreachableError
from task_inbox.models import Decide, Decided, PostTask

from .cable import Cable
from .server import GRANT, NOBODY, Server, free_port, offer, refund


class Calls(TestCase):
    server: Server
    inbox: TaskInbox

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server()
        cls.addClassCleanup(cls.server.remove)
        cls.inbox = cls.server.client()

    def test_a_task_is_posted_read_and_decided(self) -> None:
        order: PostTask = {**refund("4711", 1999), "external_id": "order-4711"}
        posted = self.inbox.post(order)
        task = posted["task"]
        self.assertEqual((posted["ttype"], task["phase"], task["state"], task["version"]), ("refund", "open", None, 1))
        self.assertEqual(self.inbox.get(task["id"]), posted)

        decision: Decide = {"state": "granted", "output": {"cents": 1500}, "reason": "broken", "on_behalf_of": "nights"}
        decided = self.inbox.decide(task["id"], decision, version=1)["task"]
        self.assertEqual(
            (decided["state"], decided["phase"], decided["output"]), ("granted", "resolved", {"cents": 1500})
        )
        # The answer was lost, say.
        self.assertEqual(self.inbox.decide(task["id"], decision, version=1)["task"]["version"], 2)
        again = self.inbox.post(order)["task"]
        self.assertEqual((again["id"], again["state"]), (task["id"], "granted"))

    def test_an_idempotency_key_names_one_task_and_no_second_one(self) -> None:
        with ThreadPoolExecutor() as threads:
            posts = [threads.submit(self.inbox.post, refund("4712"), idempotency_key="refund-4712") for _ in range(2)]
            self.assertEqual(len({post.result()["task"]["id"] for post in posts}), 1)
        with self.assertRaises(ConflictError) as other:
            self.inbox.post(refund("4713"), idempotency_key="refund-4712")
        self.assertEqual(other.exception.status, 409)
        # Without one, two posts are two tasks.
        third, fourth = (self.inbox.post(refund("4714"))["task"]["id"] for _ in range(2))
        self.assertNotEqual(third, fourth)

    def test_what_is_wrong_with_a_body_is_told_by_pointers(self) -> None:
        with self.assertRaises(ProblemError) as wrong:
            self.inbox.post({"schema_name": "shop", "task": "refund", "meta": {"order": 4714}})
        error = wrong.exception
        self.assertEqual((error.status, error.type), (422, "/problems/invalid"))
        self.assertEqual(sorted(each["pointer"] for each in error.errors), ["/meta", "/meta/order"])
        self.assertIn("/meta/order: ", str(error))
        # It outlives the way out of a pool of processes.
        copy = pickle.loads(pickle.dumps(error))
        self.assertEqual((str(copy), copy.problem, type(copy)), (str(error), error.problem, ProblemError))
        with self.assertRaises(ProblemError) as unknown:
            self.inbox.post(cast(PostTask, {**refund("1"), "colour": "red"}))
        self.assertEqual((unknown.exception.status, unknown.exception.errors[0]["pointer"]), (422, "/colour"))

    def test_whoever_decides_too_late_hears_what_was_decided(self) -> None:
        task = self.inbox.post(refund("4715"))["task"]
        self.server.client().decide(task["id"], GRANT, version=1)
        with self.assertRaises(ConflictError) as late:
            self.inbox.decide(task["id"], {"state": "refused", "reason": "too old"}, version=1)
        error = late.exception
        assert error.current and error.decided_by
        self.assertEqual((error.status, error.current["state"], error.current["version"]), (412, "granted", 2))
        self.assertEqual((error.decided_by["name"], error.decided_at), ("shop", error.current["updated"]))
        with self.assertRaises(ConflictError) as never:
            self.inbox.decide(task["id"], {"state": "refused", "reason": "too old"})
        error = never.exception
        self.assertEqual((error.status, error.allowed_transitions, error.guard), (409, [None], None))

    def test_the_sender_changes_what_waits_and_whoever_decides_on_what_it_said_before_hears_what_is_another_now(
        self,
    ) -> None:
        task = self.inbox.post(refund("4718"))["task"]["id"]
        change = {"cents": 400, "note": "one came back"}
        amended = self.inbox.amend(task, change, reason="half of it", version=1, on_behalf_of="nights")["task"]
        self.assertEqual((amended["version"], amended["phase"]), (2, "open"))
        self.assertEqual(amended["meta"], {"order": "4718", "cents": 400, "note": "one came back"})
        with self.assertRaises(ConflictError) as late:
            self.inbox.decide(task, GRANT, version=1)
        error = late.exception
        self.assertEqual((error.status, error.current), (412, amended))
        cents = {"pointer": "/meta/cents", "from": 500, "to": 400}
        self.assertEqual(error.changes, [cents, {"pointer": "/meta/note", "to": "one came back"}])
        with self.assertRaises(ConflictError) as other:
            self.inbox.amend(task, {"cents": 300}, version=1)
        self.assertEqual((other.exception.status, len(other.exception.changes)), (412, 2))
        # None takes away; nothing that the type doesn't allow is taken.
        self.assertEqual(self.inbox.amend(task, {"note": None})["task"]["meta"], {"order": "4718", "cents": 400})
        with self.assertRaises(ProblemError) as wrong:
            self.inbox.amend(task, {"cents": None})
        self.assertEqual(wrong.exception.errors[0]["pointer"], "/meta")
        data = next(self.inbox.subscribe(task=task, type="task.amended"))["data"]
        assert data["actor"]
        self.assertEqual((data["reason"], data["actor"]["on_behalf_of"]), ("half of it", "nights"))

    def test_the_sender_withdraws_what_waits_and_nothing_else(self) -> None:
        task = self.inbox.post(refund("4719"))["task"]["id"]
        with self.assertRaises(ConflictError) as other:
            self.inbox.cancel(task, version=7)
        self.assertEqual(other.exception.status, 412)
        cancelled = self.inbox.cancel(task, reason="the customer keeps it", version=1)["task"]
        self.assertEqual((cancelled["phase"], cancelled["version"]), ("cancelled", 2))
        self.assertEqual(self.inbox.cancel(task)["task"], cancelled)
        late: List[Callable[[], Decided]] = [
            lambda: self.inbox.amend(task, {"cents": 1}),
            lambda: self.inbox.decide(task, GRANT),
        ]
        for call in late:
            with self.assertRaises(ConflictError) as refused:
                call()
            assert refused.exception.current
            self.assertEqual((refused.exception.status, refused.exception.current["phase"]), (409, "cancelled"))
        decided = self.inbox.post(refund("4720"))["task"]["id"]
        self.inbox.decide(decided, GRANT)
        with self.assertRaises(ConflictError) as refused:
            self.inbox.cancel(decided)
        error = refused.exception
        assert error.current and error.decided_by
        self.assertEqual((error.status, error.current["state"], error.decided_by["name"]), (409, "granted", "shop"))

    def test_a_newer_task_takes_the_place_of_the_one_that_waits_and_a_decision_is_bound_to_what_was_seen(self) -> None:
        first = self.inbox.post(offer("c-1", 500))["task"]
        self.assertEqual((first["merge_key"], self.inbox.post(offer("c-1", 500))["task"]["id"]), ("c-1", first["id"]))
        task = self.inbox.post(offer("c-1", 700))["task"]
        self.assertEqual((task["supersedes"], task["binding"]["paths"]), (first["id"], ["/meta/cents"]))
        old = self.inbox.get(first["id"])["task"]
        self.assertEqual((old["phase"], old["superseded_by"]), ("superseded", task["id"]))
        # A type that has none takes one all the same.
        one, two = (self.inbox.post({**refund(order), "merge_key": "k"})["task"] for order in ("1", "2"))
        self.assertEqual(two["supersedes"], one["id"])

        with self.assertRaisesRegex(ProblemError, "If-Match") as blind:
            self.inbox.decide(task["id"], {"state": "accepted"})
        self.assertEqual((blind.exception.status, blind.exception.type), (428, "/problems/precondition-required"))
        self.inbox.decide(task["id"], {"state": "accepted"}, version=task["version"])
        data = next(self.inbox.subscribe(task=task["id"], type="task.state_changed"))["data"]
        self.assertEqual(data["bound"], {"version": 1, **task["binding"]})

    def test_a_wrong_key_a_key_without_a_permission_and_a_task_that_is_not_there(self) -> None:
        with self.assertRaises(ProblemError) as wrong:
            TaskInbox(self.server.url, "ti_wrong").post(refund("1"))
        self.assertEqual(wrong.exception.status, 403)
        reader = self.server.run("api_key", "--name", "reader", "--permission", "tasks:read")["key"]
        with self.assertRaisesRegex(ProblemError, "tasks:write"):
            TaskInbox(self.server.url, reader).post(refund("1"))
        with self.assertRaises(ProblemError) as missing:
            self.inbox.get(NOBODY)
        self.assertEqual((missing.exception.status, missing.exception.retry_after), (404, None))

    def test_any_text_comes_back_as_it_was_sent(self) -> None:
        meta = {
            "order": '\u2028 \u2029 \r\n \u0085 \ufeff 🦊 "\\ \u007f ',
            "cents": 1,
            "\u2028": {"deep": [None, 1.5, -0.1]},
        }
        task = self.inbox.post({"schema_name": "shop", "task": "refund", "meta": meta, "external_id": "Bestellung 🦊"})[
            "task"
        ]
        self.assertEqual(self.inbox.get(task["id"])["task"]["meta"], meta)

    def test_a_body_that_is_too_large_is_a_problem_and_one_that_just_fits_is_none(self) -> None:
        def note(length: int) -> PostTask:
            return {"schema_name": "shop", "task": "note", "meta": {"text": "ü" * (length // 2)}}

        meta = self.inbox.post(note(255 * 1024))["task"]["meta"]
        self.assertEqual(len(meta["text"] if meta else ""), 255 * 512)
        for length, status in ((257 * 1024, 422), (2 * 1024 * 1024, 413), (20 * 1024 * 1024, 413)):
            with self.assertRaises(ProblemError) as large:
                self.inbox.post(note(length))
            self.assertEqual(large.exception.status, status)

    def test_what_is_given_wrongly_is_said_and_nothing_is_sent(self) -> None:
        for url, key in (
            ("inbox.example", "k"),
            ("ftp://x", "k"),
            ("http://", "k"),
            ("http://x", ""),
            ("http://x", "a\nb"),
        ):
            with self.assertRaises(ValueError, msg=url):
                TaskInbox(url, key)
        with self.assertRaises(ValueError):
            TaskInbox(self.server.url, "k", retry_for=float("nan"))
        for wrong in ("", "..", "../../..", "01a1fcff", "x/y", NOBODY + "\n", cast(str, None)):
            calls: List[Callable[[str], Any]] = [
                self.inbox.get,
                self.inbox.wait,
                self.inbox.cancel,
                lambda id: self.inbox.amend(id, {}),
                lambda id: self.inbox.decide(id, GRANT),
            ]
            for given in calls:
                with self.assertRaises(ValueError, msg=wrong):
                    given(wrong)
        with self.assertRaises(ValueError):
            self.inbox.post(refund("1"), idempotency_key="with a blank")
        with self.assertRaises(ValueError):
            self.inbox.post(refund("1"), wait=-1)
        with self.assertRaises(ValueError):
            self.inbox.wait(NOBODY, timeout=float("nan"))
        for meta in ({"a": float("nan")}, {"a": "\ud800"}):
            with self.assertRaises(ValueError):
                self.inbox.post({"schema_name": "shop", "task": "note", "meta": meta})
        with self.assertRaises(TypeError):
            self.inbox.post({"schema_name": "shop", "task": "note", "meta": {"a": cast(Any, object())}})

    def test_an_address_below_a_path_with_a_slash_at_the_end(self) -> None:
        key = self.server.key()
        task = self.inbox.post(refund("4716"))["task"]
        self.assertEqual(TaskInbox(f"{self.server.url}/", key).get(task["id"])["task"], task)
        # Nothing is there: the path was kept.
        with self.assertRaises(ProblemError) as below:
            TaskInbox(f"{self.server.url}/inbox/", key).get(task["id"])
        self.assertEqual(below.exception.problem["instance"], f"/inbox/api/v1/tasks/{task['id']}")

    def test_what_is_no_inbox_is_told_from_one(self) -> None:
        cable = Cable(self.server.port)
        self.addCleanup(cable.remove)
        cable.answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<h1>Sign in</h1>"
        elsewhere = TaskInbox(cable.url, "k")
        with self.assertRaisesRegex(UnexpectedAnswerError, "text/html"):
            elsewhere.post(refund("1"))
        with self.assertRaises(UnexpectedAnswerError):
            next(elsewhere.subscribe())
        cable.answer = b"SSH-2.0-OpenSSH_9.2\r\n"
        with self.assertRaises(UnreachableError):
            TaskInbox(cable.url, "k", retry_for=0).post(refund("1"))
        with self.assertRaisesRegex(UnreachableError, "refused"):
            TaskInbox(f"http://127.0.0.1:{free_port()}", "k", retry_for=0).post(refund("1"))
