"""Our gRPC and the fallback against real gRPC servers: the same calls, the same answers."""

from __future__ import annotations

import asyncio
import ssl
from array import array
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
import uvloop

from loadgen.plan import Tls
from loadgen.protocols.grpc import fallback, messages, request, status
from loadgen.protocols.grpc.ask import ask
from loadgen.protocols.http.address import Address, resolve
from loadgen.protocols.http.limits import Limits
from loadgen.protocols.http2.pool import Http2Pool
from loadgen.run.assemble import WallClock, assemble
from loadgen.types import FAILURES, Call, ClockSample, Timeline, TokenEvents, UsageError
from support.grpc_server import PATH, in_thread, start
from support.http2_server import Client

MS = 1_000_000
BOTH = pytest.mark.parametrize("make", [Http2Pool, fallback.GrpcioPool], ids=["own", "grpcio"])


def run(main: Coroutine[Any, Any, None]) -> None:
    uvloop.run(main)


def at(port: int, **tls: Any) -> Address:
    return resolve(f"grpcs://localhost:{port}" if tls else f"grpc://127.0.0.1:{port}", Tls(**tls), 5)


def call(method: str, body: bytes, *headers: tuple[str, str], timeout: int = 0) -> bytes:
    return request.encode(Call(PATH + method, body, headers), "localhost:1", timeout=timeout)


def answers(timeline: Timeline) -> list[bytes]:
    assert timeline.failure is None, timeline.failure
    return messages.split(timeline.payload).data


@BOTH
def test_a_stream_of_messages(make: Any) -> None:
    async def main() -> None:
        server, port = await start()
        client = Client(at(port), make=make)
        assert await client.prepare() is None
        for _ in range(3):
            timeline = await client.ask(call("Stream", b"5 5 10"))
            assert answers(timeline) == [bytes((number,)) * 10 for number in range(5)]
            assert (timeline.status, timeline.complete) == (200, True)
            assert b"grpc-status: 0\r\n" in timeline.headers
            offsets = array("q", timeline.offsets)
            assert offsets == array("q", sorted(offsets)) and offsets[-1] == 75
            stamps = array("q", timeline.stamps)
            instants = [s * 1_000_000_000 + n for s, n in zip(stamps[::2], stamps[1::2], strict=True)]
            assert len(instants) >= 5
            assert instants == sorted(instants)
            if make is fallback.GrpcioPool:
                assert timeline.unstamped == len(instants)
        assert client.pool.counts.opened == 1
        client.pool.close()
        await server.stop(0)
    run(main())


@BOTH
def test_each_status_is_a_failure_class(make: Any) -> None:
    async def main() -> None:
        server, port = await start()
        client = Client(at(port), make=make)
        assert await client.prepare() is None
        for code, name in enumerate(status.NAMES):
            if code:
                for count in (0, 2):
                    timeline = await client.ask(call("Fail", b"%d %d" % (code, count)))
                    assert timeline.failure is not None
                    assert (timeline.failure.kind, timeline.failure.type) == (f"grpc_{name.lower()}", name)
                    assert timeline.failure.kind in FAILURES
                    assert timeline.failure.detail.split() == ["späte", "100", "%", str(code), "line"]
                    assert len(messages.split(timeline.payload).data) == count
        timeline = await client.ask(call("Nowhere", b""))
        assert timeline.failure is not None and timeline.failure.kind == "grpc_unimplemented"
        client.pool.close()
        await server.stop(0)
    run(main())


def test_an_unknown_status_is_unknown() -> None:
    for told in ("99", "x", "-1", ""):
        failure = status.failure_of(told, "")
        assert failure is not None and failure.kind == "grpc_unknown" and repr(told) in failure.detail


@BOTH
def test_large_messages_both_ways(make: Any) -> None:
    async def main() -> None:
        server, port = await start(None, ("grpc.http2.bdp_probe", 0))
        client = Client(at(port), make=make)
        assert await client.prepare() is None
        timeline = await client.ask(call("Size", bytes(4_000_000)))
        assert answers(timeline) == [b"4000000"]
        assert timeline.sent_end >= timeline.sent
        assert answers(await client.ask(call("Stream", b"3 0 3000000"))) == [bytes((n,)) * 3_000_000 for n in range(3)]
        client.fragments.clear()
        # While a large body waits for its window, small requests go on.
        client.pool.launch(Timeline(1), call("Size", bytes(8_000_000)))
        client.pool.launch(Timeline(2), call("Size", b"x"))
        ended = [await client.ended(), await client.ended()]
        assert sorted(timeline.index for timeline in ended) == [1, 2]
        assert all(timeline.failure is None for timeline in ended)
        client.pool.close()
        await server.stop(0)
    run(main())


