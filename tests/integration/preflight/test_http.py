"""Readiness and discovery, with the clock as a parameter."""

from __future__ import annotations

import socket

import pytest

from loadgen.backends.openai import OpenAI
from loadgen.plan import Duration, Plan, Target
from loadgen.preflight.http import discover_model, wait_ready
from loadgen.types import SECOND, UsageError
from support.loopback import read_request, serve

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, wait: float) -> None:
        self.now += wait


def plan_for(port: int, wait: float = 0) -> Plan:
    return Plan(target=Target(url=(f"http://127.0.0.1:{port}",), wait_ready=Duration(round(wait * SECOND))))


def backend() -> OpenAI:
    return OpenAI(model="", url="http://127.0.0.1:1")


def test_it_waits_until_the_server_is_ready() -> None:
    asked = []

    def script(sock: socket.socket, number: int) -> None:
        while read_request(sock):
            asked.append(1)
            sock.sendall(BUSY if len(asked) < 4 else OK)

    time = Time()
    with serve(script) as port:
        (address,) = wait_ready(plan_for(port, 60), backend(), clock=time.clock, sleep=time.sleep)
    assert address.authority == f"127.0.0.1:{port}"
    assert len(asked) == 4
    assert time.now == pytest.approx(0.75)


def test_it_gives_up_at_the_limit_with_the_last_reason() -> None:
    time = Time()
    with serve(lambda sock, number: sock.close()) as port:
        pass
    with pytest.raises(UsageError, match="no server answers"):
        wait_ready(plan_for(port, 10), backend(), clock=time.clock, sleep=time.sleep)
    assert time.now == pytest.approx(10, abs=0.3)


def test_a_server_without_a_health_page_is_taken_as_ready() -> None:
    def script(sock: socket.socket, number: int) -> None:
        while read_request(sock):
            sock.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    with serve(script) as port:
        assert len(wait_ready(plan_for(port), backend())) == 1


def test_several_models_are_noted() -> None:
    body = b'{"data": [{"id": "a"}, {"id": "b"}]}'

    def script(sock: socket.socket, number: int) -> None:
        while request := read_request(sock):
            sent = body if b"/v1/models" in request else b""
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(sent) + sent)

    with serve(script) as port:
        plan = plan_for(port)
        (address,) = wait_ready(plan, backend())
        model, note = discover_model(plan, backend(), address)
    assert model == "a"
    assert "2 models" in note and "--model" in note
