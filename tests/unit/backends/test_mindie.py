"""MindIE's seven dialects: what is sent, and what is made of their answers. Formats are those of its own source."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loadgen.backends.cumulative_text import add_text
from loadgen.backends.mindie import MindIE, parse_times
from loadgen.types import Output, Request, UsageError
from support.golden import check_stream, check_whole
from support.replay import ASKED, decode, failed, stream

URL = "http://server:1025"
MS = 1_000_000
TIMEOUT = b"Engine callback timeout."


def tokens(ids: list[int], text: str | None, **more: Any) -> dict[str, Any]:
    return {**more, "token": {"id": ids, "text": text}}


def triton(text: str, count: int, **more: Any) -> dict[str, Any]:
    reason = {"finish_reason": more.pop("reason")} if "reason" in more else {}
    details = {**reason, "generated_tokens": count, "first_token_cost": None, "decode_cost": None, "batch_size": 3,
               "queue_wait_time": 250}
    return {"id": "a-1", "model_name": "m", "model_version": None, "text_output": text, "details": details, **more}


def chunk(finish: str | None, **more: Any) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "finish_reason": finish, **more.pop("said")}],
            **more}


USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10,
         "batch_size": [2, 4], "queue_wait_time": [90, 10]}
PREFILL = {"prefill_time": 45, "decode_time": None}
DECODE = {"prefill_time": None, "decode_time": 16}
DETAILS = {"finish_reason": "length", "generated_tokens": 4, "seed": None}

INFER = stream(tokens([5], "am", **PREFILL), tokens([6, 7], " a Fr", **DECODE),
               tokens([8], None, **DECODE, generated_text="am a Fr!", details=DETAILS), done=False)
TGI = stream({**tokens([5], "am"), "generated_text": None, "details": None},
             {**tokens([6, 7, 8], " a Fr!"), "generated_text": "am a Fr!", "details": {"prompt_tokens": 7, **DETAILS}},
             done=False)
TRITON = stream(triton("am", 1, **PREFILL), triton(" a Fr", 3, **DECODE), triton("!", 4, reason="length", **DECODE),
                done=False).replace(b"data: ", b"data:")
FULL = stream(triton("am", 1, **PREFILL), triton("am a Fr", 3, **DECODE),
              triton("am a Fr!", 4, reason="length", **DECODE), done=False)
LEGACY = b'{"text":["am"]}\0{"text":[" a"]}\0{"text":[" Fr"]}\0{"text":["!"]}\0'
CHAT = stream(chunk(None, said={"delta": {"role": "assistant", "content": ""}}),
              chunk(None, said={"delta": {"role": "assistant", "content": "am"}}),
              chunk("length", said={"delta": {"role": "assistant", "content": " a Fr"}}, usage=USAGE))
COMPLETION = stream(chunk(None, said={"text": "am"}), chunk("length", said={"text": " a Fr"}, usage=USAGE))


def mindie(endpoint: str, **options: Any) -> MindIE:
    return MindIE(model="m", url=URL, endpoint=endpoint, **options)


def sent(backend: MindIE, request: Request = ASKED) -> Any:
    asked = Request(0, prompt=request.prompt, prompt_ids=request.prompt_ids, messages=request.messages,
                    max_output_tokens=5)
    return json.loads(backend.encode(asked).body)


def end_of(payload: bytes) -> int:
    """Where the event with the finish reason ends."""
    return payload.index(b"\n\n", payload.index(b'"length"')) + 2


@pytest.mark.parametrize("endpoint", ["infer", "infer-token"])
def test_native_streams_count_their_ids_and_have_the_servers_times(endpoint: str) -> None:
    events = check_stream(mindie(endpoint), INFER, len(INFER), (b"\n", b": bye\n\n"))
    assert (events.counts, events.output_tokens, events.output_source) == ([1, 2, 1], 4, "token ids")
    assert (events.usage_tokens, events.finish_reason, events.text) == (4, "length", "am a Fr")
    assert events.server == {"server_prefill": 45 * MS, "server_decode": 32 * MS}


def test_a_native_stream_without_details_ends_with_its_text() -> None:
    payload = stream(tokens([5], "am"), tokens([6], None, generated_text="am", details=None), done=False)
    events = check_stream(mindie("infer"), payload, len(payload))
    assert (events.counts, events.finish_reason, events.output_source) == ([1, 1], "", "token ids")


def test_the_tgi_dialect_has_arrays_of_ids() -> None:
    events = check_stream(mindie("tgi"), TGI, len(TGI))
    assert (events.counts, events.output_tokens, events.input_tokens, events.text) == ([1, 3], 4, 7, "am a Fr!")


@pytest.mark.parametrize("payload", [TRITON, FULL], ids=["new text", "full text"])
def test_the_triton_dialect_counts_up(payload: bytes) -> None:
    events = check_stream(mindie("triton"), payload, len(payload))
    assert (events.counts, events.output_tokens, events.output_source) == ([1, 2, 1], 4, "server details")
    assert (events.text, events.finish_reason) == ("am a Fr!", "length")
    assert events.server == {"server_prefill": 45 * MS, "server_decode": 32 * MS, "server_queue": 750_000,
                             "server_batch_size": 3}


def test_the_legacy_dialect_ends_with_its_message() -> None:
    backend = mindie("vllm-legacy")
    events = decode(LEGACY, backend)
    assert (events.failure, events.counts, events.text) == (None, [1, 1, 1, 1], "am a Fr!")
    assert events.output_source == "events"
    assert [LEGACY[end - 1] for end in events.ends] == [0, 0, 0, 0]
    for cut in range(len(LEGACY)):
        broken = decode(LEGACY[:cut], backend, complete=False).failure
        assert broken is not None
        assert broken.kind == "truncated"
        ended = decode(LEGACY[:cut], backend)
        assert (ended.failure is None) == LEGACY[:cut].endswith(b"\0")  # nothing but the message tells its end


def test_legacy_text_that_comes_whole_each_time_is_not_doubled() -> None:
    events = decode(b'{"text":["am"]}\0{"text":["am a"]}\0{"text":["am a Fr"]}\0', mindie("vllm-legacy"))
    assert (events.failure, events.counts, events.text) == (None, [1, 1, 1], "am a Fr")


@pytest.mark.parametrize(("endpoint", "payload"), [("chat", CHAT), ("completions", COMPLETION)])
def test_openai_streams_have_the_usage_with_the_reason(endpoint: str, payload: bytes) -> None:
    events = check_stream(mindie(endpoint), payload, end_of(payload), (b"data: {",))
    assert (events.counts, events.output_tokens, events.output_source) == ([1, 1], 3, "usage")
    assert events.server == {"server_queue": 100_000, "server_batch_size": 3}


WHOLES: dict[str, Any] = {
    "infer": {"generated_text": "am a Fr!", "details": {**DETAILS, "generated_token_ids": [5, 6, 7, 8]}},
    "tgi": {"details": {"prompt_tokens": 7, **DETAILS, "prefill": [], "tokens": []}, "generated_text": "am a Fr!"},
    "triton": triton("am a Fr!", 4, reason="length"),
    "chat": {"choices": [{"index": 0, "message": {"content": "am a Fr!"}, "finish_reason": "length"}],
             "usage": {**USAGE, "completion_tokens": 4}, "prefill_time": 200, "decode_time_arr": [56, 28, 28]},
}


@pytest.mark.parametrize("endpoint", WHOLES)
def test_answers_in_one_piece(endpoint: str) -> None:
    events = check_whole(mindie(endpoint, stream=False), json.dumps(WHOLES[endpoint]).encode())
    assert (events.output_tokens, events.text, events.finish_reason) == (4, "am a Fr!", "length")
    if endpoint == "chat":
        assert events.server == {"server_prefill": 200 * MS, "server_decode": 112 * MS, "server_queue": 100_000,
                                 "server_batch_size": 3}


def test_a_list_around_an_answer_of_the_tgi_dialect() -> None:
    payload = json.dumps([WHOLES["tgi"]]).encode()
    assert decode(payload, mindie("tgi", stream=False)).output_tokens == 4


def test_a_legacy_answer_begins_with_its_prompt() -> None:
    events = check_whole(mindie("vllm-legacy", stream=False), b'{"text": ["a b c  am a Fr!"]}')
    assert (events.text, events.output_source) == (" am a Fr!", "")


@pytest.mark.parametrize(("endpoint", "payload"), [
    ("infer", INFER), ("tgi", TGI), ("triton", TRITON), ("chat", CHAT), ("completions", COMPLETION),
])
def test_a_timeout_of_the_engine_is_bare_text_and_a_failure(endpoint: str, payload: bytes) -> None:
    first = payload[: payload.index(b"\n\n") + 2]
    for body in (first + TIMEOUT, TIMEOUT, first + TIMEOUT + b"\n\n"):
        for complete in (True, False):
            failure = failed(body, backend=mindie(endpoint), complete=complete)
            assert (failure.kind, failure.type, failure.detail) == ("in_band", "timeout", TIMEOUT.decode())
    for cut in range(len(first) + 1, len(first + TIMEOUT)):
        assert failed((first + TIMEOUT)[:cut], backend=mindie(endpoint)).kind in ("in_band", "truncated")


def test_a_timeout_of_the_legacy_dialect_and_of_answers_in_one_piece() -> None:
    for body in (TIMEOUT, b'{"text":["am"]}\0' + TIMEOUT):
        assert failed(body, backend=mindie("vllm-legacy")).kind == "in_band"
    for endpoint in WHOLES:
        assert failed(TIMEOUT, backend=mindie(endpoint, stream=False)).kind == "in_band"


@pytest.mark.parametrize("endpoint", MindIE.endpoints)
def test_an_error_in_a_200_answer_is_never_a_success(endpoint: str) -> None:
    error = b'{"error":"Incomplete","error_type":"Incomplete Generation"}'
    framed = error + b"\0" if endpoint == "vllm-legacy" else b"data: " + error + b"\n\n"
    before = {"infer": INFER, "infer-token": INFER, "tgi": TGI, "triton": TRITON, "chat": CHAT,
              "completions": COMPLETION, "vllm-legacy": LEGACY}[endpoint]
    separator = b"\0" if endpoint == "vllm-legacy" else b"\n\n"
    first = before[: before.index(separator) + len(separator)]
    for body in (framed, first + framed, error):
        failure = failed(body, backend=mindie(endpoint))
        assert (failure.kind, failure.type, failure.detail) == ("in_band", "Incomplete Generation", "Incomplete")


PARAMETERS = {"details": True, "max_new_tokens": 5}


@pytest.mark.parametrize(("endpoint", "stream_path", "text_path", "body"), [
    ("chat", "/v1/chat/completions", "/v1/chat/completions",
     {"model": "m", "messages": [{"role": "user", "content": "a b c"}], "max_tokens": 5, "ignore_eos": True}),
    ("completions", "/v1/completions", "/v1/completions",
     {"model": "m", "prompt": "a b c", "max_tokens": 5, "ignore_eos": True}),
    ("infer", "/infer", "/infer", {"inputs": "a b c", "parameters": PARAMETERS}),
    ("tgi", "/generate_stream", "/generate", {"inputs": "a b c", "parameters": PARAMETERS}),
    ("triton", "/v2/models/m/generate_stream", "/v2/models/m/generate",
     {"text_input": "a b c", "parameters": PARAMETERS}),
    ("vllm-legacy", "/generate", "/generate", {"prompt": "a b c", "max_tokens": 5, "ignore_eos": True}),
])
def test_what_is_sent(endpoint: str, stream_path: str, text_path: str, body: dict[str, Any]) -> None:
    for streams, path in ((True, stream_path), (False, text_path)):
        backend = mindie(endpoint, stream=streams)
        assert backend.encode(ASKED).path == path
        asked = sent(backend)
        assert len(asked.pop("id", "-" * 36)) == 36
        assert asked.pop("stream", streams) is streams
        assert asked == body
        forced = endpoint in ("chat", "completions", "vllm-legacy")
        assert (backend.forces_length, backend.takes_ignore_eos) == (forced, forced)


def test_token_ids_go_to_infer_token_alone() -> None:
    ids = Request(0, prompt_ids=(4, 5))
    assert sent(mindie("infer-token"), ids)["input_id"] == [4, 5]
    assert mindie("infer-token").takes_only_ids
    with pytest.raises(UsageError, match="--token-ids"):
        mindie("infer-token").encode(ASKED)
    with pytest.raises(UsageError, match="no token ids"):
        mindie("infer").encode(ids)


def test_images_go_as_parts_with_a_plain_url() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "http://i"}}, {"type": "text", "text": "hi"}]
    request = Request(0, messages=({"role": "user", "content": parts},))
    assert sent(mindie("infer"), request)["inputs"] == [{"type": "image_url", "image_url": "http://i"}, parts[1]]
    assert sent(mindie("triton"), Request(0, messages=({"role": "user", "content": "hi"},)))["text_input"] == "hi"
    with pytest.raises(UsageError, match="--endpoint chat"):
        mindie("infer").encode(Request(0, messages=({"role": "user", "content": "a"},) * 2))


def grown(texts: list[str]) -> list[str]:
    """What there is after each of the texts is added."""
    output, contents = Output(), [""]
    for text in texts:
        add_text(output, text)
        contents.append(output.content)
    return contents


@given(st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=12))
def test_text_that_is_the_whole_so_far_is_never_doubled(parts: list[str]) -> None:
    wholes = ["".join(parts[: i + 1]) for i in range(len(parts))]
    assert grown(wholes) == ["", *wholes]


@given(st.lists(st.text("abc", max_size=3), max_size=12))
@example(["aa", "aa", "aab", ""])  # read as the whole text, which is then shorter than it was taken for
def test_text_that_is_new_is_joined_as_soon_as_that_shows(parts: list[str]) -> None:
    shows = next((i + 1 for i, (before, after) in enumerate(pairwise(parts)) if not after.startswith(before)), None)
    if shows is not None:
        assert grown(parts)[shows + 1:] == ["".join(parts[:i + 1]) for i in range(shows, len(parts))]


@pytest.mark.parametrize("texts", [["a", "a", "ab"], ["aa", "aa", "aab"], ["aa", "aa", "aab", "aabc"]])
def test_each_event_with_other_text_is_a_token_event_when_the_whole_is_shorter_than_was_guessed(
        texts: list[str]) -> None:
    payload = b"".join(json.dumps({"text": [text]}).encode() + b"\0" for text in texts)
    events = decode(payload, mindie("vllm-legacy"))
    assert (events.text, len(events.ends)) == (texts[-1], len(texts))


def test_the_same_token_again_is_another_token() -> None:
    assert grown(["a", "a", "a"]) == ["", "a", "aa", "aaa"]


def test_times_and_batch_sizes_that_are_no_numbers_are_left_out() -> None:
    output = Output()
    parse_times({"prefill_time": "soon", "usage": {"queue_wait_time": -1, "batch_size": ["a", None]}}, output)
    assert output.server == {}


def test_a_message_whose_content_is_neither_text_nor_parts_is_refused() -> None:
    with pytest.raises(UsageError, match="takes a text"):
        mindie("infer").encode(Request(0, prompt=[{"role": "user", "content": 5}]))