@BOTH
def test_metadata_and_deadline_reach_the_server(make: Any) -> None:
    async def main() -> None:
        server, port = await start()
        client = Client(at(port), make=make)
        assert await client.prepare() is None
        data = call("Metadata", b"", ("Authorization", "Bearer k"), ("X-Trace", "a b"), timeout=60_000 * MS)
        timeline = await client.ask(data)
        said = dict(text.decode().split("=", 1) for text in answers(timeline))
        assert (said["authorization"], said["x-trace"]) == ("Bearer k", "a b")
        assert 0 < float(said["deadline"]) <= 60.1
        assert b"x-first: 1\r\n" in timeline.headers and b"x-last: 2\r\n" in timeline.headers
        client.pool.close()
        await server.stop(0)
    run(main())


@BOTH
def test_a_deadline_that_only_the_server_keeps_is_its_status(make: Any) -> None:
    async def main() -> None:
        server, port = await start()
        client = Client(at(port), make=make)
        assert await client.prepare() is None
        failure = (await client.ask(call("Stream", b"9 50 1", timeout=70 * MS))).failure
        assert failure is not None
        assert failure.kind in ("grpc_deadline_exceeded", "truncated")  # some servers reset the stream
        client.pool.close()
        await server.stop(0)
    run(main())


@BOTH
def test_time_limits_and_cancel(make: Any) -> None:
    async def main() -> None:
        server, port = await start()
        client = Client(at(port), Limits(idle=40 * MS), make=make)
        assert await client.prepare() is None
        failure = (await client.ask(call("Stream", b"2 5000 1"))).failure
        assert failure is not None and (failure.kind, failure.type) == ("timeout", "idle")
        client.pool.launch(Timeline(1), call("Stream", b"2 5000 1"))
        await asyncio.sleep(0)
        client.pool.cancel(status.failure_of("1", "stop") or pytest.fail("no failure"))
        assert (await client.ended()).failure == status.failure_of("1", "stop")
        client.pool.close()
        await server.stop(0)
    run(main())


def test_a_graceful_stop_finishes_what_runs_and_a_restart_takes_the_next() -> None:
    async def main() -> None:
        server, port = await start()
        client = Client(at(port))
        assert await client.prepare() is None
        client.pool.launch(Timeline(1), call("Stream", b"10 10 1"))
        await asyncio.sleep(0.02)
        await server.stop(5)
        assert len(answers(await client.ended())) == 10
        failure = (await client.ask(call("Stream", b"1 0 1"))).failure
        assert failure is not None and failure.kind == "connect"
        assert client.pool.counts.open == 0
        client.pool.close()
    run(main())


@BOTH
def test_no_server(make: Any) -> None:
    async def main() -> None:
        server, port = await start()
        address = at(port)
        await server.stop(0)
        client = Client(address, Limits(connect=200 * MS), make=make)
        failure = await client.prepare()
        assert failure is not None and failure.kind == "connect"
        client.pool.close()
    run(main())


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def files(authority: trustme.CA, folder: Path) -> dict[str, str]:
    issued = authority.issue_cert("client@example.org")
    paths = {"ca": folder / "ca.pem", "cert": folder / "cert.pem", "key": folder / "key.pem"}
    authority.cert_pem.write_to_path(paths["ca"])
    issued.cert_chain_pems[0].write_to_path(paths["cert"])
    issued.private_key_pem.write_to_path(paths["key"])
    return {name: str(path) for name, path in paths.items()}


