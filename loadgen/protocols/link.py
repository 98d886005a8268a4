"""Framed messages over a stream socket on the event loop: 4 bytes of length, then msgpack."""

from __future__ import annotations

import socket
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from struct import Struct as Packing
from typing import Any

import msgspec

_LENGTH = Packing("=I")
_READ_SIZE = 1 << 18

_encoder = msgspec.msgpack.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    """Frame one message."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


class MessageFrames:
    """Cut a byte stream into framed messages of one direction; `kind` is the union of their types."""

    def __init__(self, kind: object) -> None:
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """Take bytes; give the messages they complete."""
        buffer = self._buffer
        buffer += data
        found = []
        at = 0
        with memoryview(buffer) as view:
            while len(buffer) - at >= 4:
                (length,) = _LENGTH.unpack_from(buffer, at)
                if len(buffer) - at - 4 < length:
                    break
                found.append(self._decode(view[at + 4:at + 4 + length]))
                at += 4 + length
        del buffer[:at]
        return found


class Link:
    """Send messages without ever blocking; `receive` is called with each that comes, `lost` once at the end.

    Neither is called by `send`.
    """

    def __init__(self, loop: AbstractEventLoop, sock: socket.socket, kind: object,
                 receive: Callable[[Any], None], lost: Callable[[], None]) -> None:
        sock.setblocking(False)
        self._loop = loop
        self._socket = sock
        self._frames = MessageFrames(kind)
        self._receive = receive
        self._lost = lost
        self._out: deque[memoryview] = deque()
        self._open = True
        self.backlog = 0  # bytes that wait to be sent
        loop.add_reader(sock, self._read)

    def send(self, message: msgspec.Struct) -> None:
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
            self._loop.call_soon(self._lost)  # whoever sends is in the middle of something

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
