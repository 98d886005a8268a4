"""A real gRPC server (grpc.aio) on a loopback port, in the loop of the test or in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import grpc.aio

PATH = "/test.Test/"
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)]


async def _stream(messages: Any, context: Any) -> AsyncIterator[bytes]:
    """Answer "count gap_ms size" with so many messages."""
    async for message in messages:
        count, gap, size = map(int, message.split())
        for number in range(count):
            yield bytes((number,)) * size
            await asyncio.sleep(gap / 1000)


async def _fail(messages: Any, context: Any) -> AsyncIterator[bytes]:
    """Answer "code count": so many messages, then this status."""
    async for message in messages:
        code, count = map(int, message.split())
        for _ in range(count):
            yield b"x"
        status = next(status for status in grpc.StatusCode if status.value[0] == code)
        await context.abort(status, f"späte 100 % {code}\nline")


async def _size(messages: Any, context: Any) -> AsyncIterator[bytes]:
    async for message in messages:
        yield str(len(message)).encode()


async def _metadata(messages: Any, context: Any) -> AsyncIterator[bytes]:
    async for _ in messages:
        await context.send_initial_metadata((("x-first", "1"),))
        for name, value in context.invocation_metadata():
            yield f"{name}={value}".encode()
        yield f"deadline={context.time_remaining()}".encode()
        context.set_trailing_metadata((("x-last", "2"),))


class Handler(grpc.GenericRpcHandler):
    """Serve the methods above; every one takes and gives streams of raw bytes."""

    def service(self, details: Any) -> Any:
        method = {"Stream": _stream, "Fail": _fail, "Size": _size, "Metadata": _metadata}.get(
            details.method.removeprefix(PATH))
        return method and grpc.stream_stream_rpc_method_handler(method)


async def start(credentials: grpc.ServerCredentials | None = None, *options: tuple[str, Any]) -> tuple[Any, int]:
    """Start a server in the running loop; gives it and its port."""
    server = grpc.aio.server(options=[*OPTIONS, *options])
    server.add_generic_rpc_handlers((Handler(),))
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("localhost:0", credentials)
    await server.start()
    return server, port


@contextlib.contextmanager
def in_thread() -> Iterator[int]:
    """Run a server in a thread of its own; gives its port."""
    loop = asyncio.new_event_loop()
    ports: list[int] = []
    started = threading.Event()
    end = asyncio.Event()

    async def main() -> None:
        server, port = await start()
        ports.append(port)
        started.set()
        await end.wait()
        await server.stop(0)

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    try:
        assert started.wait(10)
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(10)
        loop.close()
