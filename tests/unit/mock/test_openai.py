"""The frames of the OpenAI dialect."""

import json
from typing import Any

import pytest

from loadgen.mock.dialects.interface import RequestRefusedError
from loadgen.mock.dialects.openai import OpenAIDialect
from loadgen.mock.http import LAST_CHUNK

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
MESSAGES = [{"role": "user", "content": "one two three"}]


def body(path: str, **fields: Any) -> bytes:
    prompt = {"messages": MESSAGES} if path == CHAT else {"prompt": [1, 2, 3]}
    return json.dumps({"stream": True, **prompt, **fields}).encode()


def events(data: bytes) -> list[Any]:
    """Undo chunks and SSE, checking the chunk sizes."""
    payload = b""
    while data and data != LAST_CHUNK:
        size, _, data = data.partition(b"\r\n")
        payload += data[: int(size, 16)]
        assert data[int(size, 16) :][:2] == b"\r\n"
        data = data[int(size, 16) + 2 :]
    lines = [part.removeprefix(b"data: ") for part in payload.split(b"\n\n") if part]
    return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]


def stream(path: str, tokens: int, per_event: int = 1, **fields: Any) -> list[Any]:
    dialect = OpenAIDialect("m", 128, per_event)
    answer = dialect.answer(dialect.read(path, body(path, **fields)), 7, tokens)
    count = -(-tokens // per_event)
    parts = [answer.opening(), *map(answer.event, range(count - 1)), answer.ending(count - 1, "length")]
    return events(b"".join(parts))


def content(event: dict[str, Any]) -> str:
    choice = event["choices"][0]
    return str(choice["delta"]["content"] if "delta" in choice else choice["text"])


def test_a_chat_stream_is_role_tokens_and_done() -> None:
    role, *tokens, done = stream(CHAT, 70)
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert done == "[DONE]"
    assert len(tokens) == 70
    assert all(content(event).startswith(" ") for event in tokens)
    assert [event["choices"][0]["finish_reason"] for event in tokens] == [None] * 69 + ["length"]
    assert {event["id"] for event in (role, *tokens)} == {"chatcmpl-0000000000000007"}


def test_prebuilt_events_are_those_built_one_by_one() -> None:
    plain = stream(TEXT, 90)[:-1]
    with_ids = stream(TEXT, 90, return_token_ids=True)[:-1]
    assert [content(event) for event in plain] == [content(event) for event in with_ids]
    for event in with_ids:
        for key in ("token_ids", "prompt_token_ids"):
            event["choices"][0].pop(key, None)
    assert plain == with_ids


def test_token_ids_and_the_prompts() -> None:
    first, *rest, _ = stream(TEXT, 3, return_token_ids=True)
    assert first["choices"][0]["prompt_token_ids"] == [1, 2, 3]
    assert [len(event["choices"][0]["token_ids"]) for event in (first, *rest)] == [1, 1, 1]


def test_usage_at_the_end_and_in_every_event() -> None:
    usage = {"prompt_tokens": 3, "total_tokens": 8, "completion_tokens": 5}
    assert stream(CHAT, 5, stream_options={"include_usage": True})[-2] == {
        **{key: stream(CHAT, 5)[1][key] for key in ("id", "object", "model")},
        "created": stream(CHAT, 5)[1]["created"],
        "choices": [],
        "usage": usage,
    }
    counted = stream(CHAT, 5, stream_options={"continuous_usage_stats": True})[:-1]
    assert [event["usage"]["completion_tokens"] for event in counted] == [0, 1, 2, 3, 4, 5]


def test_several_tokens_an_event() -> None:
    *tokens, _ = stream(TEXT, 8, per_event=3)
    assert [content(event).count(" ") for event in tokens] == [3, 3, 2]
    counted = stream(TEXT, 8, per_event=3, stream_options={"continuous_usage_stats": True})[:-1]
    assert [event["usage"]["completion_tokens"] for event in counted] == [3, 6, 8]


@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_an_answer_in_one_piece(path: str) -> None:
    dialect = OpenAIDialect("m", 128)
    whole = json.loads(dialect.answer(dialect.read(path, body(path, return_token_ids=True)), 1, 6).whole("stop", 6))
    choice = whole["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert (choice["message"]["content"] if path == CHAT else choice["text"]).count(" ") == 6
    assert whole["usage"] == {"prompt_tokens": 3, "total_tokens": 9, "completion_tokens": 6}
    assert len(choice["token_ids"]) == 6


def test_ends_that_are_none() -> None:
    dialect = OpenAIDialect("m", 128)
    answer = dialect.answer(dialect.read(TEXT, body(TEXT, stream_options={"include_usage": True})), 1, 2)
    assert events(answer.trailing_off(1))[-1]["choices"][0]["finish_reason"] is None
    empty = events(answer.ending(-1, "stop"))
    assert content(empty[0]) == ""
    assert empty[1]["usage"]["completion_tokens"] == 0
    assert events(answer.failure())[0]["error"]["code"] == 500
    with pytest.raises(json.JSONDecodeError):
        events(answer.garbage())


@pytest.mark.parametrize(
    ("prompt", "count"),
    [("a b c", 3), ([5, 6], 2), ([[5, 6, 7]], 3), (["a b"], 2)],
)
def test_prompts_of_completions_are_counted(prompt: object, count: int) -> None:
    assert OpenAIDialect("m", 1).read(TEXT, json.dumps({"prompt": prompt}).encode()).prompt_tokens == count


def test_parts_of_chat_messages_are_counted() -> None:
    parts = [{"type": "text", "text": "a b"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    asked = {"messages": [{"role": "user", "content": parts}, {"role": "user", "content": "c"}]}
    assert OpenAIDialect("m", 1).read(CHAT, json.dumps(asked).encode()).prompt_tokens == 3


def test_what_is_asked_is_understood() -> None:
    ask = OpenAIDialect("m", 9).read(TEXT, body(TEXT, max_tokens=4, min_tokens=2, ignore_eos=True, user="me",
                                                model="m"))
    assert (ask.output_tokens, ask.least_tokens, ask.ignore_eos, ask.tag, ask.stream) == (4, 2, True, "me", True)
    assert OpenAIDialect("m", 9).read(TEXT, body(TEXT)).output_tokens == 9
    assert OpenAIDialect("m", 9).read(CHAT, body(CHAT, max_completion_tokens=5)).output_tokens == 5


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        (CHAT, b"{", 400),
        (CHAT, b"\xff", 400),
        (CHAT, b"[]", 400),
        (CHAT, b"{}", 400),
        (TEXT, b"{}", 400),
        (TEXT, b'{"prompt": []}', 400),
        (TEXT, b'{"prompt": ["a", "b"]}', 400),
        (TEXT, b'{"prompt": "a", "max_tokens": 0}', 400),
        (TEXT, b'{"prompt": "a", "max_tokens": true}', 400),
        (TEXT, b'{"prompt": "a", "max_tokens": 999}', 400),
        (TEXT, b'{"prompt": "a", "model": "other"}', 404),
        (TEXT, b'{"prompt": "a", "top_k": 1}', 400),
    ],
)
def test_bad_requests_are_refused(path: str, sent: bytes, status: int) -> None:
    with pytest.raises(RequestRefusedError) as caught:
        OpenAIDialect("m", 8, max_model_len=100, reject=["top_k"]).read(path, sent)
    assert caught.value.status == status
    assert json.loads(caught.value.body)["error"]["code"] == status


def test_the_model_list() -> None:
    listed = OpenAIDialect("m", 8, max_model_len=100).look_up("/v1/models")
    assert listed is not None
    assert json.loads(listed)["data"][0] | {"id": "m", "max_model_len": 100} == json.loads(listed)["data"][0]
    assert OpenAIDialect("m", 8).look_up("/elsewhere") is None
