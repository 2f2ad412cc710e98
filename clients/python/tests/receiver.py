"""A receiver of webhooks that verifies each with the client."""

import json
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, TypeVar, Union

from task_inbox import WebhookError, verify_webhook
from task_inbox.models import WebhookEvent


T = TypeVar("T")


class Received(NamedTuple):
    """A webhook as it came."""

    event: WebhookEvent
    headers: "Message[str, str]"
    body: bytes


class Receiver:
    """Listens when it is made."""

    def __init__(self) -> None:
        self.secrets: Union[str, Sequence[str]] = []
        """What it verifies with."""
        self.verdict: Dict[str, Any] = {"allow": True}
        """What it says to a guard's question."""
        self.refused: List[WebhookError] = []
        """What it refused."""
        self._received: List[Received] = []
        self._changed = Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, answer = receiver._take(body, self.headers)
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def of(self, wanted: Callable[[WebhookEvent], bool]) -> Received:
        """Waits for a webhook that this holds for."""
        return self.first(lambda: self.taken(wanted))

    def taken(self, wanted: Callable[[WebhookEvent], bool]) -> List[Received]:
        """Those that came already."""
        return [received for received in self._received if wanted(received.event)]

    def first(self, found: Callable[[], Sequence[T]]) -> T:
        """Waits until there is something."""
        with self._changed:
            assert self._changed.wait_for(lambda: bool(found()), 60), "no such webhook came"
            return found()[0]

    def remove(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, body: bytes, headers: "Message[str, str]") -> "tuple[int, bytes]":
        try:
            event = verify_webhook(body, headers, self.secrets)
        except WebhookError as error:
            with self._changed:
                self.refused.append(error)
                self._changed.notify_all()
            return 401, b""
        answer = json.dumps(self.verdict).encode() if event["type"] == "task.guard" else b""
        with self._changed:
            self._received.append(Received(event, headers, body))
            self._changed.notify_all()
        return 200, answer
