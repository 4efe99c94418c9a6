"""A stretch of network between a client and a server on this machine, for tests that cut it."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from postgres_fixture import free_port


class Network:
    """Forwards connections made to its own `port` to another one.

    While it is cut nothing gets through and nobody is told, as with a cable pulled out; what was
    sent arrives when it is mended. While it is broken down every connection is closed.
    """

    def __init__(self, to_port: int) -> None:
        self.port = free_port()
        self._to_port = to_port
        self._is_whole = threading.Event()
        self._is_whole.set()
        self._is_broken = False
        self._last_words: bytes | None = None
        self._times = 0
        self._loses_answers = False
        self._ends: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", self.port))
        self._run(self._accept)

    def cut(self) -> None:
        self._is_whole.clear()

    def mend(self) -> None:
        self._is_broken = self._loses_answers = False
        self._is_whole.set()

    def break_down(self) -> None:
        self._is_broken = True
        self._is_whole.set()
        while self._ends:
            _close(self._ends.pop())

    def break_down_after(self, words: bytes, *, times: int = 1) -> None:
        """The server gets what the client says up to these words, but the answer is lost.

        `times`: how often they are said. A moment later the network is there again.
        """
        self._last_words, self._times = words, times

    def close(self) -> None:
        _close(self._door)
        self.break_down()

    @staticmethod
    def _run(work: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=work, args=arguments, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            self._run(self._join, client)

    def _join(self, client: socket.socket) -> None:
        self._is_whole.wait()
        try:
            server = (
                None if self._is_broken else socket.create_connection(("127.0.0.1", self._to_port))
            )
        except OSError:
            server = None
        if server is None:
            _close(client)
            return
        self._ends += [client, server]
        self._run(self._ask, client, server)
        self._run(self._answer, server, client)

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                self._is_whole.wait()
                if self._last_words is not None:
                    self._times -= data.count(self._last_words)
                is_last = self._last_words is not None and self._times <= 0
                if is_last:
                    self._last_words, self._loses_answers = None, True
                server.sendall(data)
                if is_last:
                    time.sleep(0.3)  # the server does what it was told
                    self.break_down()
                    time.sleep(0.4)
                    self.mend()
        _close(server)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                self._is_whole.wait()
                if not self._loses_answers:
                    client.sendall(data)
        _close(client)


def _close(end: socket.socket) -> None:
    # Closing alone does not wake up who waits for this end in another thread.
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
