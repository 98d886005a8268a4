"""Decodes what real Triton servers sent over HTTP: whole, byte by byte, with trailing data, and cut at every byte."""

from __future__ import annotations

import pytest

from loadgen.backends.triton.backend import Triton
from loadgen.backends.triton.tensors import TensorModel
from loadgen.types import ABSENT, TokenEvents
from support.replay import ASKED, capture, timeline_of
from support.triton_models import told

# name: tokens, source, input tokens, finish reason, text
STREAMS = {
    "triton_generate_stream.raw": (4, "events", 3, "", " w0 w1 w2 w3"),
    "triton_generate_stream.tcp": (8, "events", 3, "", " w0 w1 w2 w3 w4 w5 w6 w7"),
    "triton_generate_stream_badreq.raw": (2, "events", 3, "", " w0 w1"),
    "triton_generate_stream_emptyfinal.raw": (2, "events", 3, "", " w0 w1"),
    "tritonvllm_generate_stream.raw": (3, "events", 3, "", "solquamenororviqua"),
    "tritonvllm_generate_stream_extra.raw": (4, "server details", 3, "length", "solquamenororviqua"),
}


def decode(raw: bytes, step: int | None = None, *, stream: bool = True, complete: bool | None = None,
           known: TensorModel | None = None) -> TokenEvents:
    backend = Triton(model="llm", url="http://server:8000", stream=stream, endpoint="generate")
    backend.known = known
    return backend.decode(timeline_of(raw, step, complete=complete), ASKED)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_whole_and_byte_by_byte(name: str) -> None:
    tokens, source, input_tokens, finish, text = STREAMS[name]
    events = decode(capture(name))
    assert events.failure is None
    assert (events.output_tokens, events.output_source, events.input_tokens) == (tokens, source, input_tokens)
    assert (events.finish_reason, events.text) == (finish, text)
    assert events.input_source == ("server details" if source == "server details" else "approximate")
    assert sum(events.counts) == len(events.ends) == tokens
    payload = timeline_of(capture(name)).payload
    assert all(payload[:end].endswith(b"\n\n") for end in events.ends)
    for step in (1, 7):
        assert decode(capture(name), step) == events


@pytest.mark.parametrize("name", STREAMS)
def test_comments_and_other_newlines_change_nothing(name: str) -> None:
    head, _, _ = capture(name).partition(b"\r\n\r\n")
    payload, events = bytes(timeline_of(capture(name)).payload), decode(capture(name))
    for newline, prefix in ((b"\r\n", b"data: "), (b"\r", b"data:"), (b"\n", b": ping\n\ndata:")):
        body = payload.replace(b"data: ", prefix).replace(b"\n", newline) + b": bye" + newline * 2
        other = decode(head.replace(b"Transfer-Encoding", b"X") + b"\r\n\r\n" + body)
        assert other.failure is None
        assert (other.counts, other.text) == (events.counts, events.text)


@pytest.mark.parametrize("name", [name for name in STREAMS if name.endswith(".raw")])
def test_a_stream_cut_at_every_byte_is_a_success_only_between_events(name: str) -> None:
    head, _, payload = capture(name).partition(b"\r\n\r\n")
    for cut in range(len(payload)):
        raw = head + b"\r\n\r\n" + payload[:cut]
        broken = decode(raw, complete=False).failure
        assert broken is not None
        assert broken.kind == "truncated"
        ended = decode(raw, complete=True)
        between = cut > 0 and payload[:cut].endswith(b"\n\n")
        assert (ended.failure is None) == between, cut


def test_a_model_that_gives_finish_reasons_has_no_success_without_one() -> None:
    model = told("tritonvllm")
    head, _, payload = capture("tritonvllm_generate_stream_extra.raw").partition(b"\r\n\r\n")
    assert decode(head + b"\r\n\r\n" + payload, known=model).failure is None
    last = payload.rstrip().rindex(b"data:")
    for cut in range(last + len(b'data: {"finish_reason":"length"')):
        failure = decode(head + b"\r\n\r\n" + payload[:cut], complete=True, known=model).failure
        assert failure is not None
        assert failure.kind == "truncated"


def test_bytes_on_the_wire_cut_at_every_byte_are_never_a_success() -> None:
    raw = capture("triton_generate_stream.tcp")
    for cut in range(raw.index(b"\r\n\r\n") + 4, len(raw)):
        failure = decode(raw[:cut]).failure
        assert failure is not None
        assert failure.kind == "truncated"


def test_an_error_in_the_middle_is_in_band_with_its_words() -> None:
    events = decode(capture("triton_generate_stream_midfail.raw"))
    assert events.failure is not None
    assert (events.failure.kind, events.failure.detail) == ("in_band", "made-up failure mid stream")
    assert events.counts == [1, 1]


def test_an_error_in_place_of_a_stream_is_in_band() -> None:
    raw = capture("triton_generate_stream_true_error.raw")
    for stream in (True, False):
        failure = decode(raw, stream=stream).failure
        assert failure is not None
        assert failure.kind == "in_band"
        assert "exactly 1 response" in failure.detail


def test_an_answer_in_one_piece() -> None:
    raw = capture("triton_generate.raw")
    events = decode(raw, stream=False)
    assert events.failure is None
    assert (events.text, events.output_tokens, events.counts) == (" w0 w1 w2 w3", ABSENT, [0])
    head, _, payload = raw.partition(b"\r\n\r\n")
    assert events.ends == [len(payload)]
    for cut in range(len(payload)):
        for complete in (True, False):
            failure = decode(head + b"\r\n\r\n" + payload[:cut], stream=False, complete=complete).failure
            assert failure is not None


def test_what_another_server_answers_is_named() -> None:
    failure = decode(capture("vllm_completions_stream.raw")).failure
    assert failure is not None
    assert failure.kind == "parse"
    assert "this looks like the OpenAI dialect: --backend openai" in failure.detail


def test_the_metadata_of_both_servers() -> None:
    plain, vllm = told("triton_model"), told("tritonvllm")
    assert plain.decoupled
    assert vllm.decoupled
    assert not vllm.batches
    assert plain.generates
    assert [tensor.name for tensor in vllm.inputs.values() if not tensor.optional] == ["text_input"]
    assert str(vllm.inputs["image"]) == "image BYTES[-1]"
    assert vllm.outputs["num_output_tokens"].datatype == "UINT32"
