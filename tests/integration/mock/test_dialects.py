"""What the mock sends in the dialects of TGI and MindIE, frame by frame."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from loadgen.mock.dialects.interface import AnswerBytes, Dialect, RequestRefusedError
from loadgen.mock.dialects.mindie import MindIEDialect
from loadgen.mock.dialects.tgi import TGIDialect
from loadgen.mock.http import LAST_CHUNK
from loadgen.mock.process import MockProcess

MS = 1_000_000
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
TRITON = "/v2/models/m/generate_stream"


class Planned:
    """Times as if planned."""

    def queue(self) -> int:
        return 3 * MS

    def prefill(self) -> int:
        return 20 * MS

    def decode(self, position: int) -> int:
        return 2 * MS


def answer(dialect: Dialect, path: str, tokens: int, **body: Any) -> AnswerBytes:
    return dialect.answer(dialect.read(path, json.dumps(body).encode()), 7, tokens, Planned())


def payload(parts: Sequence[bytes]) -> bytes:
    """Undo the chunks of a whole stream."""
    data, found = b"".join(parts), b""
    while data != LAST_CHUNK:
        size, _, data = data.partition(b"\r\n")
        found += data[: int(size, 16)]
        assert data[int(size, 16) :][:2] == b"\r\n"
        data = data[int(size, 16) + 2 :]
    return found


def streamed(made: AnswerBytes, events: int, finish: str = "length") -> bytes:
    return payload([made.opening(), *map(made.event, range(events - 1)), made.ending(events - 1, finish)])


def objects(data: bytes) -> list[Any]:
    lines = [line.removeprefix(b"data:").strip() for line in data.split(b"\n\n") if line]
    return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]


PROMPT = {"inputs": "one two", "parameters": {"details": True, "max_new_tokens": 3}}


def test_a_tgi_stream_has_its_details_with_the_last_token() -> None:
    first, _, last = objects(streamed(answer(TGIDialect("m", 9, 99), "/generate_stream", 3, **PROMPT), 3))
    assert (first["index"], first["token"]["special"]) == (1, False)
    assert (first["generated_text"], first["details"]) == (None, None)
    assert last["details"] == {"finish_reason": "length", "generated_tokens": 3, "seed": None, "input_length": 2}
    assert last["generated_text"].count(" ") == 3


def test_a_tgi_answer_that_stops_ends_with_a_special_token() -> None:
    last = objects(streamed(answer(TGIDialect("m", 9, 99), "/generate_stream", 2, **PROMPT), 2, "stop"))[-1]
    assert (last["token"]["special"], last["details"]["finish_reason"]) == (True, "eos_token")
    assert last["generated_text"] == " the"


def test_tgi_gives_details_only_if_asked() -> None:
    last = objects(streamed(answer(TGIDialect("m", 9, 99), "/generate_stream", 2, inputs="one"), 2))[-1]
    assert last["details"] is None
    whole = json.loads(answer(TGIDialect("m", 9, 99), "/generate", 2, inputs="one").whole("length", 2))
    assert whole == {"generated_text": " the of"}


def test_a_tgi_answer_in_one_piece_tells_its_times() -> None:
    made = answer(TGIDialect("m", 9, 99), "/generate", 3, **PROMPT)
    assert len(json.loads(made.whole("length", 3))["details"]["tokens"]) == 3
    headers = made.headers(3)
    assert (headers["x-queue-time"], headers["x-inference-time"], headers["x-total-time"]) == ("3", "24", "27")
    assert (headers["x-time-per-token"], headers["x-prompt-tokens"], headers["x-generated-tokens"]) == ("8", "2", "3")


def test_tgi_chat_has_no_role_chunk_and_completions_always_a_usage() -> None:
    messages = [{"role": "user", "content": "one two"}]
    asked = {"messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    *events, usage, done = objects(streamed(answer(TGIDialect("m", 9, 99), CHAT, 2, **asked), 2))
    assert [event["choices"][0]["delta"]["role"] for event in events] == ["assistant"] * 2
    assert (usage["usage"]["completion_tokens"], done) == (2, "[DONE]")
    first, last, _ = objects(streamed(answer(TGIDialect("m", 9, 99), COMPLETIONS, 2, prompt="one", stream=True), 2))
    assert (first["choices"][0]["finish_reason"], last["choices"][0]["finish_reason"]) == ("", "length")
    assert last["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize("body", [
    {"inputs": ""}, {"inputs": "a", "parameters": {"max_new_tokens": 0}}, {"inputs": "a " * 90},
    {"inputs": "a", "parameters": {"temperature": 0}}, {"inputs": "a", "parameters": {"stop": list("abcde")}},
])
def test_tgi_refuses_a_stream_inside_a_200(body: dict[str, Any]) -> None:
    dialect = TGIDialect("m", 20, 99)
    for path, status in (("/generate_stream", 200), ("/generate", 422)):
        with pytest.raises(RequestRefusedError) as caught:
            dialect.read(path, json.dumps(body).encode())
        assert caught.value.status == status
        (error,) = objects(caught.value.body)
        assert error["error_type"] == "validation"


def test_tgi_overload_hides_in_a_stream() -> None:
    dialect = TGIDialect("m", 20, 99)
    for path, status in (("/generate_stream", 200), ("/generate", 429)):
        refused = dialect.overloaded(dialect.read(path, b'{"inputs": "a"}'))
        assert (refused.status, objects(refused.body)[0]["error_type"]) == (status, "overloaded")


@pytest.mark.parametrize("dialect", [TGIDialect("m", 9, 99), MindIEDialect("m", 9, 1, 99)])
@pytest.mark.parametrize("body", [b"{", b"\xff", b"[]", b"{}"])
def test_what_is_no_request_is_refused(dialect: Dialect, body: bytes) -> None:
    with pytest.raises(RequestRefusedError) as caught:
        dialect.read("/generate", body)
    assert caught.value.status == 422
    assert "error" in json.loads(caught.value.body)


def test_mindies_native_stream_has_several_ids_and_its_times() -> None:
    made = answer(MindIEDialect("m", 9, 2, 99), "/infer", 3, **PROMPT, stream=True)
    first, last = objects(streamed(made, 2))
    assert (first["prefill_time"], first["decode_time"], len(first["token"]["id"])) == (20, None, 2)
    assert (last["prefill_time"], last["decode_time"], last["token"]["text"]) == (None, 2, None)
    assert last["details"] == {"finish_reason": "length", "generated_tokens": 3, "seed": None}
    assert made.opening() == b""
    assert not made.headers(3)


def test_mindies_triton_stream_has_no_space_and_counts_up() -> None:
    asked = {"text_input": "one", "parameters": {"details": True}}
    data = streamed(answer(MindIEDialect("m", 9, 2, 99), TRITON, 3, **asked), 2)
    assert data.startswith(b'data:{"id"')
    assert [event["details"]["generated_tokens"] for event in objects(data)] == [2, 3]
    assert objects(data)[0]["details"]["queue_wait_time"] == 3000
    full = objects(streamed(answer(MindIEDialect("m", 9, 2, 99, full_text=True), TRITON, 3, **asked), 2))
    assert full[1]["text_output"].startswith(full[0]["text_output"])
    bare = objects(streamed(answer(MindIEDialect("m", 9, 2, 99), TRITON, 3, text_input="one"), 2))
    assert "details" not in bare[0]


def test_mindies_legacy_stream_ends_its_objects_with_nul() -> None:
    made = answer(MindIEDialect("m", 9, 1, 99), "/generate", 2, prompt="one two", stream=True)
    data = streamed(made, 2)
    assert (data.count(b"\0"), data.endswith(b"\0"), made.comment()) == (2, True, b"")
    assert not payload([made.trailing_off(1)]).endswith(b"\0")
    assert json.loads(made.whole("length", 2)) == {"text": ["one two  the of"]}


def test_mindies_usage_has_an_element_a_step() -> None:
    asked = {"messages": [{"role": "user", "content": "one"}], "stream": True, "ignore_eos": True}
    made = answer(MindIEDialect("m", 9, 2, 99), CHAT, 3, **asked)
    role, first, last, done = objects(streamed(made, 2))
    assert (role["choices"][0]["delta"]["content"], "usage" in first, done) == ("", False, "[DONE]")
    assert (last["usage"]["batch_size"], last["usage"]["queue_wait_time"]) == ([1, 1], [3000, 0])
    whole = json.loads(made.whole("length", 3))
    assert (whole["prefill_time"], whole["decode_time_arr"]) == (20, [2])


def test_mindie_ignores_the_end_only_where_it_can() -> None:
    dialect = MindIEDialect("m", 9, 1, 99)
    assert dialect.read("/generate", b'{"prompt": "a", "ignore_eos": true}').ignore_eos
    assert not dialect.read("/generate", b'{"inputs": "a", "ignore_eos": true}').ignore_eos
    assert dialect.read("/infer_token", b'{"input_id": [1, 2, 3]}').prompt_tokens == 3
    assert all(path in dialect.paths for path in dialect.paths)
    assert len(dialect.paths) == 8


@pytest.mark.parametrize(("dialect", "path", "field"), [
    (TGIDialect("m", 9, 99), "/generate_stream", "inputs"), (MindIEDialect("m", 9, 1, 99), TRITON, "text_input"),
    (MindIEDialect("m", 9, 1, 99), "/generate", "prompt"),
])
def test_errors_and_ends_that_are_none(dialect: Dialect, path: str, field: str) -> None:
    made = answer(dialect, path, 2, **{field: "one", "stream": True})
    assert b'"error"' in payload([made.failure()])
    assert b"error" in made.error()
    assert payload([made.bare()]) == b"Engine callback timeout."
    assert b"{{{" in made.garbage()
    assert made.torn() == b""
    assert json.loads(made.whole("", 2)) == {}
    assert payload([made.ending(-1, "stop")])
    assert json.loads(dialect.error(500, "no"))["error"] == "no"


def test_what_is_looked_up() -> None:
    info = json.loads(TGIDialect("m", 9, 99).look_up("/info") or b"")
    assert (info["model_id"], info["max_total_tokens"], info["max_input_tokens"]) == ("m", 99, 98)
    for dialect in (TGIDialect("m", 9, 99), MindIEDialect("m", 9, 1, 99)):
        assert json.loads(dialect.look_up("/v1/models") or b"")["data"][0]["id"] == "m"
        assert dialect.look_up("/elsewhere") is None
    assert json.loads(MindIEDialect("m", 9, 1, 99).look_up("/v2") or b"")["name"] == "MindIE Server"
    assert MindIEDialect("m", 9, 1, 99).look_up("/v2/health/ready") == b""


def test_the_mock_serves_the_dialect_it_is_told_to() -> None:
    for name, path in (("tgi", "/info"), ("mindie", "/v2")):
        with MockProcess(["--dialect", name]) as mock:
            assert json.loads(mock.get(path))
