"""The mock over real sockets: pacing, faults, truth, and bad clients."""

import http.client
import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from loadgen.mock.faults import KINDS
from loadgen.mock.process import MockProcess

MS = 1_000_000
TEXT = "/v1/completions"
QUICK = ["--ttft", "5ms", "--itl", "1ms", "--output-tokens", "6", "--gather", "0"]


@pytest.fixture(scope="module")
def quick() -> Iterator[MockProcess]:
    with MockProcess(QUICK) as mock:
        yield mock


def connect(mock: MockProcess) -> socket.socket:
    parts = urlsplit(mock.url)
    assert parts.hostname and parts.port
    return socket.create_connection((parts.hostname, parts.port), timeout=10)


def ask(path: str = TEXT, headers: str = "", **fields: Any) -> bytes:
    body = json.dumps({"prompt": "a b", "stream": True, **fields}).encode()
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def read_to_end(sock: socket.socket) -> bytes:
    data = bytearray()
    while part := sock.recv(65536):
        data += part
    return bytes(data)


def exchange(mock: MockProcess, **fields: Any) -> bytes:
    """Ask once on a connection that the server closes after the answer."""
    with connect(mock) as sock:
        sock.sendall(ask(headers="Connection: close\r\n", **fields))
        return read_to_end(sock)


def post(mock: MockProcess, **fields: Any) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(mock.url).netloc, timeout=10)
    try:
        connection.request("POST", TEXT, json.dumps({"prompt": "a b", **fields}))
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read() or b"null")
    finally:
        connection.close()


def test_a_stream_keeps_its_schedule_and_is_never_early(quick: MockProcess) -> None:
    quick.reset()
    data = exchange(quick, user="tag1", stream_options={"include_usage": True})
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert data.count(b'"text":" ') == 6
    assert data.endswith(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    record = quick.truth(ended=1)["requests"][0]
    assert (record["tag"], record["tokens"], record["prompt_tokens"], record["finish"]) == ("tag1", 6, 2, "length")
    assert len(record["writes"]) == 6
    for position, write in enumerate(record["writes"]):
        assert write >= record["arrival"] + (5 + position) * MS
    assert (record["first"], record["last"]) == (record["writes"][0], record["writes"][-1])
    assert record["last"] <= record["end"]


def test_pipelined_requests_are_answered_in_order_on_one_connection(quick: MockProcess) -> None:
    quick.reset()
    with connect(quick) as sock:
        sock.sendall(ask(max_tokens=2, user="a") + ask(max_tokens=1, user="b", stream=False)
                     + ask(max_tokens=3, user="c", headers="Connection: close\r\n"))  # fmt: skip
        data = read_to_end(sock)
    assert data.count(b"HTTP/1.1 200 OK") == 3
    truth = quick.truth(ended=3)
    assert [(record["tag"], record["tokens"]) for record in truth["requests"]] == [("a", 2), ("b", 1), ("c", 3)]
    first, second, third = truth["requests"]
    assert first["end"] <= second["arrival"] <= second["end"] <= third["arrival"]


def test_a_request_may_come_byte_by_byte(quick: MockProcess) -> None:
    with connect(quick) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in ask(headers="Connection: close\r\n", max_tokens=1):
            sock.send(bytes([byte]))
        assert read_to_end(sock).endswith(b"0\r\n\r\n")


def test_an_answer_in_one_piece_comes_when_its_last_token_would(quick: MockProcess) -> None:
    quick.reset()
    status, answer = post(quick, max_tokens=4)
    assert (status, answer["usage"]["completion_tokens"]) == (200, 4)
    record = quick.truth(ended=1)["requests"][0]
    assert record["writes"][0] >= record["arrival"] + 8 * MS
    assert record["tokens"] == 4


def test_a_request_id_is_echoed_and_recorded(quick: MockProcess) -> None:
    quick.reset()
    with connect(quick) as sock:
        sock.sendall(ask(headers="X-Request-ID: r7\r\nConnection: close\r\n", max_tokens=1))
        assert b"\r\nX-Request-Id: r7\r\n" in read_to_end(sock)
    assert quick.truth(ended=1)["requests"][0]["tag"] == "r7"


def test_what_else_it_answers(quick: MockProcess) -> None:
    assert json.loads(quick.get("/v1/models"))["data"][0]["id"] == "mock"
    assert quick.get("/health") == b""
    assert post(quick, model="nope")[0] == 404
    assert post(quick, max_tokens=-1)[0] == 400
    connection = http.client.HTTPConnection(urlsplit(quick.url).netloc, timeout=10)
    for method, path, status in (("GET", "/nope", 404), ("GET", TEXT, 405)):
        connection.request(method, path)
        reply = connection.getresponse()
        reply.read()
        assert reply.status == status
    connection.close()


def test_metrics_count_under_the_names_of_vllm() -> None:
    with MockProcess(QUICK) as mock:
        exchange(mock, max_tokens=5)
        mock.truth(ended=1)
        page = mock.get("/metrics").decode()
    label = '{model_name="mock"}'
    assert f"vllm:generation_tokens_total{label} 5\n" in page
    assert f"vllm:num_requests_running{label} 0\n" in page
    assert f"vllm:inter_token_latency_seconds_count{label} 4\n" in page
    assert 'vllm:time_to_first_token_seconds_bucket{model_name="mock",le="0.001"} 0\n' in page
    assert 'vllm:request_success_total{model_name="mock",finished_reason="length"} 1\n' in page


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"nonsense\r\n\r\n", b"400"), (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411")],
)
def test_a_bad_request_is_answered_and_closed(quick: MockProcess, sent: bytes, status: bytes) -> None:
    with connect(quick) as sock:
        sock.sendall(sent)
        assert read_to_end(sock).startswith(b"HTTP/1.1 " + status)


