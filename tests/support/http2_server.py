"""The server's side of scripted HTTP/2 connections, and a client that keeps what its pool reported."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from loadgen.protocols.grpc import answer, request
from loadgen.protocols.http.address import Address
from loadgen.protocols.http.limits import Limits
from loadgen.protocols.http2 import frames
from loadgen.protocols.http2.pool import Http2Pool
from loadgen.types import Call, Failure, Timeline

CALL = request.encode(Call("/test.Test/Ask", b"hello"), "host:1")


class Peer:
    """One connection of the server."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._splitter = frames.Splitter(1 << 24)
        self._frames: list[frames.Frame] = []
        self._preface = len(frames.PREFACE)

    def frame(self) -> frames.Frame | None:
        """Read the next frame; None when the client has closed."""
        while not self._frames:
            got = self.sock.recv(65536)
            if not got:
                return None
            skipped = min(self._preface, len(got))
            self._preface -= skipped
            self._frames = self._splitter.feed(got[skipped:])
        return self._frames.pop(0)

    def greet(self, settings: dict[int, int] | None = None) -> bool:
        """Say hello; false if the client has closed at once, as the resolver does."""
        first = self.frame()
        if first is None:
            return False
        self.sock.sendall(frames.encode_settings(settings or {}))
        return True

    def request(self) -> int:
        """Wait for a whole request; returns its stream, 0 when the client has closed."""
        while (frame := self.frame()) is not None:
            if frame[0] in (frames.DATA, frames.HEADERS) and frame[1] & frames.END_STREAM:
                return frame[2]
        return 0

    def until(self, kind: int) -> frames.Frame | None:
        """Wait for a frame of this type."""
        while (frame := self.frame()) is not None:
            if frame[0] == kind:
                return frame
        return None


def speaking(script: Callable[[Peer, int], Any], settings: dict[int, int] | None = None
             ) -> Callable[[socket.socket, int], None]:
    """Make a script for loopback.serve; connection 0 is the resolver's own look at the port."""
    def run(sock: socket.socket, number: int) -> None:
        peer = Peer(sock)
        if peer.greet(settings):
            script(peer, number)
            while peer.frame() is not None:  # the client closes first
                pass
    return run


def answering(make: Callable[[int], bytes]) -> Callable[[Peer, int], None]:
    """Answer each request with what `make` gives for its stream."""
    def script(peer: Peer, number: int) -> None:
        while stream := peer.request():
            peer.sock.sendall(make(stream))
    return script


class Client:
    """A pool with a record of what it reported."""

    def __init__(self, address: Address, limits: Limits | None = None, make: Any = Http2Pool, **options: Any) -> None:
        self.done: asyncio.Queue[Timeline] = asyncio.Queue()
        self.fragments: list[bytes] = []
        options = {"channels": 1, **options}
        if make is Http2Pool:
            options = {"fresh": False, "fragment": lambda index, data: self.fragments.append(bytes(data)), **options}
        loop = asyncio.get_running_loop()
        self.pool = make(loop, [address], limits or Limits(), done=self.done.put_nowait, **options)

    async def prepare(self) -> Failure | None:
        ready: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()
        self.pool.prepare(1, ready.set_result)
        return await asyncio.wait_for(ready, 10)

    async def ended(self) -> Timeline:
        """Wait for the next request to end, and unpack it."""
        timeline = await asyncio.wait_for(self.done.get(), 10)
        timeline.payload = b"".join((*self.fragments, timeline.payload))
        answer.unpack(timeline)
        return timeline

    async def ask(self, data: bytes = CALL) -> Timeline:
        self.pool.launch(Timeline(7), data)
        return await self.ended()
