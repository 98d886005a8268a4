"""What can be seen to be wrong before the clock starts: exit 2, the reason, and what to write instead."""

from __future__ import annotations

import socket
import ssl
import sys
from pathlib import Path

import pytest
import trustme

from loadgen.mock.process import MockProcess
from support.loopback import Script, read_request, serve
from support.replay import CAPTURES
from support.runs import Run, loadgen, run

NO_PROBE_FLAGS = ("--requests", "5", "--probe")


def server(**answers: bytes) -> Script:
    """Answer GETs with `health` (default 200), `models`; POSTs with `post`. Each is a whole HTTP answer."""
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    def script(sock: socket.socket, number: int) -> None:
        while request := read_request(sock):
            line = request.split(b"\r\n")[0]
            kind = "post" if line.startswith(b"POST") else "models" if b"/models" in line else "health"
            sock.sendall(answers.get(kind, ok))
    return script


def captured(name: str) -> bytes:
    return (CAPTURES / f"{name}.raw").read_bytes()


def refused(result: Run, *words: str) -> None:
    """The run did not start, said why in one message, and left no run behind."""
    assert result.code == 2, result.err
    assert "Traceback" not in result.err
    assert result.err.startswith("loadgen: error: ")
    for word in words:
        assert word in result.err
    assert not (result.dir / "requests.parquet").exists()


def test_nobody_listens(tmp_path: Path) -> None:
    with serve(server()) as port:
        pass
    refused(run(f"http://127.0.0.1:{port}", tmp_path / "run", *NO_PROBE_FLAGS), "no server answers", "--wait-ready")


def test_an_unknown_host(tmp_path: Path) -> None:
    refused(run("http://no-such-host.invalid:8000", tmp_path / "run", *NO_PROBE_FLAGS), "no-such-host.invalid", "--url")