def test_a_client_that_hangs_up_is_noted() -> None:
    with MockProcess(["--ttft", "1ms", "--itl", "1ms"]) as mock:
        with connect(mock) as sock:
            sock.sendall(ask(max_tokens=100_000))
            assert sock.recv(100)
        record = mock.truth(ended=1)["requests"][0]
    assert record["gone"] is True
    assert record["tokens"] < 100_000


def test_a_slow_reader_gets_everything() -> None:
    with MockProcess(["--ttft", "0", "--itl", "0"]) as mock, connect(mock) as sock:
        sock.sendall(ask(max_tokens=60_000, headers="Connection: close\r\n"))
        assert mock.truth(ended=1)["requests"][0]["tokens"] == 60_000
        data = read_to_end(sock)
    assert data.count(b'"text":" ') == 60_000
    assert data.endswith(b"0\r\n\r\n")


def test_slots_make_requests_queue() -> None:
    with MockProcess([*QUICK, "--slots", "1"]) as mock:
        socks = [connect(mock) for _ in range(3)]
        for sock in socks:
            sock.sendall(ask())
        records = sorted(mock.truth(ended=3)["requests"], key=lambda record: record["first"])
        for sock in socks:
            sock.close()
    for before, after in pairwise(records):
        assert after["queued"] > 0
        assert after["first"] >= before["last"] - before["late"] + 5 * MS  # the slot was due to be free, then ttft
    assert records[0]["queued"] == 0


def test_every_fault_is_injected_exactly_and_looks_as_it_should() -> None:
    kinds = [kind for kind in KINDS if kind not in ("stall", "overload", "callback-timeout")]
    faults = [part for kind in kinds for part in ("--fault", f"{kind}:1/{len(kinds)}")]
    with MockProcess([*QUICK, *faults, "--slow", "30ms"]) as mock:
        seen = Counter(classify(mock) for _ in range(2 * len(kinds)))
        truth = mock.truth(ended=2 * len(kinds))
    assert truth["faults"] == dict.fromkeys(kinds, 2)
    assert seen == {
        "500": 2, "503": 2, "429": 2, "404": 2, "302": 2, "nothing": 2, "reset": 2, "truncated": 2, "garbage": 2,
        "error": 2, "empty": 2, "unfinished": 2, "fine": 2,
    }  # fmt: skip
    slow = [record for record in truth["requests"] if record["fault"] == "slow-headers"]
    assert all(record["first"] >= record["arrival"] + 35 * MS for record in slow)
    half = [record["tokens"] for record in truth["requests"] if record["fault"] in ("cut", "reset", "errevent")]
    assert half == [3] * 6


def classify(mock: MockProcess) -> str:
    """Name what a stream looks like from outside."""
    try:
        data = exchange(mock)
    except ConnectionResetError:
        return "reset"
    status = data[9:12].decode()
    signs = [("nothing", not data), (status, status != "200"), ("truncated", not data.endswith(b"0\r\n\r\n")),
             ("garbage", b"[{{{" in data), ("error", b'"error"' in data), ("unfinished", b"[DONE]" not in data),
             ("empty", b'"text":" ' not in data)]  # fmt: skip
    return next((name for name, holds in signs if holds), "fine")


