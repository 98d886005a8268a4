"""Whatever a server says over a real socket before it closes: every request ends, and nothing is raised in the loop."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.plan import Tls
from loadgen.protocols.http.address import resolve
from loadgen.protocols.http.limits import Limits
from loadgen.types import Timeline
from support.http2_bytes import SAID
from support.http2_server import CALL, Client, Peer
from support.loopback import serve


@settings(max_examples=60, deadline=None)
@given(SAID, st.booleans(), st.sampled_from([0, 1]))
def test_every_request_ends(said: list[bytes], greeted: bool, channels: int) -> None:
    def script(sock: Any, number: int) -> None:
        peer = Peer(sock)
        if not greeted and number % 2:
            sock.sendall(b"".join(said))
        elif peer.greet():
            peer.request()
            sock.sendall(b"".join(said))

    problems: list[Any] = []

    async def main(port: int) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
        client = Client(resolve(f"grpc://127.0.0.1:{port}", Tls(), 5), Limits(connect=5_000_000_000), channels=channels)
        await client.prepare()
        for index in range(3):
            client.pool.launch(Timeline(index), CALL)
        ended = [await client.ended() for _ in range(3)]
        assert sorted(timeline.index for timeline in ended) == [0, 1, 2]
        for timeline in ended:
            assert timeline.failure is not None or timeline.complete
            assert timeline.reconnects <= 1
        client.pool.close()
        assert client.pool.counts.open >= 0

    with serve(script) as port:
        asyncio.run(main(port))
    assert not problems