def test_an_untrusted_certificate(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with serve(server(), context=context) as port:
        refused(run(f"https://localhost:{port}", tmp_path / "run", *NO_PROBE_FLAGS), "TLS failed", "--ca", "--insecure")


def test_https_to_a_plain_server(tmp_path: Path) -> None:
    def script(sock: socket.socket, number: int) -> None:
        if sock.recv(1):
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with serve(script) as port:
        refused(run(f"https://127.0.0.1:{port}", tmp_path / "run", *NO_PROBE_FLAGS), "TLS")


def test_not_an_http_server(tmp_path: Path) -> None:
    def script(sock: socket.socket, number: int) -> None:
        sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

    with serve(script) as port:
        refused(run(f"http://127.0.0.1:{port}", tmp_path / "run", *NO_PROBE_FLAGS), "HTTP")


def test_a_server_that_is_not_ready(tmp_path: Path) -> None:
    busy = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    with serve(server(health=busy)) as port:
        refused(run(f"http://127.0.0.1:{port}", tmp_path / "run", *NO_PROBE_FLAGS), "not ready", "--wait-ready")


def test_waiting_for_a_server_that_comes_late(tmp_path: Path) -> None:
    with serve(server()) as port:
        pass
    waiting = ("--wait-ready", "600ms")
    refused(run(f"http://127.0.0.1:{port}", tmp_path / "run", *NO_PROBE_FLAGS, *waiting), "no server answers")


def test_a_wrong_model_in_the_servers_own_words(tmp_path: Path) -> None:
    with serve(server(post=captured("vllm_err_nomodel"))) as port:
        result = run(f"http://127.0.0.1:{port}", tmp_path / "run", "--model", "nope", *NO_PROBE_FLAGS)
    refused(result, "The model `nope` does not exist. Valid aliases: tiny.", "NotFoundError")


def test_a_server_that_lists_no_models(tmp_path: Path) -> None:
    with serve(server(models=captured("hfserve_models"))) as port:
        refused(run(f"http://127.0.0.1:{port}", tmp_path / "run", *NO_PROBE_FLAGS), "--model", "500")


def test_a_server_that_rejects_an_optional_field(tmp_path: Path) -> None:
    with serve(server(post=captured("hfserve_err_extra"))) as port:
        result = run(f"http://127.0.0.1:{port}", tmp_path / "run", "--backend", "vllm", "--model", "m", *NO_PROBE_FLAGS)
    refused(result, "ignore_eos", "--body ignore_eos=null")


def test_a_redirect_and_a_compressed_answer_are_refused(tmp_path: Path) -> None:
    moved = b"HTTP/1.1 301 Moved\r\nLocation: http://elsewhere.invalid/v1\r\nContent-Length: 0\r\n\r\n"
    with serve(server(post=moved)) as port:
        result = run(f"http://127.0.0.1:{port}", tmp_path / "a", "--model", "m", *NO_PROBE_FLAGS)
    refused(result, "http://elsewhere.invalid/v1")
    packed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"
    with serve(server(post=packed)) as port:
        result = run(f"http://127.0.0.1:{port}", tmp_path / "b", "--model", "m", *NO_PROBE_FLAGS)
    refused(result, "gzip")


@pytest.mark.parametrize(("flags", "words"), [
    (("--rate", "0"), ("rate",)),
    (("--rate", "-1"), ("rate",)),
    (("--rate", "fast"), ("rate", "fast")),
    (("--rate", "nan"), ("rate",)),
    (("--slo", "ttftt.p99<1s"), ("ttftt", "ttft")),
    (("--slo", "ttft.p99<500"), ("add a unit",)),
    (("--backend", "vlm"), ("vlm", "vllm")),
    (("--timeout", "60"), ("60s",)),
    (("--arrivals", "poison"), ("poison", "poisson")),
    (("--rat", "3"), ("--rat",)),
    (("--duration", "5s", "--requests", "10"), ("--duration",)),
    (("--endpoint", "chats"), ("chats", "chat")),
    (("--body", "x"), ("key=",)),
    (("--header", "x"), ("Name: value",)),
])
def test_bad_flags(flags: tuple[str, ...], words: tuple[str, ...], tmp_path: Path) -> None:
    refused(run("http://127.0.0.1:1", tmp_path / "run", "--requests", "5", *flags), *words)


def test_bad_prompts_files(tmp_path: Path) -> None:
    cases = {"missing.jsonl": None, "empty.jsonl": b"", "latin.jsonl": b'{"prompt": "caf\xe9"}\n',
             "broken.jsonl": b'{"prompt": "a"}\n{"prompt": \n'}
    words = {"missing.jsonl": "missing.jsonl", "empty.jsonl": "empty", "latin.jsonl": "UTF-8", "broken.jsonl": "2"}
    with MockProcess(["--ttft", "5ms"]) as mock:
        for name, content in cases.items():
            path = tmp_path / name
            if content is not None:
                path.write_bytes(content)
            refused(run(mock.url, tmp_path / "run", "--prompts", str(path)), name, words[name])


def test_an_output_directory_that_can_not_be_used(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("x")
    (tmp_path / "file").write_text("x")
    with MockProcess(["--ttft", "5ms"]) as mock:
        refused(run(mock.url, tmp_path / "full", *NO_PROBE_FLAGS), "not empty", "--out")
        refused(run(mock.url, tmp_path / "file" / "below", *NO_PROBE_FLAGS), "--out")
    assert (tmp_path / "full" / "precious").read_text() == "x"


def test_a_directory_that_is_no_run(tmp_path: Path) -> None:
    result = loadgen([sys.executable, "-m", "loadgen", "report", str(tmp_path)], tmp_path)
    refused(result, str(tmp_path), "no run")


def test_a_plan_with_an_unknown_key(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("[load]\nrates = 3\n")
    refused(loadgen([sys.executable, "-m", "loadgen", "run", str(plan)], tmp_path), "rates", "rate", "load")
