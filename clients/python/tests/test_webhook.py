import base64
import hashlib
import hmac
import json
from time import time
from typing import Any, Callable, Dict, Optional, Tuple, Union, cast
from unittest import TestCase

from task_inbox import ConflictError, TaskInbox, WebhookError, verify_webhook
from task_inbox.models import WebhookEvent

from .receiver import Receiver
from .server import Server, refund

# The vector published with the Standard Webhooks specification.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR = '{"test": 2432232314}'
HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
OTHER = "whsec_" + "A" * 32
EVENT = b'{"type":"task.created","data":{}}'


def about(id: str, kind: str = "task.created") -> Callable[[WebhookEvent], bool]:
    def wanted(event: WebhookEvent) -> bool:
        task = cast(Dict[str, Any], event["data"]).get("task")
        return event["type"] == kind and task is not None and task["id"] == id

    return wanted


def signed(age: float, body: bytes = EVENT, timestamp: Optional[str] = None) -> Tuple[bytes, Dict[str, str], str]:
    """A webhook with a good signature, sent so many seconds ago."""
    sent = str(int(time() - age)) if timestamp is None else timestamp
    key = base64.b64decode(SECRET[len("whsec_") :])
    mac = hmac.new(key, f"evt_1.{sent}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(mac).decode()}"
    return body, {"webhook-id": "evt_1", "webhook-timestamp": sent, "webhook-signature": signature}, SECRET


class Refusals(TestCase):
    def refused(self, reason: str, *args: Any, **options: Any) -> str:
        with self.assertRaises(WebhookError) as refusal:
            verify_webhook(*args, **options)
        self.assertEqual(refusal.exception.reason, reason)
        return str(refusal.exception)


class Sent(Refusals):
    """What a server sends."""

    receiver: Receiver
    server: Server
    inbox: TaskInbox

    @classmethod
    def setUpClass(cls) -> None:
        cls.receiver = Receiver()
        cls.addClassCleanup(cls.receiver.remove)
        cls.server = Server(cls.receiver.url)
        cls.addClassCleanup(cls.server.remove)
        cls.inbox = cls.server.client()
        cls.receiver.secrets = cls.server.run("webhook_key", "shop")["key"]

    def test_a_webhook_is_verified_and_says_what_the_log_says(self) -> None:
        secret = self.receiver.secrets
        task = self.inbox.post(refund("\u2028 🦊"))["task"]["id"]
        event, headers, body = self.receiver.of(about(task))
        self.assertEqual(event, next(self.inbox.subscribe(task=task)))
        assert event["type"] != "task.guard" and event["type"] != "endpoint.test"
        self.assertEqual(headers["webhook-id"], f"evt_{event['data']['event_id']}")
        # As other frameworks have it, and as text.
        shouted = {name.upper(): value for name, value in headers.items()}
        for raw in (body, bytearray(body), memoryview(body), body.decode()):
            self.assertEqual(verify_webhook(raw, shouted, secret), event)
        # Anything else is refused.
        self.refused("signature", body[:-2] + b" }", headers, secret)
        self.refused("signature", json.dumps(event), headers, secret)
        self.refused("signature", body, {**shouted, "WEBHOOK-ID": "evt_other"}, secret)
        self.refused("signature", body, headers, OTHER)

    def test_while_a_key_is_rotated_either_verifies(self) -> None:
        old = self.receiver.secrets
        assert isinstance(old, str)
        new = self.server.run("webhook_key", "shop", "--rotate", "--overlap", "1h")["key"]
        for secrets in (old, new, [new, old], (OTHER, new)):
            self.receiver.secrets = secrets
            received = self.receiver.of(about(self.inbox.post(refund("rotated"))["task"]["id"]))
            self.assertEqual(len(received.headers["webhook-signature"].split()), 2)
        self.assertEqual(self.receiver.refused, [])

        # The old one ends, and proves nothing any more.
        keys = self.server.run("webhook_keys", "shop")["webhook_keys"]
        self.server.run("revoke_webhook_key", next(key["id"] for key in keys if key["expires"]))
        self.receiver.secrets = old
        while not self.receiver.refused:
            # The server hears of it within a second.
            taken = about(self.inbox.post(refund("revoked"))["task"]["id"])
            self.receiver.first(lambda: self.receiver.taken(taken) or self.receiver.refused)
        self.assertEqual(self.receiver.refused[0].reason, "signature")
        self.receiver.secrets = new
        self.receiver.refused.clear()

    def test_a_guard_asks_and_its_reason_reaches_who_decides(self) -> None:
        task = self.inbox.post({"schema_name": "shop", "task": "payout", "meta": {"cents": 500}})["task"]
        reason = {"reason": "only 400 cents were paid"}
        self.receiver.verdict = {"allow": False, **reason}
        with self.assertRaises(ConflictError) as refusal:
            self.inbox.decide(task["id"], {"state": "paid", "reason": "please"})
        self.assertEqual((refusal.exception.status, refusal.exception.guard), (409, reason))
        event = self.receiver.of(about(task["id"], "task.guard")).event
        assert event["type"] == "task.guard"
        shown = {name: value for name, value in task.items() if name != "allowed_transitions"}
        data = event["data"]
        self.assertEqual(data["task"], shown)
        self.assertEqual((data["transition"], data["ttype"]), ({"from": None, "to": "paid"}, "payout"))
        self.assertEqual((data["actor"]["name"], data["reason"], data["output"]), ("shop", "please", None))
        self.receiver.verdict = {"allow": True}
        self.assertEqual(self.inbox.decide(task["id"], {"state": "paid"})["task"]["state"], "paid")
        paid = self.receiver.of(about(task["id"], "task.state_changed")).event
        assert paid["type"] == "task.state_changed"
        self.assertEqual(paid["data"]["guard"], "allowed")

    def test_a_test_of_an_endpoint_is_told_from_an_event(self) -> None:
        endpoint = self.server.run("endpoints")["endpoints"][0]["id"]
        key = self.server.run("api_key", "--name", "tester", "--permission", "endpoints:write")["key"]
        self.server.call(key, "POST", f"/api/v1/endpoints/{endpoint}/test")
        event = self.receiver.of(lambda event: event["type"] == "endpoint.test").event
        assert event["type"] == "endpoint.test"
        self.assertEqual(event["data"]["endpoint_id"], endpoint)
        self.assertIsInstance(event["data"]["message"], str)


class Verify(Refusals):
    """What others may send."""

    def test_the_published_vector_is_of_2021_and_no_event(self) -> None:
        message = self.refused("stale", VECTOR, HEADERS, SECRET)
        self.assertRegex(message, "s behind this clock, 300 s are allowed")
        self.refused("body", VECTOR, HEADERS, SECRET, tolerance_seconds=float("inf"))
        right = HEADERS["webhook-signature"]
        self.refused("stale", VECTOR, {**HEADERS, "webhook-signature": f"v1 v1, v1a, v2, %  {right} v1,AAAA"}, SECRET)
        for wrong in ("v1,", "v1", right[3:], right.replace("v1", "v1a"), "v1,ü", "v1,\udc80"):
            self.refused("signature", VECTOR, {**HEADERS, "webhook-signature": wrong}, SECRET)
        self.refused("signature", VECTOR, {**HEADERS, "webhook-id": "\udc80"}, SECRET)

    def test_five_minutes_both_ways_or_as_many_seconds_as_are_said(self) -> None:
        for age in (0, 298, -298):
            self.assertEqual(verify_webhook(*signed(age))["type"], "task.created")
        self.refused("stale", *signed(303))
        self.assertIn("ahead of this clock", self.refused("stale", *signed(-303)))
        self.refused("stale", *signed(63), tolerance_seconds=60)
        self.assertTrue(verify_webhook(*signed(303), tolerance_seconds=600))
        for timestamp in ("soon", "-1", "1e3", " 1", "١", "9" * 16, "1\n"):
            self.refused("timestamp", *signed(0, timestamp=timestamp))

    def test_what_is_genuine_and_no_event_is_told_so(self) -> None:
        deep = b"[" * 100_000
        for body in (b"", b"{", b"[]", b"null", b'{"task":{},"ttype":"refund"}', b'{"type":"\xff","data":1}', deep):
            self.refused("body", *signed(0, body))

    def test_headers_that_are_missing_and_such_as_came_twice(self) -> None:
        body, headers, secret = signed(0)
        for name in headers:
            without = {other: value for other, value in headers.items() if other != name}
            self.assertEqual(self.refused("header", body, without, secret), f"{name} is missing")
            self.refused("header", body, {**headers, name: ""}, secret)
            self.refused("header", body, {**headers, name.upper(): headers[name]}, secret)

    def test_what_is_no_secret_and_what_is_no_longer_raw(self) -> None:
        body, headers, secret = signed(0)
        wrong: Union[str, None]
        for wrong in ("", secret[6:], "whsec_%", "whsec_AAAA", "whsec_" + "A" * 88, None):
            with self.assertRaises(ValueError, msg=wrong):
                verify_webhook(body, headers, [secret, cast(str, wrong)])
        with self.assertRaises(ValueError):
            verify_webhook(body, headers, [])
        with self.assertRaisesRegex(TypeError, "before it is parsed"):
            verify_webhook(json.loads(body), headers, secret)
        with self.assertRaises(ValueError):
            verify_webhook(body, headers, secret, tolerance_seconds=float("nan"))
