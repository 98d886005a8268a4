"""The worked example of docs/backends.md does what the page says."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from loadgen.backends import aisbench, registry
from loadgen.cli import main
from loadgen.config import models_file, models_local
from loadgen.mock.process import MockProcess
from loadgen.plan import Plan, Target
from loadgen.types import Request
from support.replay import answer, stream
from support.runs import run

PAGE = (Path(__file__).parents[2] / "docs" / "backends.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
MODELS = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
MODELS_CODE = re.findall(r"```python\n(.*?)```", MODELS, re.DOTALL)
"""The backend of the page, and its test."""


def test_the_example_is_a_backend(tmp_path: Path) -> None:
    code = CODE[0]
    (tmp_path / "echo.py").write_text(code)
    target = Target(backend=f"{tmp_path}/echo.py:Echo", url=("http://host:9000",), body={"seed": 1})
    backend = registry.make(target)
    request = Request(index=0, prompt="hi", max_output_tokens=2)
    call = backend.encode(request)
    assert call.path == "/generate"
    assert json.loads(call.body) == {"text": "hi", "limit": 2, "stream": True, "seed": 1}
    payload = stream({"word": "a"}, {"word": " b"}, {"why": "limit"}, done=False)
    events = backend.decode(answer(payload), request)
    assert (events.text, events.counts, events.finish_reason, events.failure) == ("a b", [1, 1], "limit", None)
    assert backend.decode(answer(b'{"text": "a b", "words": 2}'), request).failure is not None  # asked for a stream
    backend.stream = False
    events = backend.decode(answer(b'{"text": "a b", "words": 2}'), request)
    assert (events.output_tokens, events.counts, events.failure) == (2, [2], None)


def test_every_built_in_backend_is_on_the_page() -> None:
    for name in registry.BUILT_IN:
        assert re.search(rf"^\| .*`{name}`.* \|", PAGE, re.MULTILINE)


def test_the_steps_of_the_page_lead_to_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    (capture,) = re.findall(r"```http\n(.*?)```", PAGE, re.DOTALL)
    head, _, body = capture.partition("\n\n")
    (tmp_path / "echo.raw").write_bytes(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body.encode())
    (tmp_path / "echo.py").write_text(CODE[0])
    monkeypatch.chdir(tmp_path)
    (shown,) = re.findall(r"^    \$ loadgen (backends check .*?)\n\n", PAGE, re.DOTALL | re.MULTILINE)
    command, *lines = [line.removeprefix("    ") for line in shown.splitlines()]
    assert main.main(shlex.split(command)) == 0
    assert capsys.readouterr().out.splitlines() == lines


class Server(BaseHTTPRequestHandler):
    """The server of the page."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_error(404)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        events = [{"word": f" {number}"} for number in range(asked["limit"])]
        body = stream(*events, {"why": "limit"}, done=False)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        return None


