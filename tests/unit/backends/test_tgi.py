"""TGI's dialect: what is sent, and what is made of its answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loadgen.backends.tgi import TGI
from loadgen.types import Request, UsageError
from support.golden import check_stream, check_whole
from support.replay import ASKED, answer, decode, failed, stream

URL = "http://server:8080"
MS = 1_000_000


def token(index: int, text: str, special: bool = False, **ending: Any) -> dict[str, Any]:
    said = {"id": 100 + index, "text": text, "logprob": -0.25, "special": special}
    return {"index": index, "token": said, "generated_text": None, "details": None, **ending}


def details(reason: str, tokens: int) -> dict[str, Any]:
    return {"finish_reason": reason, "generated_tokens": tokens, "seed": None, "input_length": 7}


LENGTH = stream(token(1, " Deep"), token(2, ""), token(3, " über", generated_text=" Deep über",
                                                     details=details("length", 3)), done=False)
EOS = stream(token(1, " Deep"), token(2, "</s>", True, generated_text=" Deep", details=details("eos_token", 2)),
             done=False)
CHAT = stream(
    *({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"role": "assistant", "content": text},
                                                       "logprobs": None, "finish_reason": finish}]}
      for text, finish in ((" Deep", None), (" learning", "length"))),
    {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}})
COMPLETION = stream(
    {"object": "text_completion", "choices": [{"index": 0, "text": " Deep", "finish_reason": ""}]},
    {"object": "text_completion", "choices": [{"index": 0, "text": " learning", "finish_reason": "length"}],
     "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}})
WHOLE = json.dumps({
    "generated_text": " Deep learning",
    "details": {"finish_reason": "length", "generated_tokens": 2, "seed": None, "prefill": [],
                "tokens": [{"id": 1, "text": " Deep", "logprob": -1, "special": False},
                           {"id": 2, "text": " learning", "logprob": -1, "special": False}]},
}).encode()
HEADERS = (b"x-compute-type: gpu+optimized\r\nx-total-time: 170\r\nx-validation-time: 1\r\nx-queue-time: 12\r\n"
           b"x-inference-time: 157\r\nx-time-per-token: 78\r\nx-prompt-tokens: 7\r\nx-generated-tokens: 2\r\n")
TIMES = {"server_queue": 12 * MS, "server_inference": 157 * MS, "server_time_per_token": 78 * MS,
         "server_validation": MS, "server_total": 170 * MS}


def tgi(endpoint: str = "generate", **options: Any) -> TGI:
    return TGI(model="m", url=URL, endpoint=endpoint, **options)


def sent(backend: TGI, request: Request = ASKED, asked: int | None = 5) -> Any:
    return json.loads(backend.encode(Request(0, prompt=request.prompt, max_output_tokens=asked)).body)


@pytest.mark.parametrize("prefix", [b"data: ", b"data:"], ids=["2.1.0", "2.0.4"])
def test_a_stream_that_reached_its_length(prefix: bytes) -> None:
    payload = LENGTH.replace(b"data: ", prefix)
    events = check_stream(tgi(), payload, len(payload), (b":\n\n", b": ping\n\ndata: {", b"\n\n"))
    assert (events.counts, events.output_tokens, events.output_source) == ([1, 1, 1], 3, "token ids")
    assert (events.usage_tokens, events.input_tokens, events.input_source) == (3, 7, "server details")
    assert (events.text, events.finish_reason) == (" Deep über", "length")


def test_a_special_end_is_a_token_and_no_text() -> None:
    events = check_stream(tgi(), EOS, len(EOS))
    assert (events.counts, events.text, events.finish_reason) == ([1, 1], " Deep", "eos_token")


def test_comments_between_events_change_nothing() -> None:
    events = decode(LENGTH.replace(b"\n\n", b"\n\n:\n\n"), tgi())
    assert (events.failure, events.counts, len(set(events.ends))) == (None, [1, 1, 1], 3)


def test_chat_has_no_role_chunk() -> None:
    events = check_stream(tgi("chat"), CHAT, CHAT.index(b"\n\n", CHAT.index(b'"length"')) + 2)
    assert (events.counts, events.output_source, events.text) == ([1, 1], "usage", " Deep learning")


def test_completions_have_an_empty_reason_until_the_last() -> None:
    events = check_stream(tgi("completions"), COMPLETION, COMPLETION.index(b"\n\n", COMPLETION.index(b'"length"')) + 2)
    assert (events.counts, events.usage_tokens, events.finish_reason) == ([1, 1], 2, "length")


def test_an_answer_in_one_piece_has_the_servers_times() -> None:
    events = check_whole(tgi(stream=False), WHOLE, HEADERS)
    assert (events.output_tokens, events.output_source, events.input_tokens) == (2, "server details", 7)
    assert (events.server, events.text, events.finish_reason) == (TIMES, " Deep learning", "length")


def test_an_answer_without_details_is_counted_by_its_headers() -> None:
    events = decode(b'[{"generated_text": "a b"}]', tgi(stream=False), headers=HEADERS)
    assert (events.failure, events.output_tokens, events.text) == (None, 2, "a b")


def test_headers_that_are_no_numbers_are_left_out() -> None:
    events = decode(WHOLE, tgi(stream=False), headers=b"x-queue-time: soon\r\nx-prompt-tokens: few\r\n")
    assert (events.failure, events.server, events.output_tokens) == (None, {}, 2)


def test_chat_in_one_piece_has_the_servers_times_too() -> None:
    choice = {"message": {"content": "a b"}, "finish_reason": "stop"}
    payload = json.dumps({"choices": [choice], "usage": {"completion_tokens": 2}}).encode()
    assert decode(payload, tgi("chat", stream=False), headers=HEADERS).server == TIMES


@pytest.mark.parametrize("kind", ["overloaded", "validation", "generation", "incomplete_generation_stream"])
@pytest.mark.parametrize("before", [b"", LENGTH.partition(b"\n\n")[0] + b"\n\n"], ids=["at once", "after a token"])
def test_an_error_in_a_200_stream_is_never_a_success(kind: str, before: bytes) -> None:
    error = b'data: {"error": "Model is overloaded", "error_type": "%b"}\n\n' % kind.encode()
    failure = failed(before + error, backend=tgi())
    assert (failure.kind, failure.type, failure.detail) == ("in_band", kind, "Model is overloaded")


def test_a_chat_error_is_followed_by_done() -> None:
    payload = stream({"error": {"message": "too long", "http_status_code": 422}})
    failure = failed(payload, backend=tgi("chat"))
    assert (failure.kind, failure.type, failure.detail) == ("in_band", "422", "too long")


@pytest.mark.parametrize(("status", "kind", "words"), [
    (429, "http_429", "overloaded"), (422, "http_4xx", "validation"), (424, "http_4xx", "generation"),
    (500, "http_5xx", "incomplete_generation"), (503, "http_503", "unhealthy"),
])
def test_statuses_keep_the_servers_type(status: int, kind: str, words: str) -> None:
    body = json.dumps({"error": "no", "error_type": words}).encode()
    failure = tgi(stream=False).decode(answer(body, status), ASKED).failure
    assert failure is not None
    assert (failure.kind, failure.type) == (kind, words)


def test_an_end_without_generated_text_is_truncated() -> None:
    assert failed(stream(token(1, " a"), token(2, " b"), done=False), backend=tgi()).kind == "truncated"
    assert failed(stream(token(1, " a"), "{", done=False), backend=tgi()).kind == "parse"


def test_a_proper_end_without_a_token_is_empty() -> None:
    ended = {"index": 0, "token": None, "generated_text": "", "details": details("eos_token", 0)}
    assert failed(stream(ended, done=False), backend=tgi()).kind == "empty"


def test_what_generate_sends() -> None:
    backend = tgi(generation_kwargs={"top_k": 3})
    assert backend.encode(Request(0, prompt="hi")).path == "/generate_stream"
    assert sent(backend) == {"inputs": "a b c", "parameters": {"details": True, "max_new_tokens": 5, "top_k": 3}}
    assert "max_new_tokens" not in sent(backend, asked=None)["parameters"]
    assert tgi(stream=False).encode(ASKED).path == "/generate"
    assert (backend.forces_length, backend.takes_ignore_eos) == (False, False)


def test_options_go_into_parameters() -> None:
    backend = tgi(body={"temperature": 0.5, "details": None, "inputs": "other", "parameters": {"seed": 1}})
    assert sent(backend) == {"inputs": "other", "parameters": {"max_new_tokens": 5, "temperature": 0.5, "seed": 1}}


def test_what_the_openai_endpoints_send() -> None:
    assert tgi("chat").encode(ASKED).path == "/v1/chat/completions"
    assert tgi("completions").encode(ASKED).path == "/v1/completions"
    body = sent(tgi("chat", body={"temperature": 0}))
    assert body["max_tokens"] == 5
    assert "ignore_eos" not in body


@pytest.mark.parametrize(("endpoint", "body", "words"), [
    ("generate", {"temperature": 0}, "temperature"), ("generate", {"stop": list("abcde")}, "at most 4"),
    ("chat", {"stop": list("abcde")}, "at most 4"),
])
def test_what_tgi_refuses_is_refused_before(endpoint: str, body: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        tgi(endpoint, body=body).encode(ASKED)


@pytest.mark.parametrize("endpoint", ["generate", "completions"])
def test_prompts_that_an_endpoint_cannot_take(endpoint: str) -> None:
    for request in (Request(0, prompt_ids=(1, 2)), Request(0, messages=({"role": "user", "content": "hi"},))):
        with pytest.raises(UsageError, match=r"no token ids|no messages"):
            tgi(endpoint).encode(request)


def test_info_names_model_and_limits() -> None:
    info = {"model_id": "org/m", "max_input_length": 1023, "max_total_tokens": 2048, "version": "2.0.4", "sha": None}
    assert tgi().model_from(info) == "org/m"
    assert tgi().facts_from(info) == {
        "model_id": "org/m", "max_input_tokens": 1023, "max_total_tokens": 2048, "version": "2.0.4"}
    with pytest.raises(UsageError, match="--model"):
        tgi().model_from({})


def test_a_token_without_an_id_and_details_without_counts_say_no_numbers() -> None:
    nameless = token(1, " Deep", generated_text=" Deep", details={"finish_reason": "length"})
    del nameless["token"]["id"]
    events = decode(stream(nameless, done=False), tgi())
    assert (events.failure, events.output_tokens, events.output_source) == (None, 1, "events")
    assert events.finish_reason == "length"
