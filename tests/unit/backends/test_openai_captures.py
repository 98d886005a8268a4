"""Decodes what real servers sent: whole, byte by byte, with trailing data, and cut at every byte."""

from __future__ import annotations

import pytest

from loadgen.backends.openai import OpenAI
from loadgen.backends.vllm import VLLM
from loadgen.types import Request, TokenEvents
from support.replay import capture, timeline_of

ASKED = Request(index=0, prompt="a b c")

# name: tokens, source, input tokens, input source, finish reason, text
STREAMS = {
    "vllm_chat_stream.raw": (4, "usage", 20, "usage", "length", "babakoly$ lysolbaphaba"),
    "vllm_chat_stream.tcp": (16, "usage", 20, "usage", "length", None),
    "vllm_chat_stream_continuous.raw": (3, "usage", 20, "usage", "length", "babakoly$ lysol"),
    "vllm_completions_stream.raw": (4, "usage", 3, "usage", "length", "solquamenororviqua"),
    "vllm_completions_stream.tcp": (16, "usage", 3, "usage", "length", None),
    "vllm_completions_tokenids_stream.raw": (2, "token ids", 3, "token ids", "length", " gerriviorbavitu"),
    "vllm_vl_chat_stream.raw": (4, "usage", 46, "usage", "length", "orsolri  gerlybagersol"),
    "hfserve_chat_stream.raw": (4, "usage", 20, "usage", "length", "babakoly$ lysolbaphaba"),
    "hfserve_completions_stream.raw": (4, "usage", 3, "usage", "length", "solquamenororviqua"),
    "llamacpp_chat_stream.raw": (3, "events", 3, "approximate", "length", "nedextuor quakostorritu"),
    "llamacpp_completions_stream.raw": (4, "events", 3, "approximate", "length", "quaorquadex menvistmennetuvirisolne"),
}
ANSWERS = {
    "vllm_chat_nonstream.raw": (4, "usage", 20, "usage", "length", "babakoly$ lysolbaphaba"),
    "vllm_completions_nonstream.raw": (4, "usage", 3, "usage", "length", "solquamenororviqua"),
    "hfserve_chat_nonstream.raw": (4, "usage", 20, "usage", "length", "babakoly$ lysolbaphaba"),
    "llamacpp_completions_nonstream.raw": (4, "usage", 3, "usage", "length", "quaorquadex menvistmennetuvirisolne"),
}
REFUSALS = {
    "vllm_err_badjson.raw": ("http_4xx", "Bad Request", "1 validation error"),
    "vllm_err_nomodel.raw": ("http_4xx", "NotFoundError", "The model `nope` does not exist. Valid aliases: tiny."),
    "vllm_err_toolong.raw": ("too_long", "BadRequestError", "max_model_len=2048"),
    "hfserve_err_extra.raw": ("http_4xx", "", "Unexpected fields in the request: {'ignore_eos'}"),
    "hfserve_err_othermodel.raw": ("http_4xx", "", "Server is pinned to 'tiny-llama'; requested 'nope'."),
    "hfserve_models.raw": ("http_5xx", "", "Internal Server Error"),
}


def decode(raw: bytes, step: int | None = None, *, stream: bool = True, complete: bool | None = None) -> TokenEvents:
    backend = OpenAI(model="tiny", url="http://server", stream=stream)
    return backend.decode(timeline_of(raw, step, complete=complete), ASKED)


def facts(events: TokenEvents) -> tuple[int, str, int, str, str]:
    return (events.output_tokens, events.output_source, events.input_tokens, events.input_source, events.finish_reason)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_whole_and_byte_by_byte(name: str) -> None:
    expected, raw = STREAMS[name], capture(name)
    events = decode(raw)
    assert events.failure is None
    assert facts(events) == expected[:5]
    assert expected[5] in (None, events.text)
    assert sum(events.counts) == len(events.ends) == expected[0]
    payload = timeline_of(raw).payload
    assert all(payload[:end].endswith(b"\n\n") for end in events.ends)
    assert events.ends == sorted(set(events.ends))
    for step in (1, 7):
        assert decode(raw, step) == events


