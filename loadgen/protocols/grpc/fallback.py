"""The same calls on grpcio, for what the capture path can't do: stamps are those of this process, not the kernel's."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic_ns, time_ns
from typing import Any

import grpc
import grpc.aio

from loadgen.protocols.grpc import answer
from loadgen.protocols.grpc.request import frame
from loadgen.protocols.http.address import Address
from loadgen.protocols.http.limits import Limits, judge
from loadgen.protocols.http.pool import Counts
from loadgen.protocols.http2 import headers
from loadgen.protocols.http2.capture import LENGTH, StreamCapture
from loadgen.protocols.http2.stream import Http2Stream
from loadgen.types import SECOND, Failure, Timeline, UsageError

_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
_AHEAD = 64  # channels that are opened, at most, unless their number was given
_BY_CHANNEL = ("te", "content-type", "user-agent")  # metadata that grpcio sends itself


class GrpcioPool:
    """Carry what protocols.http2.pool.Pool carries, on `channels` of grpcio to each target, in turn."""

    def __init__(self, loop: AbstractEventLoop, addresses: Sequence[Address], limits: Limits, *, channels: int,
                 done: Callable[[Timeline], None], keep_alive: int = 0) -> None:
        self._loop = loop
        self._limits = limits
        self._done = done
        self._addresses = addresses
        self._wanted = channels
        self._options = (*_OPTIONS, *((("grpc.keepalive_time_ms", keep_alive // 1_000_000),) if keep_alive else ()))
        self._channels: list[list[grpc.aio.Channel]] = []
        self._tasks: dict[asyncio.Task[None], StreamCapture] = {}
        self._opening: asyncio.Task[None] | None = None
        self._cancelled: Failure | None = None
        self.counts = Counts()

    def prepare(self, count: int, ready: Callable[[Failure | None], None]) -> None:
        """Connect every channel, then call `ready`, with the failure if one can't be."""
        self._wanted = self._wanted or min(max(count, 1), _AHEAD)
        self._opening = self._loop.create_task(self._open(ready))

    async def _open(self, ready: Callable[[Failure | None], None]) -> None:
        self._channels = [[_channel(address, self._options, number) for number in range(self._wanted)]
                          for address in self._addresses]
        channels = [channel for group in self._channels for channel in group]
        limit = self._limits.connect / SECOND or None
        try:
            await asyncio.wait_for(asyncio.gather(*(channel.channel_ready() for channel in channels)), limit)
        except TimeoutError:
            ready(Failure("connect", "grpcio: no connection within the connect timeout", "connect"))
            return
        self.counts.open = self.counts.opened = len(channels)
        ready(None)

    def launch(self, timeline: Timeline, data: bytes) -> None:
        """Send one request."""
        (size,) = LENGTH.unpack_from(data)
        capture = StreamCapture(timeline, Http2Stream(0, memoryview(data)[4 + size + 5:], 0, timeline), b"", 0)
        timeline.sent = monotonic_ns()
        task = self._loop.create_task(self._carry(capture, data[4:4 + size]))
        self._tasks[task] = capture
        task.add_done_callback(self._ended)
        if self._limits.watched:
            self._arm(task, judge(self._limits, 0, None)[1])

    async def _carry(self, capture: StreamCapture, block: bytes) -> None:
        path, metadata, timeout = _parts(block)
        channels = self._channels[capture.timeline.target]
        method = channels[capture.timeline.index % len(channels)].stream_stream(path)
        call = method(_one(bytes(capture.stream.body)), metadata=metadata, timeout=timeout)
        try:
            async for message in call:
                _note(capture, frame(message))
            ended = (await call.code(), await call.details())
        except grpc.aio.AioRpcError as error:
            ended = (error.code(), error.details())
        capture.timeline.sent_end = capture.timeline.sent
        capture.stream.complete = True
        first = [*(await call.initial_metadata()), (":status", "200"), ("content-type", "application/grpc")]
        last = [*(await call.trailing_metadata()), ("grpc-status", str(ended[0].value[0])),
                ("grpc-message", (ended[1] or "").replace("%", "%25"))]
        capture.stream.blocks += [headers.encode((_bytes(n), _bytes(v)) for n, v in part) for part in (first, last)]
        _note(capture, b"")

    def _ended(self, task: asyncio.Task[None]) -> None:
        capture = self._tasks.pop(task)
        if capture.timer is not None:
            capture.timer.cancel()
        if task.cancelled():
            capture.stream.failure = capture.stream.failure or self._cancelled or Failure("truncated", "given up")
        elif task.exception() is not None:
            capture.stream.failure = Failure("truncated", f"grpcio: {task.exception()!r}")
        timeline = capture.finish(monotonic_ns())
        self.counts.reads += len(timeline.reads) >> 3
        self.counts.unstamped += timeline.unstamped
        self._done(timeline)

    def _arm(self, task: asyncio.Task[None], wait: int) -> None:
        self._tasks[task].timer = self._loop.call_later(max(wait, 1_000_000) / SECOND, self._check_limits, task)

    def _check_limits(self, task: asyncio.Task[None]) -> None:
        capture = self._tasks[task]
        since_read = time_ns() - capture.reads[-1] if capture.stream.begun else None
        failure, wait = judge(self._limits, monotonic_ns() - capture.timeline.sent, since_read)
        if failure is None:
            self._arm(task, wait)
        else:
            capture.stream.failure = failure
            task.cancel()

    def cancel(self, failure: Failure) -> None:
        """End everything that is in flight."""
        self._cancelled = failure
        for task in list(self._tasks):
            task.cancel()

    def close(self) -> None:
        """Close every channel; nothing may be in flight."""
        for group in self._channels:
            for channel in group:
                self._opening = self._loop.create_task(channel.close())


def _channel(address: Address, options: Sequence[tuple[str, Any]], number: int) -> grpc.aio.Channel:
    """Make one channel; the number keeps grpcio from sharing a connection between channels."""
    host, port = address.sockaddr[:2]
    target = f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"
    options = [*options, ("grpc.default_authority", address.authority), ("loadgen.channel", number)]
    if not address.server_name:
        return grpc.aio.insecure_channel(target, options=options)
    tls = address.tls
    if tls.insecure:
        raise UsageError("--insecure can't be had from grpcio: give the right --ca, or leave --grpc-client out")
    files = [Path(name).read_bytes() if name else None for name in (tls.ca, tls.key or tls.cert, tls.cert)]
    options.append(("grpc.ssl_target_name_override", address.server_name))
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(*files), options=options)


def _parts(block: bytes) -> tuple[str, list[tuple[str, str]], float | None]:
    """Part a header block into path, metadata and deadline in s."""
    path, timeout, metadata = "", None, []
    for name, value in ((name.decode(), value.decode()) for name, value in answer.decode(block)):
        if name == ":path":
            path = value
        elif name == "grpc-timeout":
            timeout = int(value[:-1]) * {"n": 1e-9, "u": 1e-6, "m": 1e-3, "S": 1, "M": 60, "H": 3600}[value[-1]]
        elif not name.startswith(":") and name not in _BY_CHANNEL:
            metadata.append((name, value))
    return path, metadata, timeout


async def _one(message: bytes) -> Any:
    yield message


def _note(capture: StreamCapture, part: bytes) -> None:
    """Take part of an answer, stamped now."""
    now = time_ns()
    capture.stream.payload += part
    capture.stream.begun = capture.stream.begun or bool(part)
    capture.unstamped(now)
    capture.reads.append(now)
    capture.offsets.append(len(capture.stream.payload))


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")