def test_the_backend_of_the_page_runs_against_its_server(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(CODE[0])
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            result = run(url, tmp_path / "run", "--backend", f"{tmp_path}/echo.py:Echo", "--requests", "10")
        finally:
            server.shutdown()
            thread.join()
    assert result.summary["requests"]["succeeded"] == 10, result.err
    assert {row["output_tokens"] for row in result.rows} == {8}


def test_the_hooks_of_the_page_take_part_in_a_run(tmp_path: Path) -> None:
    file = tmp_path / "squares.py"
    file.write_text(CODE[2])
    with MockProcess(["--ttft", "1ms", "--itl", "1ms"]) as mock:
        result = run(mock.url, tmp_path / "run", "--backend", f"{file}:Squares", "--requests", "10")
        prompts = tmp_path / "prompts.jsonl"
        prompts.write_text('{"prompt": "hi"}\n')
        planned = run(mock.url, tmp_path / "planned", "--backend", f"{file}:Squares", "--requests", "5", "--prompts",
                      str(prompts))
    assert result.summary["requests"]["succeeded"] == 10, result.err
    assert {row["output_tokens"] for row in result.rows} == {4}
    assert result.summary["server"] == {"models": 1}
    provenance = result.plan["resolved"]["provenance"]
    assert provenance["server"]["owner"] and provenance["workload"] == {"kind": "questions", "about": "squares"}
    assert planned.summary["requests"]["succeeded"] == 5, planned.err
    assert planned.plan["resolved"]["provenance"]["workload"] != provenance["workload"]


def test_what_a_hook_raises_ends_the_run_before_it_starts(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("from loadgen import Connected, ServiceBackend, UsageError\n\n\nclass Broken(ServiceBackend):\n"
                    "    def connect(self, plan, server):\n        return {}[plan.target.model]\n\n\n"
                    "class Refuses(ServiceBackend):\n"
                    "    def connect(self, plan, server):\n        raise UsageError('the server is asleep')\n\n\n"
                    "class Forgets(ServiceBackend):\n"
                    "    def connect(self, plan, server):\n        server.warn('odd')\n\n\n"
                    "class Told(ServiceBackend):\n"
                    "    def connect(self, plan, server):\n        return Connected(self, (), plan, told={1j: 2})\n\n\n"
                    "class Sources(ServiceBackend):\n"
                    "    def connect(self, plan, server):\n        return Connected(self, (), plan)\n\n"
                    "    def source(self, plan):\n        return plan.nothing\n")
    for name, words in (("Broken", f"{file}:6: KeyError: ''"), ("Refuses", "the server is asleep"),
                        ("Forgets", "returns NoneType: return server.connect(self)"),
                        ("Told", "Told failed"), ("Sources", "Sources failed")):
        result = run("http://127.0.0.1:9", tmp_path / name, "--backend", f"{file}:{name}", "--requests", "5")
        assert (result.code, result.out) == (2, "")
        assert words in result.err
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize(("returns", "kept"), [
    ("{'models': {'a': 5, 'b': {'success': 1}}}", {"models": {"a": 5, "b": {"success": 1}}}),
    ("{}['gone']", "KeyError: 'gone'"), ("{'at': object()}", "TypeError"), ("7", "ValidationError"),
])
def test_facts_of_any_form_spoil_no_run(tmp_path: Path, returns: str, kept: Any) -> None:
    file = tmp_path / "facts.py"
    file.write_text("import dataclasses\n\nfrom loadgen import ServiceBackend\n\n\nclass Facts(ServiceBackend):\n"
                    "    def connect(self, plan, server):\n"
                    "        return dataclasses.replace(server.connect(self), watch=self)\n\n"
                    f"    def facts(self):\n        return {returns}\n")
    with MockProcess(["--ttft", "1ms", "--itl", "1ms"]) as mock:
        result = run(mock.url, tmp_path / "run", "--backend", f"{file}:Facts", "--requests", "5")
    assert result.summary["requests"]["succeeded"] == 5, result.err
    if isinstance(kept, str):
        assert kept in result.summary["server"]["error"] and "no facts after the run" in result.out
    else:
        assert result.summary["server"] == kept


def test_the_test_of_the_page_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (capture,) = re.findall(r"```http\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "echo.raw").write_text(capture.partition("\n\n")[2])
    (tmp_path / "echo.py").write_text(CODE[0])
    tool = tmp_path / "loadgen"
    tool.write_text(f"#!/bin/sh\nexec {sys.executable} -m loadgen \"$@\"\n")
    tool.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    names: dict[str, Any] = {}
    exec(CODE[1], names)
    names["test_echo_reads_what_its_server_says"]()


def test_a_backend_takes_under_40_lines_and_a_config_file_under_20() -> None:
    assert len(CODE[0].splitlines()) < 40
    assert all(len(config.splitlines()) < 20 for config in MODELS_CODE)


def test_the_config_file_of_the_page_loads(tmp_path: Path) -> None:
    (tmp_path / "my_models.py").write_text(MODELS_CODE[0])
    (model,) = models_file.load(tmp_path / "my_models.py")
    plan = model.plan(Plan(), {})
    assert (plan.load.rate, plan.load.max_in_flight, plan.load.retry) == (10.0, 64, 2)
    assert registry.make(plan.target).generation_kwargs == {"temperature": 0.5}


def test_the_local_model_of_the_page_loads(tmp_path: Path) -> None:
    (tmp_path / "my_models.py").write_text(MODELS_CODE[1])
    (model,) = models_file.load(tmp_path / "my_models.py")
    plan = model.plan(Plan(), {})
    assert (plan.model.path, plan.model.batch_size, plan.model.max_seq_len) == ("./model", 1, 2048)
    assert (plan.workload.output_tokens, plan.load.concurrency) == ("100", 1)
    loaded = registry.load_local(plan.target, plan.model)
    assert loaded.generation_kwargs == {"temperature": 0.0}


def test_every_field_of_a_config_file_is_on_its_page() -> None:
    fields = {*models_file.OPTIONS, *models_file.SCORING, *models_file.REFUSED, *models_file.REFUSED_KWARGS,
              *models_file.UNREAD, *aisbench.SERVICE, *aisbench.LOCAL, *models_local.KNOWN, *models_local.LAUNCHING,
              *models_local.REFUSED} - {"custom_client"}
    assert [name for name in fields if f"`{name}`" not in MODELS] == []
