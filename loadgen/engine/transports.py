"""The transports: which pool of connections sends the calls of a run, by the name of the protocol."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Protocol

from loadgen.engine.messages import Setup
from loadgen.protocols.http import pool as http
from loadgen.types import Failure, Timeline


class Transport(Protocol):
    """A pool of connections, as a sender uses it; see protocols.http.pool.HttpPool."""

    counts: http.Counts

    def prepare(self, count: int, ready: Callable[[Failure | None], None]) -> None: ...
    def launch(self, timeline: Timeline, data: bytes) -> None: ...
    def cancel(self, failure: Failure) -> None: ...
    def close(self) -> None: ...


def make(setup: Setup, loop: AbstractEventLoop, done: Callable[[Timeline], None],
         fragment: Callable[[int, bytearray], None]) -> Transport:
    """Make the pool that a setup names; only its protocol is imported."""
    if setup.protocol == "grpc":
        from loadgen.protocols.http2 import pool as http2

        return http2.Http2Pool(loop, setup.addresses, setup.limits, channels=setup.channels, fresh=setup.fresh,
                               done=done, fragment=fragment, keep_alive=setup.keep_alive)
    if setup.protocol == "grpcio":
        from loadgen.protocols.grpc import fallback  # 20 MB, only where it is asked for

        return fallback.GrpcioPool(loop, setup.addresses, setup.limits, channels=setup.channels, done=done,
                                   keep_alive=setup.keep_alive)
    if setup.protocol == "local":
        from loadgen.protocols.local import pool as local

        return local.LocalPool(loop, setup.addresses[0], setup.limits, done=done)
    return http.HttpPool(loop, setup.addresses, setup.limits, reserve=setup.reserve, fresh=setup.fresh, done=done,
                         fragment=fragment, batched=not setup.closed)
