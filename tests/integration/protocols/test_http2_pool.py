"""Channels and their pool against scripted servers on real loopback sockets: nothing is patched."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from array import array
from collections.abc import Coroutine
from typing import Any

import pytest
import trustme
import uvloop

from loadgen.plan import Tls
from loadgen.protocols.http.address import Address, resolve
from loadgen.protocols.http.limits import Limits
from loadgen.protocols.http2 import frames
from loadgen.types import Failure, Timeline
from support.http2_bytes import HEADERS, TRAILERS, data, head, tail, whole
from support.http2_server import CALL, Client, Peer, answering, speaking
from support.loopback import reset, serve

MS = 1_000_000
GOOD = speaking(answering(lambda stream: whole(stream, b"one", b"two")))


def run(main: Coroutine[Any, Any, None]) -> None:
    uvloop.run(main)


def silent(sock: socket.socket, number: int) -> None:
    while sock.recv(65536):
        pass


def at(port: int, **tls: Any) -> Address:
    return resolve(f"grpcs://localhost:{port}" if tls else f"grpc://127.0.0.1:{port}", Tls(**tls), 5)


def test_a_channel_is_shared_and_its_reads_are_stamped() -> None:
    with serve(GOOD) as port:
        async def main() -> None:
            client = Client(at(port))
            assert await client.prepare() is None
            for _ in range(3):
                timeline = await client.ask()
                assert (timeline.status, timeline.complete, timeline.failure) == (200, True, None)
                assert timeline.payload == b"\0\0\0\0\x03one\0\0\0\0\x03two"
                assert timeline.connect == -1
                assert 0 < timeline.sent <= timeline.sent_end <= timeline.end
                assert len(timeline.stamps) == 2 * len(timeline.reads) == 2 * len(timeline.offsets) > 0
            counts = client.pool.counts
            assert (counts.opened, counts.opened_late) == (1, 0)
            if sys.platform == "linux":
                assert counts.unstamped <= 1
            client.pool.close()
        run(main())


def test_requests_at_once_share_the_channels_evenly() -> None:
    def script(peer: Peer, number: int) -> None:
        streams = [peer.request(), peer.request()]
        heads = b"".join(head(stream) for stream in streams)
        peer.sock.sendall(heads + data(streams[0], b"a") + data(streams[1], b"b"))
        peer.sock.sendall(b"".join(tail(stream) for stream in streams))

    with serve(speaking(script)) as port:
        async def main() -> None:
            client = Client(at(port), channels=2)
            assert await client.prepare() is None
            for index in range(4):
                client.pool.launch(Timeline(index), CALL)
            ended = [await client.ended() for _ in range(4)]
            assert [timeline.failure for timeline in ended] == [None] * 4
            assert client.pool.counts.opened == 2
            # What shared a read with a later stream's data says so; the last one of a read does not.
            first, second = sorted(ended, key=lambda timeline: timeline.index)[::2]
            assert array("q", first.shared)[0] == 0
            assert 0 not in array("q", second.shared)
            client.pool.close()
        run(main())


def test_more_streams_than_the_server_allows_open_another_connection() -> None:
    def script(peer: Peer, number: int) -> None:
        stream = peer.request()
        peer.sock.sendall(head(stream))
        if number == 1:  # the first is only answered when the second is there
            second.wait(10)
        else:
            second.set()
        peer.sock.sendall(tail(stream))

    import threading
    second = threading.Event()
    with serve(speaking(script, {frames.MAX_CONCURRENT_STREAMS: 1})) as port:
        async def main() -> None:
            client = Client(at(port))
            assert await client.prepare() is None
            for index in range(2):
                client.pool.launch(Timeline(index), CALL)
            ended = {timeline.index: timeline for timeline in [await client.ended(), await client.ended()]}
            assert [ended[index].failure for index in range(2)] == [None, None]
            assert ended[0].connect == -1 and ended[1].connect > 0
            assert (client.pool.counts.opened, client.pool.counts.opened_late) == (2, 1)
            client.pool.close()
        run(main())


def test_room_that_the_server_gives_later_is_used() -> None:
    def script(peer: Peer, number: int) -> None:
        first = peer.request()
        peer.sock.sendall(frames.encode_settings({frames.MAX_CONCURRENT_STREAMS: 5}))
        peer.sock.sendall(whole(peer.request()) + whole(first))

    def one(sock: socket.socket, number: int) -> None:
        if number == 1:
            speaking(script, {frames.MAX_CONCURRENT_STREAMS: 1})(sock, number)
        else:  # the connection that the second request makes its pool open never gets anywhere
            silent(sock, number)

    with serve(one) as port:
        async def main() -> None:
            client = Client(at(port))
            assert await client.prepare() is None
            client.pool.launch(Timeline(0), CALL)
            client.pool.launch(Timeline(1), CALL)
            assert [(await client.ended()).failure for _ in range(2)] == [None, None]
            assert client.pool.counts.opened == 1
            client.pool.close()
        run(main())


def test_channels_become_as_many_as_requests_in_flight() -> None:
    def script(peer: Peer, number: int) -> None:
        while stream := peer.request():
            peer.sock.sendall(head(stream))
            held.append((peer.sock, stream))

    held: list[tuple[socket.socket, int]] = []
    with serve(speaking(script)) as port:
        async def main() -> None:
            client = Client(at(port), channels=0)
            assert await client.prepare() is None
            for index in range(9):
                client.pool.launch(Timeline(index), CALL)
                for _ in range(1000):
                    if len(held) > index and client.pool.counts.opened == index + 2:
                        break
                    await asyncio.sleep(0.002)
            assert client.pool.counts.opened == 10
            assert len({sock for sock, _ in held}) == 9
            assert client.pool.counts.opened_late == 0
            for sock, stream in held:
                sock.sendall(tail(stream))
            assert [(await client.ended()).failure for _ in range(9)] == [None] * 9
            client.pool.close()
        run(main())


def goaway(last: int) -> bytes:
    return frames.encode(frames.GOAWAY, 0, 0, last.to_bytes(4, "big") + bytes(4) + b"bye")


@pytest.mark.parametrize("refusals", [1, 2])
@pytest.mark.parametrize("refusal", [lambda stream: goaway(stream - 1),
                                     lambda stream: frames.encode_number(frames.RST_STREAM, stream, 7)])
def test_what_the_server_has_not_looked_at_is_sent_again_once(refusal: Any, refusals: int) -> None:
    refused = []

    def script(peer: Peer, number: int) -> None:
        while stream := peer.request():
            if len(refused) < refusals:
                refused.append(stream)
                peer.sock.sendall(refusal(stream))
            else:
                peer.sock.sendall(whole(stream, b"late"))

    with serve(speaking(script)) as port:
        async def main() -> None:
            client = Client(at(port), fresh=refusals == 2)
            assert await client.prepare() is None
            timeline = await client.ask()
            assert timeline.reconnects == 1
            if refusals == 1:
                assert timeline.failure is None
            else:
                assert timeline.failure is not None and timeline.failure.kind == "truncated"
                assert "refused" in timeline.failure.detail.lower()
            client.pool.close()
        run(main())


def test_a_goaway_lets_what_was_accepted_finish_and_the_next_go_elsewhere() -> None:
    def script(peer: Peer, number: int) -> None:
        stream = peer.request()
        peer.sock.sendall(head(stream) + goaway(2**31 - 1) + goaway(stream) + data(stream, b"x") + tail(stream))

    with serve(speaking(script)) as port:
        async def main() -> None:
            client = Client(at(port))
            assert await client.prepare() is None
            for _ in range(3):
                timeline = await client.ask()
                assert (timeline.failure, timeline.reconnects) == (None, 0)
            assert client.pool.counts.opened >= 3
            client.pool.close()
        run(main())


@pytest.mark.parametrize("end", [reset, socket.socket.close])
def test_a_cut_answer_is_truncated(end: Any) -> None:
    def script(sock: socket.socket, number: int) -> None:
        peer = Peer(sock)
        if peer.greet():
            stream = peer.request()
            sock.sendall(head(stream) + data(stream, b"x"))
            peer.until(frames.PING)
            end(sock)

    with serve(script) as port:
        async def main() -> None:
            client = Client(at(port), keep_alive=20 * MS)
            timeline = await client.ask()
            assert timeline.failure is not None and timeline.failure.kind == "truncated"
            assert (timeline.complete, timeline.payload) == (False, b"\0\0\0\0\x01x")
            assert client.pool.counts.open == 0
        run(main())


def test_a_stale_connection_is_retried_once_and_counted() -> None:
    def script(sock: socket.socket, number: int) -> None:
        peer = Peer(sock)
        if peer.greet():
            sock.sendall(whole(peer.request()))
            stream = peer.request()
            if number == 1:
                reset(sock)
            else:
                sock.sendall(whole(stream))

    with serve(script) as port:
        async def main() -> None:
            client = Client(at(port))
            assert (await client.ask()).reconnects == 0
            first = await client.ask()
            assert (first.failure, first.reconnects) == (None, 1)
            assert first.connect > 0
            client.pool.close()
        run(main())


def test_a_new_connection_that_is_closed_without_an_answer_is_not_retried() -> None:
    def script(sock: socket.socket, number: int) -> None:
        peer = Peer(sock)
        if peer.greet():
            peer.request()

    with serve(script) as port:
        async def main() -> None:
            timeline = await Client(at(port)).ask()
            assert timeline.failure is not None
            assert (timeline.failure.kind, timeline.reconnects) == ("truncated", 0)
        run(main())


def http1(sock: socket.socket, number: int) -> None:
    if sock.recv(65536):
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        sock.recv(65536)


@pytest.mark.parametrize(("script", "limits", "kind", "words"), [
    (http1, Limits(), "parse", "HTTP/1.1 400 Bad Request"),
    (lambda sock, number: sock.close(), Limits(), "connect", "does it speak HTTP/2"),
    (silent, Limits(connect=40 * MS), "timeout", "no HTTP/2 settings within 0.04 s"),
    (speaking(answering(whole), {frames.MAX_CONCURRENT_STREAMS: 0}), Limits(), "connect", "allows no streams"),
])
@pytest.mark.parametrize("fresh", [False, True])
def test_a_server_that_can_not_be_used_fails_the_preparation_and_the_request(
        script: Any, limits: Limits, kind: str, words: str, fresh: bool) -> None:
    with serve(script) as port:
        async def main() -> None:
            client = Client(at(port), limits, fresh=fresh)
            failure = await client.prepare()
            assert fresh == (failure is None)
            assert failure is None or failure.kind in (kind, "truncated", "connect")
            timeline = await client.ask()
            assert timeline.failure is not None
            if timeline.failure.kind == kind:
                assert words in timeline.failure.detail
            else:  # a reset can overtake what was said
                assert timeline.failure.kind in ("truncated", "connect")
            assert timeline.sent == -1
            client.pool.close()
        run(main())


def test_refused_connections_fail_the_request() -> None:
    with serve(GOOD) as port:
        address = at(port)

    async def main() -> None:
        client = Client(address)
        failure = await client.prepare()
        assert failure is not None and (failure.kind, failure.type) == ("connect", "ECONNREFUSED")
        timeline = await client.ask()
        assert timeline.failure is not None and timeline.failure.kind == "connect"
    run(main())


@pytest.mark.parametrize(("limits", "said", "which"), [
    (Limits(first_token=30 * MS), head(1), "first token"),
    (Limits(idle=30 * MS), head(1) + data(1, b"x"), "idle"),
    (Limits(total=30 * MS), b"", "total"),
])
def test_a_time_limit_ends_the_stream_and_not_the_channel(limits: Limits, said: bytes, which: str) -> None:
    resets: list[frames.Frame | None] = []

    def script(peer: Peer, number: int) -> None:
        peer.request()
        peer.sock.sendall(said)
        resets.append(peer.until(frames.RST_STREAM))
        peer.sock.sendall(whole(peer.request()))

    with serve(speaking(script)) as port:
        async def main() -> None:
            client = Client(at(port), limits)
            timeline = await client.ask()
            assert timeline.failure is not None
            assert (timeline.failure.kind, timeline.failure.type) == ("timeout", which)
            assert timeline.end - timeline.sent >= 29 * MS
            assert (await client.ask()).failure is None
            assert client.pool.counts.opened == 1
            assert resets == [(frames.RST_STREAM, 0, 1, b"\0\0\0\x08")]
            client.pool.close()
        run(main())


def test_a_silent_server_is_asked_and_given_up() -> None:
    def script(peer: Peer, number: int) -> None:
        peer.request()
        peer.until(frames.PING)
        peer.sock.sendall(frames.encode(frames.PING, frames.ACK, 0, b"loadgen?"))
        peer.until(frames.PING)

    with serve(speaking(script)) as port:
        async def main() -> None:
            timeline = await Client(at(port), keep_alive=30 * MS).ask()
            assert timeline.failure is not None
            assert (timeline.failure.kind, timeline.failure.type) == ("truncated", "keep-alive")
        run(main())


@pytest.mark.parametrize("fresh", [False, True])
def test_cancel_ends_everything_in_flight(fresh: bool) -> None:
    with serve(speaking(lambda peer, number: peer.until(0x99))) as port:
        async def main() -> None:
            client = Client(at(port), fresh=fresh)
            await client.prepare()
            for index in range(3):
                client.pool.launch(Timeline(index), CALL)
            await asyncio.sleep(0)
            client.pool.cancel(Failure("censored", "late"))
            ended = [await client.ended() for _ in range(3)]
            assert {timeline.failure.kind for timeline in ended if timeline.failure} == {"censored"}
            assert len(ended) == 3
            client.pool.close()
        run(main())


def test_a_long_answer_is_handed_on_in_fragments() -> None:
    message = bytes(range(256)) * 60

    with serve(speaking(answering(lambda stream: whole(stream, *[message] * 10)))) as port:
        async def main() -> None:
            client = Client(at(port))
            timeline = await client.ask()
            assert client.fragments
            assert timeline.failure is None
            assert len(timeline.payload) == 10 * (len(message) + 5) == array("q", timeline.offsets)[-1]
            client.pool.close()
        run(main())


def test_a_dropped_idle_channel_is_noticed_and_replaced() -> None:
    def script(sock: socket.socket, number: int) -> None:
        peer = Peer(sock)
        if peer.greet() and number > 1:
            answering(whole)(peer, number)

    with serve(script) as port:
        async def main() -> None:
            client = Client(at(port))
            assert await client.prepare() is None
            for _ in range(1000):
                if client.pool.counts.dropped:
                    break
                await asyncio.sleep(0.005)
            assert (client.pool.counts.dropped, client.pool.counts.open) == (1, 0)
            assert (await client.ask()).failure is None
            client.pool.close()
        run(main())


def test_an_answer_without_grpc_status_is_no_success() -> None:
    said = {1: head(1, HEADERS, frames.END_STREAM | frames.END_HEADERS), 3: head(3) + frames.encode(0, 1, 3, b""),
            5: head(5) + frames.encode(frames.DATA, 0, 5, b"\0\0\0\0\x09x") + tail(5),
            7: head(7) + frames.encode(frames.DATA, 0, 7, b"\1\0\0\0\1x") + tail(7),
            9: tail(9, TRAILERS), 11: tail(11, b"\xff\xff\xff\xff\xff\xff\xff\xff")}
    with serve(speaking(answering(lambda stream: said[stream]))) as port:
        async def main() -> None:
            client = Client(at(port))
            details = []
            for _ in said:
                failure = (await client.ask()).failure
                assert failure is not None and failure.kind == "parse"
                details.append(failure.detail)
            for words, detail in zip(("no grpc-status", "no grpc-status", "cut off", "compressed", "HTTP status",
                                      "can't be decoded"), details, strict=True):
                assert words in detail
            client.pool.close()
        run(main())


def test_a_server_that_speaks_http1_over_tls_is_told() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with serve(GOOD, context=context) as port:
        async def main() -> None:
            client = Client(at(port, insecure=True))
            timeline = await client.ask()
            assert timeline.failure is None and timeline.tls > 0
            assert (await client.ask()).tls == -1
            client.pool.close()
        run(main())
    with serve(http1) as port:
        async def plain() -> None:
            failure = (await Client(at(port, insecure=True)).ask()).failure
            assert failure is not None and failure.kind == "tls"
        run(plain())
