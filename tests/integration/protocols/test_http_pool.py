"""Connections and their pool over real loopback sockets: nothing is patched."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from array import array
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from loadgen.plan import Tls
from loadgen.protocols.http.address import Address, resolve
from loadgen.protocols.http.limits import Limits
from loadgen.protocols.http.pool import HttpPool
from loadgen.types import Failure, Timeline, UsageError
from support.loopback import Script, read_request, reset, serve

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


class Client:
    """A pool with a record of what it reported."""

    def __init__(self, address: Address, limits: Limits | None = None, reserve: int = 0, fresh: bool = False) -> None:
        self.done: asyncio.Queue[Timeline] = asyncio.Queue()
        self.fragments: list[tuple[int, bytes]] = []
        self.pool = HttpPool(asyncio.get_running_loop(), [address], limits or Limits(), reserve=reserve, fresh=fresh,
                         done=self.done.put_nowait, fragment=lambda i, data: self.fragments.append((i, bytes(data))))

    async def prepare(self, count: int) -> Failure | None:
        ready: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()
        self.pool.prepare(count, ready.set_result)
        return await asyncio.wait_for(ready, 10)

    async def ask(self, data: bytes = REQUEST) -> Timeline:
        self.pool.launch(Timeline(7), data)
        return await asyncio.wait_for(self.done.get(), 10)


def run(main: Coroutine[Any, Any, None]) -> None:
    uvloop.run(main)


def at(port: int, host: str = "127.0.0.1", **tls: Any) -> Address:
    scheme = "https" if tls else "http"
    return resolve(f"{scheme}://{host}:{port}", Tls(**tls), 5)


def answering(*answers: bytes) -> Script:
    """Answer each request of a connection with the next of `answers`, the last one for ever."""
    def script(sock: socket.socket, number: int) -> None:
        count = 0
        while read_request(sock):
            sock.sendall(answers[min(count, len(answers) - 1)])
            count += 1
    return script


def test_a_connection_is_reused_and_its_reads_are_stamped() -> None:
    with serve(answering(OK)) as port:
        async def main() -> None:
            client = Client(at(port))
            assert await client.prepare(1) is None
            for _ in range(3):
                timeline = await client.ask()
                assert (timeline.status, timeline.payload) == (200, b"ok")
                assert (timeline.complete, timeline.failure) == (True, None)
                assert timeline.connect == -1
                assert timeline.sent <= timeline.sent_end <= timeline.end
                assert len(timeline.stamps) == 16 * len(array("q", timeline.reads))
            assert client.pool.counts.opened == 1
            assert client.pool.counts.opened_late == 0
            if sys.platform == "linux":
                assert client.pool.counts.unstamped <= 1
            client.pool.close()
        run(main())


def test_a_request_that_finds_no_connection_opens_one_and_says_how_long_it_took() -> None:
    with serve(answering(OK)) as port:
        async def main() -> None:
            client = Client(at(port))
            timeline = await client.ask()
            assert timeline.failure is None
            assert timeline.connect > 0
            assert client.pool.counts.opened_late == 1
            client.pool.close()
        run(main())


def test_connections_new_opens_one_for_each_request() -> None:
    with serve(answering(OK)) as port:
        async def main() -> None:
            client = Client(at(port), fresh=True)
            assert await client.prepare(4) is None
            for _ in range(3):
                assert (await client.ask()).connect > 0
            assert (client.pool.counts.opened, client.pool.counts.open) == (3, 0)
        run(main())


def test_a_large_body_is_sent_in_parts_without_blocking_the_loop() -> None:
    body = b"x" * 16_000_000
    got: list[int] = []

    def script(sock: socket.socket, number: int) -> None:
        data = read_request(sock)
        if data:  # the resolver's own look at the port asks nothing
            got.append(len(data))
            sock.sendall(OK)

    with serve(script) as port:
        async def main() -> None:
            client = Client(at(port))
            data = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            timeline = await client.ask(data)
            assert timeline.failure is None
            assert timeline.sent_end > timeline.sent
            assert got == [len(data)]
            client.pool.close()
        run(main())


def test_a_long_answer_is_handed_on_in_fragments() -> None:
    body = bytes(range(256)) * 400

    with serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)) as port:
        async def main() -> None:
            client = Client(at(port))
            timeline = await client.ask()
            assert client.fragments
            assert b"".join(data for _, data in client.fragments) + timeline.payload == body
            assert array("q", timeline.offsets)[-1] == len(body)
            client.pool.close()
        run(main())


def test_a_stale_connection_is_retried_once_on_a_fresh_one_and_counted() -> None:
    def script(sock: socket.socket, number: int) -> None:
        read_request(sock)
        sock.sendall(OK)
        if number == 1:  # 0 is the resolver's own look at the port
            read_request(sock)
            reset(sock)
        else:
            answering(OK)(sock, number)

    with serve(script) as port:
        async def main() -> None:
            client = Client(at(port))
            assert (await client.ask()).reconnects == 0
            timeline = await client.ask()
            assert (timeline.failure, timeline.reconnects, timeline.payload) == (None, 1, b"ok")
            assert timeline.connect > 0
            client.pool.close()
        run(main())


def test_a_new_connection_that_is_closed_without_an_answer_is_not_retried() -> None:
    def script(sock: socket.socket, number: int) -> None:
        read_request(sock)
        sock.close()

    with serve(script) as port:
        async def main() -> None:
            client = Client(at(port))
            timeline = await client.ask()
            assert timeline.failure is not None and timeline.failure.kind == "truncated"
            assert "without a byte" in timeline.failure.detail
            assert timeline.reconnects == 0
        run(main())


@pytest.mark.parametrize("end", [reset, socket.socket.close])
def test_a_cut_answer_is_truncated(end: Any) -> None:
    def script(sock: socket.socket, number: int) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        read_some = sock.recv  # the client says nothing more: wait until the test ends or a moment has passed
        sock.settimeout(0.1)
        try:
            read_some(1)
        except TimeoutError:
            pass
        end(sock)

    with serve(script) as port:
        async def main() -> None:
            client = Client(at(port))
            timeline = await client.ask()
            assert timeline.failure is not None and timeline.failure.kind == "truncated"
            assert (timeline.payload, timeline.complete) == (b"hello", False)
            assert client.pool.counts.open == 0
        run(main())


def test_what_is_not_http_is_a_parse_failure() -> None:
    with serve(answering(b"220 smtp ready\r\n")) as port:
        async def main() -> None:
            timeline = await Client(at(port)).ask()
            assert timeline.failure is not None and timeline.failure.kind == "parse"
        run(main())


def test_a_dropped_idle_connection_is_noticed() -> None:
    def script(sock: socket.socket, number: int) -> None:
        sock.close()

    with serve(script) as port:
        async def main() -> None:
            client = Client(at(port))
            await client.prepare(1)
            for _ in range(1000):
                if client.pool.counts.dropped:
                    break
                await asyncio.sleep(0.005)
            assert (client.pool.counts.dropped, client.pool.counts.open) == (1, 0)
        run(main())


def test_refused_connections_fail_the_request_and_the_preparation() -> None:
    with serve(answering(OK)) as port:
        address = at(port)

    async def main() -> None:
        client = Client(address)
        failure = await client.prepare(1)
        assert failure is not None and (failure.kind, failure.type) == ("connect", "ECONNREFUSED")
        timeline = await client.ask()
        assert timeline.failure is not None and timeline.failure.kind == "connect"
        assert timeline.sent == -1
    run(main())


@pytest.mark.parametrize(("limits", "answer", "which"), [
    (Limits(first_token=30_000_000), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "first token"),
    (Limits(idle=30_000_000), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", "idle"),
    (Limits(total=30_000_000), b"HTTP/1.1 200 OK\r\n", "total"),
])
def test_time_limits(limits: Limits, answer: bytes, which: str) -> None:
    with serve(answering(answer)) as port:
        async def main() -> None:
            timeline = await Client(at(port), limits).ask()
            assert timeline.failure is not None
            assert (timeline.failure.kind, timeline.failure.type) == ("timeout", which)
            assert timeline.end - timeline.sent >= 29_000_000
        run(main())


def test_cancel_ends_everything_in_flight() -> None:
    with serve(answering(b"HTTP/1.1 200 OK\r\n")) as port:
        async def main() -> None:
            client = Client(at(port))
            await client.prepare(1)
            for index in range(3):
                client.pool.launch(Timeline(index), REQUEST)
            client.pool.cancel(Failure("censored", "late"))
            ended = [await client.done.get() for _ in range(3)]
            assert {t.failure.kind for t in ended if t.failure} == {"censored"}
            assert len(ended) == 3
            client.pool.close()
        run(main())


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6() -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 loopback here")
    with serve(answering(OK), socket.AF_INET6) as port:
        async def main() -> None:
            address = at(port, "[::1]")
            assert address.authority == f"[::1]:{port}"
            client = Client(address)
            assert (await client.ask()).payload == b"ok"
            client.pool.close()
        run(main())


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def ca_file(authority: trustme.CA, folder: Path) -> str:
    path = folder / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


def test_tls_keeps_the_kernel_stamps_and_reuses_the_connection(authority: trustme.CA, tmp_path: Path) -> None:
    with serve(answering(OK), context=server_context(authority)) as port:
        async def main() -> None:
            client = Client(at(port, "localhost", ca=ca_file(authority, tmp_path)))
            first = await client.ask()
            assert (first.payload, first.failure) == (b"ok", None)
            assert first.connect > 0 and first.tls > 0
            second = await client.ask()
            assert (second.payload, second.tls) == (b"ok", -1)
            assert len(second.stamps) == 16 * len(array("q", second.reads))
            if sys.platform == "linux":
                assert second.unstamped == 0
            client.pool.close()
        run(main())


def test_tls_fails_for_an_unknown_authority_unless_insecure(authority: trustme.CA, tmp_path: Path) -> None:
    with serve(answering(OK), context=server_context(authority)) as port:
        async def main() -> None:
            stranger = tmp_path / "stranger.pem"
            trustme.CA().cert_pem.write_to_path(stranger)
            timeline = await Client(at(port, "localhost", ca=str(stranger))).ask()
            assert timeline.failure is not None and timeline.failure.kind == "tls"
            assert "--ca" in timeline.failure.detail
            client = Client(at(port, "localhost", insecure=True))
            assert (await client.ask()).payload == b"ok"
            client.pool.close()
        run(main())


def test_tls_server_name_can_differ_from_the_host(authority: trustme.CA, tmp_path: Path) -> None:
    ca = ca_file(authority, tmp_path)
    with serve(answering(OK), context=server_context(authority, "model.example")) as port:
        async def main() -> None:
            timeline = await Client(at(port, "localhost", ca=ca)).ask()
            assert timeline.failure is not None and timeline.failure.kind == "tls"
            client = Client(at(port, "localhost", ca=ca, server_name="model.example"))
            assert (await client.ask()).payload == b"ok"
            client.pool.close()
        run(main())


def test_tls_with_a_client_certificate(authority: trustme.CA, tmp_path: Path) -> None:
    context = server_context(authority)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    issued = authority.issue_cert("client@example.org")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    with serve(answering(OK), context=context) as port:
        async def main() -> None:
            ca = ca_file(authority, tmp_path)
            client = Client(at(port, "localhost", ca=ca, cert=str(cert), key=str(key)))
            assert (await client.ask()).payload == b"ok"
            client.pool.close()
            without = await Client(at(port, "localhost", ca=ca)).ask()
            assert without.failure is not None
        run(main())


def test_a_plain_server_on_an_https_url_is_a_tls_failure() -> None:
    def script(sock: socket.socket, number: int) -> None:
        if sock.recv(1):
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            sock.recv(65536)

    with serve(script) as port:
        async def main() -> None:
            timeline = await Client(at(port, "localhost", insecure=True)).ask()
            assert timeline.failure is not None and timeline.failure.kind == "tls"
        run(main())


def test_a_missing_ca_file_is_told(tmp_path: Path) -> None:
    with serve(answering(OK)) as port, pytest.raises(UsageError, match=r"nowhere\.pem"):
        async def main() -> None:
            Client(at(port, "localhost", ca=str(tmp_path / "nowhere.pem")))
        run(main())


def test_resolve_says_what_is_wrong() -> None:
    with pytest.raises(UsageError, match="not known"):
        resolve("http://no-such-host.invalid:1", Tls(), 1)
    with serve(answering(OK)) as port:
        pass
    with pytest.raises(UsageError, match="no server answers"):
        resolve(f"http://127.0.0.1:{port}", Tls(), 1)
