"""Requests, and when they are sent again. Knows nothing of tasks."""

import json
import random
import re
import socket
import ssl
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Callable, Dict, Mapping, Optional, cast
from urllib.parse import urlencode, urlsplit

from .errors import ConflictError, GoneError, InboxError, ProblemError, UnexpectedAnswerError, UnreachableError
from .models import Problem

PATIENCE = 30.0
"""Seconds for an answer."""
SILENCE = 45.0
"""Seconds without a sign of life after which a stream is taken for broken: three of the inbox's heartbeats."""
FIRST_DELAY = 0.25
"""Seconds before the second attempt, at most; doubled for each further one up to the longest."""
LONGEST_DELAY = 10.0
EXCERPT = 200
"""How much of an answer that is no problem document is told."""
PIECE = 64 * 1024
"""How much of a stream is taken at once, at most."""

now = time.monotonic


@dataclass(frozen=True)
class Retry:
    """That something failed and is about to be tried again."""

    error: InboxError
    """What failed."""
    failures: int
    """How often it has failed now without a success between."""
    delay: float
    """Seconds until the next attempt."""


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    method: str
    path: str
    """Below the inbox's address."""
    query: Mapping[str, Optional[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Optional[bytes] = None
    wait: float = 0
    """Seconds that the inbox takes its time for on purpose."""
    accept: str = "application/json"


@dataclass(frozen=True)
class Answer:
    """An answer: its status, and its JSON."""

    status: int
    json: Any


class Backoff:
    """How long to wait between failures, and when no longer."""

    def __init__(self, on_retry: Optional[Callable[[Retry], None]]) -> None:
        self._on_retry = on_retry
        self._failures = 0

    def reset(self) -> None:
        """Something went well."""
        self._failures = 0

    def rest(self, error: InboxError, end: float, pause: Callable[[float], Any] = time.sleep) -> None:
        """Waits until it is time to try again; raises the error if there is no use in that, or no time before `end`."""
        if not is_passing(error):
            raise error
        most = min(FIRST_DELAY * 2 ** min(self._failures, 30), LONGEST_DELAY)
        # At random, so that those who were cut off together don't come back together.
        own = most * (0.5 + random.random() / 2)
        left = end - now()
        told = (error.retry_after or 0.0) if isinstance(error, ProblemError) else 0.0
        if left <= 0 or told > left:
            raise error
        delay = min(max(own, told + random.random() * FIRST_DELAY if told > 0 else 0.0), left)
        self._failures += 1
        if self._on_retry:
            self._on_retry(Retry(error, self._failures, delay))
        pause(delay)


class Transport:
    """Sends requests to one inbox.

    Each has a connection of its own, so that one transport serves all threads, and processes that fork.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        retry_for: float,
        on_retry: Optional[Callable[[Retry], None]],
        context: Optional[ssl.SSLContext],
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not an address such as https://inbox.example")
        if not re.fullmatch("[!-~]+", api_key):
            raise ValueError("an API key is visible ASCII characters")
        if not retry_for >= 0:
            raise ValueError("retry_for is a number of seconds")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._base = parts.path.rstrip("/")
        self._api_key = api_key
        self._context = context
        self._on_retry = on_retry
        self.retry_for = retry_for
        """Seconds for which a request that fails is repeated."""

    def send(self, request: Request, end: float) -> Answer:
        """Sends, and repeats what fails in passing until `end` at most."""
        backoff = self.backoff()
        while True:
            try:
                return self._once(request)
            except InboxError as error:
                backoff.rest(error, end)

    def exchange(self, request: Request) -> "Exchange":
        """A request that is not yet sent."""
        query = urlencode({name: value for name, value in request.query.items() if value is not None})
        headers: Dict[str, str] = {"accept": request.accept, "api-key": self._api_key, **request.headers}
        if request.body is not None:
            headers["content-type"] = "application/json"
        patience = PATIENCE + request.wait
        connection: HTTPConnection
        if self._secure:
            connection = HTTPSConnection(self._host, self._port, timeout=patience, context=self._context)
        else:
            connection = HTTPConnection(self._host, self._port, timeout=patience)
        target = f"{self._base}{request.path}{'?' if query else ''}{query}"
        return Exchange(connection, request.method, target, headers, request.body)

    def backoff(self) -> Backoff:
        """For failures that follow each other."""
        return Backoff(self._on_retry)

    def _once(self, request: Request) -> Answer:
        exchange = self.exchange(request)
        try:
            exchange.begin()
            return Answer(exchange.status, exchange.json())
        finally:
            exchange.end()


class Exchange:
    """One request and its answer, on a connection of its own."""

    def __init__(
        self, connection: HTTPConnection, method: str, target: str, headers: Mapping[str, str], body: Optional[bytes]
    ) -> None:
        self._connection = connection
        self._request = (method, target, body, headers)
        self._socket: Optional[socket.socket] = None
        self._response: Optional[HTTPResponse] = None
        self._says_its_end = False
        self._patience = connection.timeout

    def begin(self) -> None:
        """Sends the request; raises what the answer says, if that is not a success."""
        method, target, body, headers = self._request
        try:
            self._connection.connect()
            self._socket = self._connection.sock
            try:
                self._connection.request(method, target, body, dict(headers))
            except ConnectionError:
                # It may have said why before it took everything.
                pass
            self._response = self._connection.getresponse()
            self._says_its_end = self._response.chunked or self._response.length is not None
        except (OSError, HTTPException) as error:
            raise self._broken(error) from error
        if not 200 <= self.status < 300:
            raise problem(self._response, self._text())

    @property
    def status(self) -> int:
        """The answer's status code."""
        return self._answer.status

    def json(self) -> Any:
        """The whole answer."""
        text = self._text()
        try:
            return json.loads(text)
        except ValueError:
            raise unexpected(self._answer, text) from None

    def stream(self) -> None:
        """Prepares to read a stream of server-sent events; raises if it is none."""
        if media_type(self._answer) != "text/event-stream":
            raise unexpected(self._answer, self._text())
        if self._socket:
            self._patience = SILENCE
            self._socket.settimeout(SILENCE)

    def read(self) -> bytes:
        """What has arrived of a stream, when something has; empty at its end."""
        try:
            return self._answer.read1(PIECE)
        except (OSError, HTTPException, ValueError) as error:
            # A ValueError is that of a file that another thread has closed.
            raise self._broken(error) from error

    def abort(self) -> None:
        """Lets a thread that reads go on, without an answer."""
        if self._socket:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # It was over already.

    def end(self) -> None:
        """Closes the connection."""
        if self._response:
            self._response.close()
        self._connection.close()

    @property
    def _answer(self) -> HTTPResponse:
        assert self._response, "it has begun"
        return self._response

    def _text(self) -> str:
        try:
            body = self._answer.read()
        except (OSError, HTTPException) as error:
            raise self._broken(error) from error
        # Where the connection breaks among the headers, http.client takes these for all.
        if not body and not self._says_its_end:
            raise UnreachableError("the connection failed: it ended within the answer")
        return body.decode("utf-8", "replace")

    def _broken(self, error: Exception) -> UnreachableError:
        # Before Python 3.10 this is not a TimeoutError.
        if isinstance(error, socket.timeout):
            return UnreachableError(f"no answer within {self._patience:g} s")
        return UnreachableError(f"the connection failed: {error or type(error).__name__}")


def is_passing(error: InboxError) -> bool:
    """Whether the same request may go well another time."""
    if isinstance(error, ProblemError):
        return error.status in (408, 429) or error.status >= 500
    return isinstance(error, UnreachableError)


def media_type(response: HTTPResponse) -> str:
    return (response.getheader("content-type") or "").split(";")[0].strip().lower()


def problem(response: HTTPResponse, text: str) -> ProblemError:
    """The error that an answer is."""
    retry_after = seconds(response.getheader("retry-after"))
    said = parsed(text) if media_type(response) == "application/problem+json" else None
    if said is None:
        title = response.reason or "No problem document"
        detail = excerpt(text) or "the answer says no more"
        blank: Problem = {
            "type": "about:blank",
            "title": title,
            "status": response.status,
            "detail": detail,
            "instance": "",
        }
        return ProblemError(blank, retry_after)
    # What is said and what is sent agree in this service; a proxy may have another idea of the status.
    said["status"] = response.status
    if response.status in (409, 412):
        return ConflictError(said, retry_after)
    if response.status == 410 and "cursor" in said:
        return GoneError(said, retry_after)
    return ProblemError(said, retry_after)


def parsed(text: str) -> Optional[Problem]:
    try:
        said = json.loads(text)
    except ValueError:
        return None
    is_one = isinstance(said, dict) and "type" in said and "title" in said and "detail" in said
    return cast(Problem, said) if is_one else None


def unexpected(response: HTTPResponse, text: str) -> UnexpectedAnswerError:
    kind = response.getheader("content-type") or "no content type"
    return UnexpectedAnswerError(f"answered {response.status} with {kind}, as no inbox does: {excerpt(text)}")


def excerpt(text: str) -> str:
    line = " ".join(text.split())
    return f"{line[:EXCERPT]}..." if len(line) > EXCERPT else line


def seconds(header: Optional[str]) -> Optional[float]:
    """`Retry-After` is seconds or a date (RFC 9110, section 10.2.3)."""
    if header is None:
        return None
    if re.fullmatch("[0-9]{1,9}", header):
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