@BOTH
@pytest.mark.parametrize("mutual", [False, True])
def test_tls_and_client_certificates(make: Any, mutual: bool, authority: trustme.CA, tmp_path: Path) -> None:
    async def main() -> None:
        issued = authority.issue_cert("localhost")
        pair = (issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())
        credentials = grpc.ssl_server_credentials([pair], authority.cert_pem.bytes(), mutual)
        server, port = await start(credentials)
        given = files(authority, tmp_path)
        client = Client(at(port, **(given if mutual else {"ca": given["ca"]})), make=make)
        assert await client.prepare() is None
        assert answers(await client.ask(call("Stream", b"3 1 5"))) == [bytes((n,)) * 5 for n in range(3)]
        client.pool.close()
        if mutual and make is Http2Pool:
            without = await Client(at(port, ca=given["ca"])).ask(call("Size", b"x"))
            assert without.failure is not None and without.failure.kind in ("tls", "connect", "truncated")
        if make is Http2Pool:
            (tmp_path / "other.pem").write_bytes(trustme.CA().cert_pem.bytes())
            stranger = await Client(at(port, ca=str(tmp_path / "other.pem"))).ask(call("Size", b"x"))
            assert stranger.failure is not None and stranger.failure.kind == "tls"
        await server.stop(0)
    run(main())


def test_tls_without_http2_is_told(authority: trustme.CA, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    context.set_alpn_protocols(["http/1.1"])

    async def main() -> None:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "localhost", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        failure = (await Client(at(port, ca=files(authority, tmp_path)["ca"])).ask(call("Size", b"x"))).failure
        assert failure is not None and failure.kind in ("tls", "connect", "truncated")
        server.close()
        await server.wait_closed()
    asyncio.run(main())


# Outside of a run


def test_one_call_beside_a_running_loop() -> None:
    with in_thread() as port:
        async def main() -> None:
            timeline = ask(at(port), Call(PATH + "Size", b"123"), Limits(total=5_000 * MS))
            assert answers(timeline) == [b"3"]
            timeline = ask(at(port), Call(PATH + "Stream", b"5 0 20000"), Limits(total=5_000 * MS))
            assert answers(timeline) == [bytes((n,)) * 20_000 for n in range(5)]
        run(main())


def test_one_call_to_nobody() -> None:
    with in_thread() as port:
        address = at(port)
    failure = ask(address, Call(PATH + "Size", b""), Limits()).failure
    assert failure is not None and failure.kind == "connect"


# Instants and requests


def test_messages_that_share_a_read_with_a_later_one_of_another_request_are_coalesced() -> None:
    second = 1_000_000_000
    timeline = Timeline(0, due=0, sent=0, complete=True)
    timeline.stamps = array("q", [1, 0, 2, 0, 3, 0]).tobytes()
    timeline.reads = array("q", [second, 2 * second, 3 * second]).tobytes()
    timeline.offsets = array("q", [6, 18, 24]).tobytes()
    timeline.shared = array("q", [0]).tobytes()
    events = TokenEvents(ends=[6, 12, 18, 24], counts=[1] * 4)
    row = assemble(timeline, events, WallClock(ClockSample(0, 0)), 0, 1, 4)
    assert row.coalesced == 2  # the first by its stream's neighbour, the second by the third
    assert row.token_at == [second, 2 * second, 2 * second, 3 * second]


@pytest.mark.parametrize(("timeout", "text"), [(1, "1n"), (99_999_999, "99999999n"), (100_000_001, "100001u"),
                                               (600_000_000_000, "600000m"), (10**20, "27777778H"),
                                               (10**30, "99999999H")])
def test_deadlines_have_eight_digits(timeout: int, text: str) -> None:
    assert request.timeout_text(timeout) == text


@pytest.mark.parametrize(("name", "value", "words"), [
    ("Connection", "close", "leave it out"), ("grpc-timeout", "1S", "leave it out"), ("x y", "1", "letters"),
    (":path", "/", "letters"), ("", "1", "letters"), ("ä", "1", "letters"), ("x", "a\nb", "printable"),
    ("x", "ü", "-bin")])
def test_metadata_that_grpc_can_not_carry(name: str, value: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call("Size", b"", (name, value))


def test_messages_are_cut_at_their_prefixes() -> None:
    payload = request.frame(b"one") + request.frame(b"") + request.frame(b"three")
    cut = messages.split(payload)
    assert (cut.data, cut.ends, cut.rest, cut.compressed) == ([b"one", b"", b"three"], [8, 13, 23], 0, False)
    for end in range(len(payload)):
        part = messages.split(payload[:end])
        assert part.data == cut.data[:len(part.data)]
        assert part.rest == end - ([0, *part.ends])[-1]
    assert messages.split(b"\1\0\0\0\1x") == messages.Messages([], [], 6, True)
