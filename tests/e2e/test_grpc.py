"""Whole runs over gRPC: a backend of one file against a real server, with our own capture and with grpcio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.grpc_server import in_thread
from support.runs import run

BACKEND = '''
from loadgen import ServiceBackend
from loadgen.protocols.grpc import messages
from loadgen.types import Call, Failure, TokenEvents


class Stream(ServiceBackend):
    protocol = "grpc"
    forces_length = True

    def encode(self, request):
        if self.body.get("fail") and request.index % 5 == 0:
            return Call("/test.Test/Fail", b"14 1")
        return Call("/test.Test/Stream", b"8 2 5")

    def decode(self, timeline, request):
        cut = messages.split(timeline.payload)
        failure = timeline.failure
        if failure is None and not timeline.complete:
            failure = Failure("truncated", "no end")
        return TokenEvents(cut.ends, [1] * len(cut.ends), output_tokens=len(cut.ends), output_source="events",
                           finish_reason="length", failure=failure)
'''


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with in_thread() as port:
        yield port


@pytest.fixture
def backend(tmp_path: Path) -> str:
    (tmp_path / "streaming.py").write_text(BACKEND)
    return f"{tmp_path / 'streaming.py'}:Stream"


@pytest.mark.parametrize("client", ["own", "grpcio"])
def test_every_message_is_counted(port: int, backend: str, client: str, tmp_path: Path) -> None:
    done = run(f"grpc://127.0.0.1:{port}", tmp_path / "run", "--backend", backend, "--model", "m", "--probe",
               "--requests", "40", "--grpc-client", client, "--channels", "2", "--lax")
    assert done.code in (0, 3), done.err
    summary = done.summary
    assert (summary["requests"]["succeeded"], summary["requests"]["failed"]) == (40, 0)
    assert sum(sum(row["token_count"]) for row in done.rows) == 40 * 8
    assert summary["client"]["stamps"] == ("kernel" if client == "own" else "user")
    assert summary["client"]["opened"] == 2 * summary["client"]["senders"]
    for row in done.rows:
        assert row["token_at"] == sorted(row["token_at"])
        assert row["sent"] < row["token_at"][0] and row["token_at"][-1] <= row["end"]
    assert 2_000_000 <= summary["metrics"]["itl"]["p50"] < 20_000_000


def test_statuses_are_counted_by_class(port: int, backend: str, tmp_path: Path) -> None:
    done = run(f"http://127.0.0.1:{port}", tmp_path / "run", "--backend", backend, "--model", "m", "--requests", "40",
               "--body", "fail=true", "--concurrency", "4")
    assert done.summary["requests"]["failures"] == {"grpc_unavailable": 8}
    assert done.summary["requests"]["types"] == {"grpc_unavailable": {"UNAVAILABLE": 8}}
    assert done.summary["requests"]["succeeded"] == 32


def test_a_first_request_that_fails_is_told(port: int, backend: str, tmp_path: Path) -> None:
    Path(backend.partition(":")[0]).write_text(BACKEND.replace("/test.Test/Stream", "/test.Test/Nowhere"))
    done = run(f"grpc://127.0.0.1:{port}", tmp_path / "run", "--backend", backend, "--model", "m", "--probe",
               "--requests", "5")
    assert done.code == 2
    assert "/test.Test/Nowhere" in done.err and "UNIMPLEMENTED" in done.err


def test_an_http_backend_refuses_a_grpc_address(port: int, tmp_path: Path) -> None:
    done = run(f"grpc://127.0.0.1:{port}", tmp_path / "run", "--model", "m", "--requests", "5")
    assert done.code == 2
    assert f"write http://127.0.0.1:{port}" in done.err
