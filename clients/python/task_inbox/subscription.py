"""The log, followed by server-sent events (HTML Standard, section 9.2)."""

import json
import re
from threading import Event as Flag
from threading import RLock
from types import TracebackType
from typing import Generator, Iterator, List, Mapping, NamedTuple, Optional, Type, cast

from .errors import InboxError, UnreachableError
from .models import Event
from .transport import Exchange, Request, Transport, now


class Subscription(Iterator[Event]):
    """The log's events, each once and in order, for as long as it is read.

    A connection that breaks is taken up again where it was.
    """

    def __init__(self, transport: Transport, filters: Mapping[str, Optional[str]], after: Optional[str]) -> None:
        self._transport = transport
        self._filters = filters
        self._cursor = after
        self._closed = Flag()
        # A signal may close it in the middle of a locked step of the same thread.
        self._lock = RLock()
        self._exchange: Optional[Exchange] = None
        self._events = self._follow()

    @property
    def cursor(self) -> Optional[str]:
        """Where it is: behind the last event that it gave, and behind what its filter left out since.

        To go on from here in another process, pass it as `after`.
        """
        return self._cursor

    def __next__(self) -> Event:
        """The next event, when there is one."""
        return next(self._events)

    def close(self) -> None:
        """Ends it, as leaving a `with` does; a thread that waits for the next event is told that there is none."""
        with self._lock:
            self._closed.set()
            if self._exchange:
                self._exchange.abort()
        try:
            self._events.close()
        except ValueError:
            pass  # Another thread is in it, and leaves by itself.

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def _follow(self) -> Generator[Event, None, None]:
        backoff = self._transport.backoff()
        # A wrong address is told soon. What has worked once is an inbox, and worth any patience.
        end = now() + self._transport.retry_for
        while not self._closed.is_set():
            request = Request(
                "GET", "/api/v1/events", {**self._filters, "after": self._cursor}, accept="text/event-stream"
            )
            exchange = self._transport.exchange(request)
            try:
                with self._lock:
                    self._exchange = exchange
                exchange.begin()
                exchange.stream()
                blocks = Blocks()
                # Looked at here, because `close` aborts nothing of what had not begun.
                while not self._closed.is_set() and (arrived := exchange.read()):
                    for block in blocks.add(arrived):
                        backoff.reset()
                        end = float("inf")
                        event = None if block.data is None else parsed(block.data)
                        if block.id is not None:
                            self._cursor = block.id
                        if event is not None:
                            yield event
                            if self._closed.is_set():
                                return
                raise UnreachableError("the stream ended")
            except InboxError as error:
                failed = error
            finally:
                with self._lock:
                    self._exchange = None
                exchange.end()
            if not self._closed.is_set():
                backoff.rest(failed, end, self._closed.wait)


class Block(NamedTuple):
    id: Optional[str]
    data: Optional[bytes]


class Blocks:
    """Blocks of a stream, of which an unfinished one counts for nothing."""

    def __init__(self) -> None:
        self._line: List[bytes] = []
        self._ends_in_return = False
        self._id: Optional[str] = None
        self._data: List[bytes] = []

    def add(self, arrived: bytes) -> List[Block]:
        """Takes what arrived, and gives the blocks that are complete with it."""
        if self._ends_in_return and arrived.startswith(b"\n"):
            arrived = arrived[1:]
            self._ends_in_return = False
        if not arrived:
            return []
        self._ends_in_return = arrived.endswith(b"\r")
        # Not `splitlines` of text: U+2028 ends a line there, and here it is text.
        *lines, rest = re.split(rb"\r\n|\n|\r", arrived)
        complete: List[Block] = []
        for line in lines:
            self._line.append(line)
            block = self._take(b"".join(self._line))
            self._line = []
            if block:
                complete.append(block)
        self._line.append(rest)
        return complete

    def _take(self, line: bytes) -> Optional[Block]:
        if not line:
            block = Block(self._id, b"\n".join(self._data) if self._data else None)
            self._id, self._data = None, []
            return None if block == Block(None, None) else block
        name, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if name == b"id":
            self._id = value.decode("utf-8", "replace")
        elif name == b"data":
            self._data.append(value)
        # `event` is the data's type once more; how long to wait is decided here, and not by `retry`.
        return None


def parsed(data: bytes) -> Event:
    try:
        return cast(Event, json.loads(data))
    except ValueError as error:
        raise InboxError("an event is not JSON") from error
