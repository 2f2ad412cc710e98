"""A connection between a client and a real server that can be cut, listened to, and led nowhere."""

import socket
import struct
from threading import Condition, Thread
from typing import Callable, Optional, Set

FOR_EVER = 2**62


class Cable:
    """Laid when it is made."""

    def __init__(self, target: int) -> None:
        self.answer: Optional[bytes] = None
        """What is answered in the server's place, by a proxy that doesn't reach it."""
        self.lasts: Callable[[], int] = lambda: FOR_EVER
        """After how many bytes to the client a new connection breaks."""
        self._target = target
        self._ends: Set[socket.socket] = set()
        self._servers: Set[socket.socket] = set()
        self._sent = b""
        self._came = b""
        self._changed = Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Breaks every connection."""
        with self._changed:
            ends = list(self._ends)
        for end in ends:
            reset(end)

    def end(self) -> None:
        """Ends every connection as a server does: what it has sent arrives before."""
        with self._changed:
            servers = list(self._servers)
        for server in servers:
            shut(server)

    def remove(self) -> None:
        # Closing alone does not wake the thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def count(self, text: str) -> int:
        """How often clients have sent this."""
        return self._sent.count(text.encode())

    def sent(self, text: str, times: int = 1) -> None:
        """Waits until clients have sent this so often."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.count(text) >= times, 60), f"{text} was not sent"

    def came(self, text: str) -> None:
        """Waits until the server has sent this."""
        with self._changed:
            assert self._changed.wait_for(lambda: text.encode() in self._came, 60), f"{text} did not come"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        if self.answer is not None:
            self._heard(client.recv(1 << 16), True)
            client.sendall(self.answer)
            client.close()
            return
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            reset(client)
            client.close()
            return
        with self._changed:
            self._ends |= {client, server}
            self._servers.add(server)
        back = Thread(target=self._carry, args=(server, client, False, self.lasts()), daemon=True)
        back.start()
        self._carry(client, server, True, FOR_EVER)
        back.join()
        with self._changed:
            self._ends -= {client, server}
            self._servers.discard(server)
        client.close()
        server.close()

    def _carry(self, source: socket.socket, target: socket.socket, to_server: bool, left: int) -> None:
        try:
            while arrived := source.recv(1 << 16):
                self._heard(arrived, to_server)
                target.sendall(arrived[:left])
                left -= len(arrived)
                if left <= 0:
                    break
        except OSError:
            pass
        for end in (source, target):
            shut(end)

    def _heard(self, arrived: bytes, to_server: bool) -> None:
        with self._changed:
            if to_server:
                self._sent += arrived
            else:
                self._came += arrived
            self._changed.notify_all()


def reset(end: socket.socket) -> None:
    """Breaks it off, without a farewell."""
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    shut(end)


def shut(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It was already.
