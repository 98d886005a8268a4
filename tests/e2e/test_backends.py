"""`loadgen backends`: the list is drawn from the classes, and a check finds what an author gets wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loadgen.backends import registry
from loadgen.cli import check, main
from loadgen.mock.process import MockProcess
from loadgen.types import UsageError
from support.replay import CAPTURES, stream
from support.runs import run

ECHO = """\
from loadgen import ServiceBackend

class Echo(ServiceBackend):
    '''Speaks in words. And in more.'''

    def __init__(self, flavour="plain", **more):
        super().__init__(**more)

    def _get_url(self):
        return self.base_url + "generate"

    def get_request_body(self, input, max_out_len, output, **args):
        return {"text": input, "limit": max_out_len}

    def parse_stream_response(self, data, output):
        output.content += data.get("word", "")
        output.finish_reason = data.get("why", "")

    def parse_text_response(self, data, output):
        output.content += data["text"]
"""
WORDS = stream({"word": "a"}, {"word": " b"}, {"why": "limit"}, done=False)
HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def tried(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main.main(["backends", *arguments])
    done = capsys.readouterr()
    return code, done.out + done.err


@pytest.fixture
def echo(tmp_path: Path) -> str:
    (tmp_path / "echo.py").write_text(ECHO)
    return f"{tmp_path}/echo.py:Echo"


def saved(tmp_path: Path, raw: bytes) -> str:
    (tmp_path / "bytes.raw").write_bytes(raw)
    return str(tmp_path / "bytes.raw")


# The list.


def test_every_backend_is_listed_with_its_endpoints(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = tried(capsys)
    assert code == 0
    for name in registry.names():
        made = registry.find(name)
        assert re.search(rf"^{name} +{', '.join(made.endpoints)} +(forced|asked for|differs)", said, re.MULTILINE)


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_one_backend_is_told_about_whole(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = tried(capsys, name)
    assert code == 0
    for endpoint in registry.find(name).endpoints:
        place = "in a process of its own" if registry.is_local(name) else r"/\S+"
        assert re.search(rf"^{endpoint} +{place} +(forced|asked for) +(text|messages|token ids)", said, re.MULTILINE)
    assert "loaded with --path" in said if registry.is_local(name) else "e2e" in said


def test_a_backend_of_the_users_own_is_told_about(echo: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = tried(capsys, echo)
    assert code == 0
    assert "Speaks in words. And in more." in said
    assert re.search(r"^chat +/generate +asked for", said, re.MULTILINE)
    assert "--option flavour=...   default 'plain'" in said


@pytest.mark.parametrize("arguments, words", [
    (["vlm"], "did you mean vllm"), (["check", "vllm"], "--capture"), (["check"], "no backend 'check'"),
    (["a", "b"], "loadgen backends check"), (["vllm", "--capture", "x"], "goes with check"),
    (["check", "vllm", "--capture", "nowhere.raw"], "nowhere.raw"),
    (["check", "vllm", "--capture", str(CAPTURES / "vllm_models.raw"), "--endpoint", "x"], "no endpoint 'x'"),
])
def test_what_can_not_be_done_is_said(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = tried(capsys, *arguments)
    assert code == 2 and words in said


# Captures.


@pytest.mark.parametrize("raw, payload, complete, status", [
    (WORDS, WORDS, True, 200),
    (HTTP + b"\r\n" + WORDS, WORDS, True, 200),
    (HTTP + b"Transfer-Encoding: chunked\r\n\r\n" + WORDS, WORDS, True, 200),  # as curl writes it
    (HTTP + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc", True, 200),
    (HTTP + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"abc", False, 200),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nno", b"no", False, 404),
    (b"HTTP/2 200\r\nContent-Length: 2\r\n\r\nno", b"no", True, 200),
])
def test_a_capture_may_have_many_forms(raw: bytes, payload: bytes, complete: bool, status: int) -> None:
    timeline = check.response_of(raw)
    assert (timeline.payload, timeline.complete, timeline.status) == (payload, complete, status)


@pytest.mark.parametrize("raw, words", [
    (b" \n", "empty"), (b"HTTP/1.1\r\n\r\n", "is not the head"),
    (HTTP + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n", "is not an HTTP answer"),
])
def test_what_is_no_answer_is_refused(raw: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check.response_of(raw)


# Checks.


def test_a_check_shows_the_token_events(echo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = tried(capsys, "check", echo, "--capture", saved(tmp_path, HTTP + b"\r\n" + WORDS))
    assert code == 0, said
    first = WORDS.index(b"\n\n") + 2
    assert 'POST /generate  {"text":"Hello from loadgen.","limit":16}' in said
    assert re.search(rf"^ +{first} +1  'a'$", said, re.MULTILINE)
    assert re.search(rf"^ +{2 * first + 1} +1  ' b'$", said, re.MULTILINE)
    assert "output tokens  2 (events)" in said and "input tokens   3 (approximate)" in said
    assert "finish reason  limit" in said and "a success" in said
    assert f"at {len(WORDS)} places: never a success" in said


def test_a_whole_answer_is_checked_without_stream(echo: str, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    code, said = tried(capsys, "check", echo, "--capture", saved(tmp_path, b'{"text": "a b"}'), "--no-stream")
    assert code == 0, said
    assert "token events   1" in said and "output tokens  unknown" in said


@pytest.mark.parametrize("name", [path.name for path in CAPTURES.glob("*_stream*.raw")])
def test_every_captured_stream_passes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    dialect = next((each for each in ("tgi", "mindie", "triton") if name.startswith(each)), "openai")
    endpoint = "completions" if "completions" in name else "generate" if dialect == "triton" else ""
    lines, sound = check.check(dialect, str(CAPTURES / name), endpoint=endpoint)
    failed = any(line.startswith("wrong          the answer is a failure") for line in lines)
    assert sound or failed, lines


def test_a_long_answer_is_shown_in_part_and_cut_at_so_many_places() -> None:
    payload = stream(*({"choices": [{"delta": {"content": f"{number} "}}]} for number in range(200)),
                     {"choices": [{"delta": {}, "finish_reason": "stop"}]})
    backend = registry.find("openai")(url="http://host")
    findings = check.replay(backend, check.response_of(payload))
    assert (findings.wrong, len(findings.texts), findings.cuts) == ([], 200, check.MOST_CUTS)
    shown = list(check._shown(findings.events, findings.texts))
    assert len(shown) == 1 + check.MOST_SHOWN + 1
    assert shown[-1].endswith("'199 '")


@pytest.mark.parametrize("method, body, words", [
    ("parse_stream_response", "output.content += data['no']", ["failure, backend", "echo.py:23: KeyError: 'no'"]),
    ("parse_stream_response", "output.content += data.get('word', '')", ["failure, truncated", "finish reason"]),
    ("parse_stream_response", "output.content += data.get('word', ''); output.done = True", ["ended in good order"]),
    ("parse_stream_response", "self.n = getattr(self, 'n', '') + data.get('word', ''); output.content = self.n; "
                              "output.finish_reason = data.get('why', '')", ["second answer", "remembers"]),
    ("get_request_body", "return {'text': input.nothing}", ["echo.py:23: AttributeError", "nothing"]),
    ("decode", "raise ValueError('mine')", ["echo.py:23: ValueError: mine"]),
    ("decode", "events = super().decode(*args); events.failure = None; return events", ["cut off after byte 0"]),
])
def test_a_check_finds_what_is_wrong(method: str, body: str, words: list[str], tmp_path: Path,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    parameters = {"get_request_body": "self, input, max_out_len, output, **args", "decode": "self, *args"}
    head = f"    def {method}({parameters.get(method, 'self, data, output')}):"
    (tmp_path / "echo.py").write_text(f"{ECHO}\n{head}\n        {body}\n")
    code, said = tried(capsys, "check", f"{tmp_path}/echo.py:Echo", "--capture", saved(tmp_path, WORDS))
    assert code == 1
    assert all(word in said for word in words), said


def test_an_error_answer_is_told_as_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = tried(capsys, "check", "vllm", "--capture", str(CAPTURES / "vllm_err_nomodel.raw"))
    assert code == 1
    assert "failure, http_4xx" in said


# A backend that raises, in a run.


@pytest.mark.parametrize("method, line", [
    ("get_request_body(self, input, max_out_len, output, **args)", "return super().get_request_body(input[0])"),
    ("parse_stream_response(self, data, output)", "output.content += data['nothing']"),
    ("parse_stream_response(self, data, output)", "output.contents = 1"),
])
@pytest.mark.parametrize("load", [["--rate", "50"], ["--concurrency", "4"]])
def test_a_backend_that_raises_fails_its_requests_and_not_the_run(method: str, line: str, load: list[str],
                                                                  tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from loadgen import ServiceBackend\n\n\nclass Mine(ServiceBackend):\n"
                                      f"    def {method}:\n        {line}\n")
    with MockProcess(["--ttft", "5ms", "--itl", "1ms"]) as mock:
        result = run(mock.url, tmp_path / "run", "--requests", "12", "--backend", f"{tmp_path}/mine.py:Mine", *load)
    assert result.code == 3, result.err
    measured = [row for row in result.rows if row["phase"] == 1]
    assert {row["failure"] for row in measured} == {"backend"}
    assert len(measured) == 12
    assert result.summary["requests"]["failures"] == {"backend": 12}
    assert all(row["detail"].startswith(f"{tmp_path}/mine.py:6: ") for row in measured)
    assert f"{tmp_path}/mine.py:6: " in result.summary["requests"]["examples"]["backend"]
    assert "Traceback" not in result.err


def test_a_closed_loop_without_end_says_that_no_request_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from loadgen import ServiceBackend\n\n\nclass Mine(ServiceBackend):\n"
                                      "    def get_request_body(self, *args, **more):\n        raise KeyError('x')\n")
    with MockProcess(["--ttft", "5ms"]) as mock:
        result = run(mock.url, tmp_path / "run", "--duration", "5s", "--concurrency", "2", "--backend",
                     f"{tmp_path}/mine.py:Mine")
    assert result.code == 2
    assert f"made none of 1000 requests: {tmp_path}/mine.py:6: KeyError: 'x'" in result.err