@pytest.mark.parametrize("kind", ["cut", "reset", "garbage", "errevent", "empty", "nodone"])
def test_faults_of_answers_in_one_piece(kind: str) -> None:
    with MockProcess([*QUICK, "--fault", f"{kind}:1"]) as mock:
        try:
            data = exchange(mock, stream=False)
        except ConnectionResetError:
            data = b"reset"
        assert mock.truth(ended=1)["faults"] == {kind: 1}
    head, _, body = data.partition(b"\r\n\r\n")
    if kind == "reset":
        assert data == b"reset"
    elif kind == "cut":
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        assert 0 < len(body) < length
    elif kind == "garbage":
        assert body == b'{"choices": [{{{'
    elif kind == "errevent":
        assert json.loads(body)["error"]["code"] == 500
    else:
        answer = json.loads(body)
        empty = kind == "empty"
        assert answer["usage"]["completion_tokens"] == (0 if empty else 6)
        assert answer["choices"][0]["finish_reason"] == ("stop" if empty else None)


def test_a_stalled_stream_is_in_flight_until_its_client_leaves() -> None:
    with MockProcess([*QUICK, "--fault", "stall:1"]) as mock:
        with connect(mock) as sock:
            sock.sendall(ask())
            data = b""
            while data.count(b'"text":" ') < 3:
                data += sock.recv(65536)
            truth = mock.truth()
            assert (truth["totals"]["in_flight"], truth["requests"][0]["end"]) == (1, -1)
        record = mock.truth(ended=1)["requests"][0]
    assert (record["gone"], record["tokens"], record["fault"]) == (True, 3, "stall")


def test_early_stops_are_drawn_and_ignore_eos_forbids_them() -> None:
    with MockProcess([*QUICK, "--eos-share", "1"]) as mock:
        exchange(mock, min_tokens=3)
        exchange(mock, ignore_eos=True)
        stopped, ignored = mock.truth(ended=2)["requests"]
    assert stopped["finish"] == "stop"
    assert 3 <= stopped["tokens"] < 6
    assert (ignored["finish"], ignored["tokens"]) == ("length", 6)


def test_an_api_key_is_asked_for() -> None:
    with MockProcess([*QUICK, "--api-key", "secret"]) as mock:
        assert post(mock)[0] == 401
        with connect(mock) as sock:
            sock.sendall(ask(headers="Authorization: Bearer secret\r\nConnection: close\r\n"))
            assert read_to_end(sock).startswith(b"HTTP/1.1 200")
        assert mock.truth(ended=1)["totals"]["refused"] == 1


def test_truth_is_written_as_lines(tmp_path: Path) -> None:
    file = tmp_path / "truth.jsonl"
    with MockProcess([*QUICK, "--truth", str(file), "--keep", "1"]) as mock:
        for _ in range(3):
            exchange(mock)
        kept = mock.truth(ended=3)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["id"] for line in lines] == [1, 2, 3]
    assert kept["requests"] == lines[2:]
    assert kept["totals"]["tokens"] == 18


def test_https(tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme")
    import ssl

    authority = trustme.CA()
    pem = tmp_path / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(pem)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with (
        MockProcess([*QUICK, "--tls-cert", str(pem)]) as mock,
        connect(mock) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as sock,
    ):
        assert mock.url.startswith("https://")
        sock.sendall(ask(headers="Connection: close\r\n"))
        assert read_to_end(sock).count(b'"text":" ') == 6


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--ttft", "20"], "--ttft: invalid duration '20': add a unit"),
        (["--itl", "normal:1ms"], "--itl: "),
        (["--fault", "explode:1"], "--fault: unknown fault"),
        (["--port", "70000"], "--port: 70000 is too large"),
        (["--eos-share", "2"], "--eos-share: invalid share '2'"),
        (["--tls-cert", "/nowhere.pem"], "can't load /nowhere.pem"),
        (["--tls-key", "key.pem"], "--tls-cert FILE too"),
        (["--truth", "/nowhere/truth"], "can't write /nowhere/truth"),
        (["--host", "192.0.2.1", "--port", "0"], "can't listen on 192.0.2.1:0"),
    ],
)
def test_bad_options_are_explained(args: list[str], words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "loadgen.mock", *args], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mock_that_can_not_start_says_so() -> None:
    with pytest.raises(RuntimeError, match="did not start"), MockProcess(["--slots", "-1"]):
        pass