@pytest.mark.parametrize("name", STREAMS)
def test_the_same_with_other_newlines(name: str) -> None:
    head, _, _ = capture(name).partition(b"\r\n\r\n")
    payload = bytes(timeline_of(capture(name)).payload)
    events = decode(capture(name))
    for newline, prefix in ((b"\r\n", b"data: "), (b"\r", b"data:"), (b"\n", b": ping\n\ndata:")):
        body = payload.replace(b"data: ", prefix).replace(b"\n", newline)
        other = decode(head + b"\r\n\r\n" + body)
        assert other.failure is None
        assert (facts(other), other.counts, other.text) == (facts(events), events.counts, events.text)


@pytest.mark.parametrize("name", STREAMS)
def test_trailing_data_changes_nothing(name: str) -> None:
    head, _, _ = capture(name).partition(b"\r\n\r\n")
    payload = bytes(timeline_of(capture(name)).payload)
    done = b"[DONE]" in payload
    ignored = (b"data: not json\n\n", b'data: {"error": "x"}\n\n') if done else ()
    for trailing in (b": bye\n\n", b"data: {", b"\n\n", *ignored):
        events = decode(head + b"\r\n\r\n" + payload + trailing)
        assert events == decode(capture(name))


@pytest.mark.parametrize("name", [name for name in STREAMS if name.endswith(".raw")])
def test_a_stream_cut_at_every_byte_is_a_success_only_after_its_proper_end(name: str) -> None:
    head, _, payload = capture(name).partition(b"\r\n\r\n")
    head += b"\r\n\r\n"
    finish = payload.index(b'"finish_reason":' + (b' "length"' if b'"finish_reason": ' in payload else b'"length"'))
    proper = payload.index(b"\n\n", finish) + 2
    for cut in range(len(payload)):
        broken = decode(head + payload[:cut], complete=False)
        assert broken.failure is not None
        assert broken.failure.kind == "truncated"
        ended = decode(head + payload[:cut], complete=True)
        assert (ended.failure is None) == (cut >= proper), cut
        assert ended.ends == [end for end in decode(head + payload).ends if end <= cut][: len(ended.ends)]


@pytest.mark.parametrize("name", ["vllm_chat_stream.tcp", "vllm_completions_stream.tcp"])
def test_bytes_on_the_wire_cut_at_every_byte_are_never_a_success(name: str) -> None:
    raw = capture(name)
    start = raw.index(b"\r\n\r\n") + 4
    for cut in range(start, len(raw)):
        failure = decode(raw[:cut]).failure
        assert failure is not None
        assert failure.kind == "truncated"


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_is_no_stream(name: str) -> None:
    expected, raw = ANSWERS[name], capture(name)
    events = decode(raw, stream=False)
    assert events.failure is None
    assert facts(events) == expected[:5]
    assert events.text == expected[5]
    assert events.counts == [4]
    head, _, payload = raw.partition(b"\r\n\r\n")
    assert events.ends == [len(payload)]
    for cut in range(len(payload)):
        failure = decode(head + b"\r\n\r\n" + payload[:cut], stream=False, complete=False).failure
        assert failure is not None
        assert failure.kind == "truncated"
        failure = decode(head + b"\r\n\r\n" + payload[:cut], stream=False).failure
        assert failure is not None
        assert failure.kind in ("parse", "empty")


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_keeps_the_words_of_the_server(name: str) -> None:
    kind, kind_of_server, words = REFUSALS[name]
    for stream in (True, False):
        failure = decode(capture(name), stream=stream).failure
        assert failure is not None
        assert (failure.kind, failure.type) == (kind, kind_of_server)
        assert words in failure.detail


def test_the_vllm_backend_reads_the_same() -> None:
    backend = VLLM(model="tiny", url="http://server")
    for name in STREAMS:
        assert backend.decode(timeline_of(capture(name)), ASKED) == decode(capture(name))
