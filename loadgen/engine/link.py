"""A framed, non-blocking stream socket between desk and sender, on the event loop."""

from __future__ import annotations

import socket
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable

from loadgen.engine.messages import Frames, ToDesk, ToSender, encode

_READ_SIZE = 1 << 18


class Link:
    """Send messages without ever blocking; `receive` is called with each that comes, `lost` once at the end."""

    def __init__(self, loop: AbstractEventLoop, sock: socket.socket, kind: object,
                 receive: Callable[[ToSender | ToDesk], None], lost: Callable[[], None]) -> None:
        sock.setblocking(False)
        self._loop = loop
        self._socket = sock
        self._frames = Frames(kind)
        self._receive = receive
        self._lost = lost
        self._out: deque[memoryview] = deque()
        self._open = True
        self.backlog = 0  # bytes that wait to be sent
        loop.add_reader(sock, self._read)

    def send(self, message: ToSender | ToDesk) -> None:
        """Queue a message and send what the socket takes."""
        if not self._open:
            return
        data = encode(message)
        self.backlog += len(data)
        self._out.append(memoryview(data))
        if len(self._out) == 1:
            self._write()

    def _write(self) -> None:
        out = self._out
        try:
            while out:
                count = self._socket.send(out[0])
                self.backlog -= count
                if count < len(out[0]):
                    out[0] = out[0][count:]
                else:
                    out.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._resume)
        except OSError:
            self.close()
            self._lost()

    def _resume(self) -> None:
        self._loop.remove_writer(self._socket)
        self._write()

    def _read(self) -> None:
        try:
            data = self._socket.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            self._lost()
            return
        for message in self._frames.feed(data):
            self._receive(message)

    def close(self) -> None:
        """Close without calling `lost`."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
            self._out.clear()
            self.backlog = 0
