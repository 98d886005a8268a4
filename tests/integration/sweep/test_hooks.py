"""Tests of what is done between cells, against scripted servers: the cache, the command, and who has gone."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from loadgen.plan import Plan, Target, Tls
from loadgen.run.subprocess import forward_signals
from loadgen.sweep.hooks import gone, prepare
from loadgen.sweep.parse_spec import spec_of
from loadgen.sweep.spec import SweepSettings
from loadgen.types import UsageError
from support.loopback import read_request, serve
from support.stored_cells import PLAN

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
RESETTING = SweepSettings(reset_cache=True)


def at(url: str, **changes: object) -> Plan:
    return Plan(target=Target(url=(url,), **changes))  # type: ignore[arg-type]


def reset_cache(plan: Plan) -> None:
    prepare(plan, RESETTING, True, lambda: False)


class Server:
    """Answers each request with the same bytes, and keeps what it was asked."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.asked: list[bytes] = []

    def __call__(self, sock: socket.socket, number: int) -> None:
        if request := read_request(sock):
            self.asked.append(request)
            sock.sendall(self.answer)


def test_the_cache_is_reset_with_the_headers_of_the_run_and_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server = Server()
    with serve(server) as port:
        reset_cache(at(f"http://127.0.0.1:{port}/v1", api_key="k", headers={"X-Tenant": "t"}))
    (request,) = server.asked
    assert request.startswith(b"POST /reset_prefix_cache HTTP/1.1\r\n")
    assert b"Authorization: Bearer k\r\n" in request and b"X-Tenant: t\r\n" in request


def test_the_cache_is_reset_over_tls_as_the_run_has_it(tmp_path: Path) -> None:
    authority, server = trustme.CA(), Server()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with serve(server, context=context) as port:
        plan = at(f"https://localhost:{port}")
        reset_cache(replace(plan, tls=Tls(ca=str(tmp_path / "ca.pem"))))
        with pytest.raises(UsageError, match="no HTTP answer to POST /reset_prefix_cache"):
            reset_cache(plan)
    assert len(server.asked) == 1


@pytest.mark.parametrize(("answer", "words"), [
    (b"SSH-2.0-OpenSSH_9.2\r\n", "gives no HTTP answer"), (b"", "gives no HTTP answer"),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answers 404 to POST .*VLLM_SERVER_DEV_MODE=1"),
    (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "answers 302"),
])
def test_a_server_that_can_not_reset_its_cache_is_said(answer: bytes, words: str) -> None:
    with serve(Server(answer)) as port, pytest.raises(UsageError, match=words):
        reset_cache(at(f"http://127.0.0.1:{port}"))


@pytest.mark.parametrize(("target", "words"), [
    (Target(backend="hf"), "--reset-cache asks a server, and hf loads the model here"),
    (Target(backend="triton", url=("host:8001",)), "over HTTP, which host:8001 is not"),
])
def test_a_cache_that_nobody_can_be_asked_to_reset_is_refused(target: Target, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        spec_of(replace(PLAN, target=target), {"rate": ["1"]}, settings={"reset_cache": True})


def test_a_command_that_ctrl_c_has_ended_is_no_failure_of_its_own(tmp_path: Path) -> None:
    heard: list[int] = []
    settings = SweepSettings(between=f"kill -INT {os.getpid()} $$")
    with forward_signals(heard.append):
        prepare(at("http://a"), settings, True, lambda: bool(heard))
    assert heard == [signal.SIGINT]
    with pytest.raises(UsageError, match="--between ended with exit code"):
        prepare(at("http://a"), replace(settings, between="kill -INT $$"), True, lambda: False)


@contextlib.contextmanager
def full() -> Iterator[socket.socket]:
    """A server that is too busy to accept, with a backlog that holds no more."""
    with socket.socket() as listener, contextlib.ExitStack() as clients:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener


def test_a_server_whose_backlog_is_full_has_not_gone_if_it_takes_connections_soon() -> None:
    with full() as listener:
        plan = at("http://{}:{}".format(*listener.getsockname()))
        assert gone(plan, connect=0.1, patience=0.0).endswith("no server answers there (timed out)")

        def take() -> None:
            time.sleep(0.5)
            with contextlib.suppress(OSError):
                while True:
                    listener.accept()[0].close()

        threading.Thread(target=take, daemon=True).start()
        assert gone(plan, connect=0.1, patience=60.0) == ""


def test_where_nobody_listens_it_has_gone_at_once() -> None:
    with serve(Server()) as port:
        assert gone(at(f"http://127.0.0.1:{port}")) == ""
    assert gone(at(f"http://127.0.0.1:{port}"), patience=1e9).endswith("(Connection refused)")
    assert "no server answers there" in gone(at("http://no-such-host.invalid:80"), patience=1e9)
