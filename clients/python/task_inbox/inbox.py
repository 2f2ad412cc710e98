"""The inbox's calls."""

import json
import re
import secrets
import ssl
import time
from typing import Any, Callable, Dict, Optional, Union, cast
from uuid import UUID

from .errors import InboxError, WaitTimeoutError
from .models import Amend, Cancel, Decide, Decided, EventType, PostTask, TaskAnswer
from .subscription import Subscription
from .transport import Answer, Request, Retry, Transport, is_passing, now

SPAN = 50.0
"""How long the inbox is asked to wait at once: it takes 55 s at most."""
SOON = 1.0
"""An answer of the inbox that comes sooner, and says that a task is still open, is that of a server that stops."""


class TaskInbox:
    """A task-inbox, as one key sees it. May be used by any number of threads. All times are in seconds.

    `url` is its address, such as `https://inbox.example`, and `context` how to know it, if not by what this machine
    trusts. `retry_for` is how long a request that fails in passing is repeated, 0 for never; once a wait or a
    subscription has had an answer, it goes on for as long as it takes. `on_retry` hears of each failure that is followed
    by another attempt.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        retry_for: float = 60,
        on_retry: Optional[Callable[[Retry], None]] = None,
        context: Optional[ssl.SSLContext] = None,
    ) -> None:
        self._transport = Transport(url, api_key, retry_for, on_retry, context)

    def post(
        self, task: PostTask, *, idempotency_key: Optional[str] = None, wait: Optional[float] = None
    ) -> TaskAnswer:
        """Posts a task that a person must decide.

        It is on disk when the answer comes, and there once, however often it was sent. Of two posts with the same
        `idempotency_key`, the second gets the first one's task. Repetitions by this client have one key in any case;
        give your own, such as the order's number, if your program may post once more after a crash.

        With `wait`, the answer is the task as it is after so many seconds or at its end, whichever is first; its `phase`
        says whether it waits still.
        """
        end = None if wait is None else now() + _seconds("wait", wait)
        span = 0 if wait is None else min(wait, SPAN)
        request = Request(
            "POST",
            "/api/v1/tasks",
            query={"wait": None if wait is None else _text(span)},
            headers={"Idempotency-Key": _idempotent(idempotency_key)},
            body=_json(task),
            wait=span,
        )
        posted = cast(TaskAnswer, self._send(request).json)
        if end is None or posted["task"]["phase"] != "open":
            return posted
        try:
            return self._wait(posted["task"]["id"], end, posted)
        except WaitTimeoutError as error:
            return error.answer

    def get(self, id: Union[str, UUID]) -> TaskAnswer:
        """Reads a task."""
        return cast(TaskAnswer, self._send(Request("GET", _path(id))).json)

    def decide(
        self,
        id: Union[str, UUID],
        decision: Decide,
        *,
        version: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Decided:
        """Decides a task. The same decision by the same key may be sent again: it is made once.

        `version` is that of the task that was looked at: if it has changed since, the decision is refused (412).
        Where the type binds decisions to what was seen, one without it is refused, too (428).
        """
        return self._change("PATCH", f"{_path(id)}/state", decision, version, idempotency_key)

    def amend(
        self,
        id: Union[str, UUID],
        meta: Dict[str, Any],
        *,
        reason: Optional[str] = None,
        on_behalf_of: Optional[str] = None,
        version: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Decided:
        """Changes what a task says that waits.

        `meta` is merged into the task's (RFC 7396): what it doesn't name stays, and None takes away. Whoever decides
        with the version before is refused, and told what has changed. `version` is as of a decision; `on_behalf_of` is
        recorded as claimed, not proven.
        """
        body: Amend = {"meta": meta, "reason": reason, "on_behalf_of": on_behalf_of}
        return self._change("PATCH", _path(id), body, version, idempotency_key)

    def cancel(
        self,
        id: Union[str, UUID],
        *,
        reason: Optional[str] = None,
        on_behalf_of: Optional[str] = None,
        version: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Decided:
        """Withdraws a task that waits: nobody can decide it any more. To withdraw it again changes nothing.

        `version` is as of a decision; `on_behalf_of` is recorded as claimed, not proven.
        """
        body: Cancel = {"reason": reason, "on_behalf_of": on_behalf_of}
        return self._change("POST", f"{_path(id)}/cancel", body, version, idempotency_key)

    def wait(self, id: Union[str, UUID], *, timeout: Optional[float] = None) -> TaskAnswer:
        """Waits until a task is no longer open.

        How it ended is its `phase`: `resolved` is a decision; `cancelled` (withdrawn), `expired` (nobody decided in
        time) and `superseded` (by the task `superseded_by`) are none.

        Survives restarts of the inbox and connections that break; no end falls between two of its requests. Raises
        `WaitTimeoutError` if `timeout` seconds are over first; without it, it takes as long as it takes.
        """
        end = float("inf") if timeout is None else now() + _seconds("timeout", timeout)
        return self._wait(id, end, None)

    def subscribe(
        self,
        *,
        after: Optional[str] = None,
        schema: Optional[str] = None,
        ttype: Optional[str] = None,
        type: Optional[EventType] = None,
        task: Union[str, UUID, None] = None,
    ) -> Subscription:
        """Follows the log: `for event in inbox.subscribe():`.

        Each event comes once and in order, over broken connections and restarts of the inbox, until it is closed. It
        begins behind the cursor `after`, or at the end of the log if that is `latest`; without it, at the beginning.
        Filters combine. The connection is made when the first event is asked for.

        To go on after a restart of your own, keep `event["data"]["cursor"]` with the work that the event led to, and
        pass it as `after`. Raises `GoneError` if the log no longer has what comes after the cursor.
        """
        filters: Dict[str, Optional[str]] = {"schema": schema, "ttype": ttype, "type": type}
        filters["task"] = None if task is None else str(task)
        return Subscription(self._transport, filters, after)

    def _wait(self, id: Union[str, UUID], end: float, seen: Optional[TaskAnswer]) -> TaskAnswer:
        path = f"{_path(id)}/wait"
        while True:
            begun = now()
            # The first answer comes at once: from then on it is known what is waited for.
            span = max(0.0, min(end - begun, SPAN)) if seen else 0.0
            patience = end if seen else min(end, begun + self._transport.retry_for)
            try:
                answer = self._transport.send(Request("GET", path, {"timeout": _text(span)}, wait=span), patience)
            except InboxError as error:
                if seen and is_passing(error):
                    raise WaitTimeoutError(seen) from error
                raise
            seen = cast(TaskAnswer, answer.json)
            if answer.status != 202:
                return seen
            if now() >= end:
                raise WaitTimeoutError(seen)
            if now() - begun < min(SOON, span):
                time.sleep(SOON / 4)

    def _change(
        self, method: str, path: str, body: Any, version: Optional[int], idempotency_key: Optional[str]
    ) -> Decided:
        headers = {"Idempotency-Key": _idempotent(idempotency_key)}
        if version is not None:
            headers["If-Match"] = f'"{version:d}"'
        return cast(Decided, self._send(Request(method, path, headers=headers, body=_json(body))).json)

    def _send(self, request: Request) -> Answer:
        return self._transport.send(request, now() + self._transport.retry_for)


def _path(id: Union[str, UUID]) -> str:
    """Where a task is. Anything else in an id's place could lead elsewhere."""
    text = str(id)
    if not re.fullmatch("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
        raise ValueError(f"{text!r} is no task's id")
    return f"/api/v1/tasks/{text}"


def _seconds(name: str, value: float) -> float:
    if not value >= 0:
        raise ValueError(f"{name} is a number of seconds")
    return value


def _text(seconds: float) -> str:
    """A span of time as the API reads it."""
    return f"{int(seconds * 1000)}ms" if seconds < 10 else f"{int(seconds)}s"


def _idempotent(key: Optional[str]) -> str:
    """The caller's key, or one by which repetitions are known."""
    if key is None:
        return secrets.token_hex(16)
    if not re.fullmatch("[!-~]{1,255}", key):
        raise ValueError("an idempotency key is 1 to 255 visible ASCII characters")
    return key


def _json(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
