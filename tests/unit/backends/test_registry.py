"""Classes of one's own: how they are driven, found and made."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from loadgen.backends import registry
from loadgen.backends.interface import ServiceBackend
from loadgen.backends.local.interface import LocalBackend
from loadgen.backends.openai import OpenAI
from loadgen.backends.vllm import VLLM
from loadgen.plan import Target
from loadgen.types import ABSENT, Failure, Output, Request, UsageError
from support.replay import ASKED, URL, decode, failed, stream


class Waiting(ServiceBackend):
    """Written with coroutines, one of which really waits."""

    async def _get_url(self) -> str:  # type: ignore[override]
        return "http://server/x?y=1"

    async def get_request_body(self, input: Any, max_out_len: Any, output: Output, **args: Any) -> dict[str, Any]:  # type: ignore[override]
        await asyncio.sleep(0)
        return {"q": input, "n": max_out_len}

    async def parse_stream_response(self, data: dict[str, Any], output: Output) -> None:  # type: ignore[override]
        output.content += data["t"]
        output.output_tokens = data.get("n", ABSENT)


def test_coroutines_are_driven_to_their_end() -> None:
    backend = Waiting()
    call = backend.encode(Request(index=0, prompt="p", max_output_tokens=3))
    assert (call.path, json.loads(call.body)) == ("/x?y=1", {"q": "p", "n": 3})
    events = decode(stream({"t": "a"}, {"t": "b", "n": 2}), backend)
    assert (events.text, events.output_tokens, events.failure) == ("ab", 2, None)

    async def inside_a_loop() -> None:
        assert json.loads(backend.encode(ASKED).body)["q"] == "a b c"

    asyncio.run(inside_a_loop())


def test_an_exception_after_waiting_comes_out_as_it_is() -> None:
    class Raising(Waiting):
        async def get_request_body(self, input: Any, max_out_len: Any, output: Output, **args: Any) -> dict[str, Any]:  # type: ignore[override]
            try:
                await asyncio.wait_for(asyncio.sleep(60), 0)
            except TimeoutError:
                await asyncio.sleep(0)
                raise KeyError("late") from None
            return {}

    with pytest.raises(KeyError, match="late"):
        Raising().encode(ASKED)


def test_an_exception_of_a_parse_method_names_file_and_line() -> None:
    failure = failed(stream({"x": "a"}), backend=Waiting())
    assert failure.kind == "backend"
    assert f"{Path(__file__).name}:" in failure.detail
    assert "KeyError: 't'" in failure.detail


def test_cumulative_text_grows_once() -> None:
    class Cumulative(ServiceBackend):
        def parse_stream_response(self, data: dict[str, Any], output: Output) -> None:
            output.content = data["text"]

    events = decode(
        stream({"text": "a"}, {"text": "ab"}, {"text": "ab"}, {"text": None}, {"text": "abc"}), Cumulative()
    )
    assert (len(events.ends), events.text) == (3, "abc")


def test_a_backend_can_report_failure_and_server_times() -> None:
    class Own(ServiceBackend):
        def parse_stream_response(self, data: dict[str, Any], output: Output) -> None:
            output.tokens += data["n"]
            output.server["server_queue"] = 5
            if data["n"] > 2:
                output.failure = Failure("in_band", "busy")

    events = decode(stream({"n": 1}, {"n": 2}), Own())
    assert (events.counts, events.output_source, events.server) == ([1, 2], "server details", {"server_queue": 5})
    assert failed(stream({"n": 1}, {"n": 3}), backend=Own()) == Failure("in_band", "busy")


def test_backends_are_found_by_name_and_file(tmp_path: Path) -> None:
    assert registry.find("openai") is OpenAI
    assert registry.find("vllm") is VLLM
    assert {"openai", "vllm"} <= set(registry.names())
    file = tmp_path / "mine.py"
    file.write_text(
        "from loadgen import LocalBackend, ServiceBackend\nclass Mine(ServiceBackend): pass\nclass Other: pass\n"
        "class Here(LocalBackend): pass\n"
    )
    assert registry.find(f"{file}:Mine").__name__ == "Mine"
    assert registry.is_local(f"{file}:Here") and not registry.is_local(f"{file}:Mine")
    with pytest.raises(UsageError, match="not a server"):
        registry.find_service(f"{file}:Here")
    for name, words in (
        (f"{file}:Min", "backends there: Mine"),
        (f"{file}:Other", "derive it"),
        (f"{tmp_path}/none.py:X", "no backend file"),
        (str(file), "name the class"),
        ("vlm", "did you mean vllm"),
        ("sglang-x", "there are hf, "),
    ):
        with pytest.raises(UsageError, match=words):
            registry.find(name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nothing_of_that_name", "mine.py:1: ModuleNotFoundError"),
        ("x = (", "mine.py:1: SyntaxError"),
        ("\n1 / 0", "mine.py:2: ZeroDivision"),
    ],
)
def test_a_file_that_does_not_run_says_where(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(UsageError, match=words):
        registry.find(f"{file}:X")


def test_a_file_is_run_once_for_as_long_as_it_is_the_same(tmp_path: Path) -> None:
    file, log = tmp_path / "mine.py", tmp_path / "log"
    text = (f"from loadgen import ServiceBackend\nwith open({str(log)!r}, 'a') as log: log.write('x')\n"
            "class A(ServiceBackend): ...\n")
    file.write_text(text)
    assert registry.find(f"{file}:A") is registry.find(f"{file}:A")
    assert log.read_text() == "x"
    file.write_text(text + "class B(ServiceBackend): ...\n")
    assert registry.find(f"{file}:B").__name__ == "B"
    assert log.read_text() == "xx"
    other = tmp_path / "other" / "mine.py"
    other.parent.mkdir()
    other.write_text(text)
    with pytest.raises(UsageError, match="no class 'B'"):
        registry.find(f"{other}:B")



def test_a_target_is_made_with_what_the_class_accepts(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from loadgen import ServiceBackend\nclass Mine(ServiceBackend):\n"
        "    def __init__(self, path='', stream=False, url='', model=''):\n"
        "        super().__init__(path=path, stream=stream, url=url, model=model)\n"
        "class Bad(ServiceBackend):\n    def __init__(self): raise ValueError('no')\n"
    )
    target = Target(
        backend=f"{file}:Mine", url=("http://a/", "http://b"), model="m", headers={"X": "1"}, body={"stream": None}
    )
    backend = registry.make(target)
    assert "stream" not in json.loads(backend.encode(ASKED).body)
    assert backend.stream is True
    assert backend.headers["X"] == "1"
    with pytest.raises(UsageError, match="leave --endpoint out"):
        registry.make(Target(backend=f"{file}:Mine", endpoint="chat"))
    with pytest.raises(UsageError, match=r"mine.py:6: ValueError: no"):
        registry.make(Target(backend=f"{file}:Bad"))
    with pytest.raises(UsageError, match="same path"):
        registry.make(Target(url=("http://a/x", "http://b/y")))
    with pytest.raises(UsageError, match="chat or completions"):
        registry.make(Target(endpoint="generate"))


def test_a_given_header_replaces_the_one_of_the_key() -> None:
    backend = registry.make(Target(url=(URL,), api_key="k", headers={"authorization": "Basic x"}))
    assert backend.headers == {"Content-Type": "application/json", "authorization": "Basic x"}


def test_what_would_have_no_effect_is_refused() -> None:
    with pytest.raises(UsageError, match="meta_template"):
        OpenAI(meta_template={"round": []})


def test_a_local_backend_needs_generate() -> None:
    class Echo(LocalBackend):
        def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
            return input

    assert Echo(path="p").generate("x", 1) == "x"
    with pytest.raises(TypeError, match="has no generate"):
        LocalBackend()


def test_a_path_beside_that_of_the_address_is_refused() -> None:
    class Elsewhere(ServiceBackend):
        def _get_url(self) -> str:
            return "http://server/generate"

    assert Elsewhere(url="http://server").request_path() == "/generate"
    with pytest.raises(UsageError, match="without a path"):
        Elsewhere(url="http://server/x").request_path()
