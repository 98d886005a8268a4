"""The sending half of a channel: hands what an outbox gives to the kernel, and stamps the requests in it."""

from __future__ import annotations

import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable
from time import monotonic_ns
from typing import Final

from loadgen.protocols.http.tls import TlsLayer
from loadgen.protocols.http2.send_queue import Outbox
from loadgen.types import Failure

_PIECES_AT_ONCE: Final = 16  # that are sent before the loop gets its turn


class Writer:
    """Send without ever blocking. `lost` is called, later, with what went wrong.

    `sent` of a request is the time just before the piece with its first byte goes to the kernel, `sent_end` the time
    when the piece with its last byte has all gone.
    """

    __slots__ = ("_loop", "_lost", "_outbox", "_piece", "_socket", "_tls", "_wants")

    def __init__(self, loop: AbstractEventLoop, sock: socket.socket, tls: TlsLayer | None, outbox: Outbox,
                 lost: Callable[[Failure], None]) -> None:
        self._loop = loop
        self._socket = sock
        self._tls = tls
        self._outbox = outbox
        self._lost = lost
        self._piece = memoryview(b"")  # what was taken from the outbox and has not all been sent
        self._wants = False  # whether the loop tells us when the socket takes more

    def flush(self) -> None:
        """Hand what may be sent to the kernel, until it takes no more."""
        pieces = 0
        try:
            while pieces < _PIECES_AT_ONCE and (self._piece or self._take()):
                pieces += 1
                self._piece = self._piece[self._socket.send(self._piece):]
                if self._piece:
                    break
                self._stamp_end()
        except BlockingIOError:
            pass
        except OSError as error:
            self._piece = memoryview(b"")
            self._loop.call_soon(self._lost, Failure("truncated", error.strerror or str(error)))
            return
        wants = bool(self._piece) or pieces == _PIECES_AT_ONCE
        if wants != self._wants:
            self._wants = wants
            if wants:
                self._loop.add_writer(self._socket, self.flush)
            else:
                self._loop.remove_writer(self._socket)

    def insert(self, data: bytes) -> None:
        """Send what the TLS layer itself has to say."""
        self._piece = memoryview(bytes(self._piece) + data)
        self.flush()

    def _take(self) -> bool:
        taken = bytes(self._outbox.take())
        if not taken:
            return False
        self._piece = memoryview(taken if self._tls is None else self._tls.encrypt(taken))
        if self._outbox.begun:
            now = monotonic_ns()
            for stream in self._outbox.begun:
                stream.timeline.sent = now
        return True

    def _stamp_end(self) -> None:
        if self._outbox.finished:
            now = monotonic_ns()
            for stream in self._outbox.finished:
                stream.timeline.sent_end = now
            self._outbox.finished = []
