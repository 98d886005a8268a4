"""Captured answers of Triton over gRPC and HTTP inference as token events: never a success before the proper end."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
from tritonclient.grpc import service_pb2 as messages

from loadgen.backends.triton import grpc, infer
from loadgen.backends.triton.tensors import TensorModel
from loadgen.protocols.grpc.request import frame
from loadgen.types import ABSENT, Failure, Request, Timeline, TokenEvents
from support.triton_models import PLAIN, PROMPT, backend_for, model_with


def reply(text: str | None = None, *, final: bool = False, tokens: int | None = None, finish: str = "",
          error: str = "", name: str = "text_output") -> bytes:
    """One message of a ModelStreamInfer."""
    message = messages.ModelStreamInferResponse(error_message=error)
    response = message.infer_response
    response.parameters["triton_final_response"].bool_param = final
    fill(response, text, tokens, finish, name)
    return frame(message.SerializeToString())


def fill(response: Any, text: str | None, tokens: int | None, finish: str, name: str = "text_output") -> None:
    parts = [(name, "BYTES", packed(text))] if text is not None else []
    parts += [("num_output_tokens", "UINT32", struct.pack("<I", tokens)), ("num_input_tokens", "UINT32", b"\5\0\0\0"),
              ("finish_reason", "BYTES", packed(finish or "None"))] if tokens is not None else []
    for name, datatype, raw in parts:
        response.outputs.add(name=name, datatype=datatype, shape=[1])
        response.raw_output_contents.append(raw)


def packed(text: str) -> bytes:
    return struct.pack("<I", len(text.encode())) + text.encode()


def decode(payload: bytes, model: TensorModel | None = PLAIN, **more: Any) -> TokenEvents:
    settings: dict[str, Any] = {"status": 200, "complete": True, "headers": b"grpc-status: 0\r\n"}
    backend = backend_for(model, stream=model is None or model.decoupled)
    return backend.decode(Timeline(0, payload=payload, **(settings | more)), PROMPT)


def kind_of(payload: bytes, model: TensorModel | None = PLAIN, **more: Any) -> str:
    failure = decode(payload, model, **more).failure
    return failure.kind if failure else ""


def test_each_response_with_text_is_a_token() -> None:
    parts = [reply("a"), reply("b"), reply("ü", final=True)]
    events = decode(b"".join(parts))
    assert events.failure is None
    assert (events.text, events.counts, events.output_tokens, events.output_source) == ("abü", [1, 1, 1], 3, "events")
    assert events.ends == [len(parts[0]), len(parts[0] + parts[1]), len(b"".join(parts))]


def test_an_empty_final_response_is_no_token() -> None:
    answered = reply("a") + reply("b")
    events = decode(answered + reply(final=True))
    assert events.failure is None
    assert events.counts == [1, 1]
    assert events.ends[-1] == len(answered)
    assert kind_of(reply(final=True)) == "empty"


def test_the_server_counts_the_tokens_of_each_response() -> None:
    payload = reply("a", tokens=1) + reply("bc", tokens=2) + reply("", tokens=1, finish="length") + reply(final=True)
    events = decode(payload)
    assert events.failure is None
    assert (events.counts, events.output_tokens, events.output_source) == ([1, 2, 1], 4, "server details")
    assert (events.input_tokens, events.input_source, events.finish_reason) == (5, "server details", "length")


def test_responses_without_text_are_counted_and_no_tokenizer_is_asked() -> None:
    backend = backend_for(model_with("x FP32 1", output="y"))
    backend.tokenizer = len
    payload = reply("1", name="y") + reply("2", name="y", final=True)
    events = backend.decode(Timeline(0, status=200, payload=payload, complete=True), Request(0))
    assert events.failure is None
    assert (events.counts, events.output_source, events.text) == ([1, 1], "events", "")


def test_the_tokenizer_counts_what_the_server_does_not() -> None:
    backend = backend_for(PLAIN)
    backend.tokenizer = len
    timeline = Timeline(0, status=200, payload=reply("abc") + reply(final=True), complete=True)
    assert backend.decode(timeline, PROMPT).output_tokens == 3


def test_text_that_is_not_raw_is_read_too() -> None:
    message = messages.ModelStreamInferResponse()
    output = message.infer_response.outputs.add(name="text_output", datatype="BYTES", shape=[2])
    output.contents.bytes_contents.extend([b"a", b"b"])
    message.infer_response.parameters["triton_final_response"].bool_param = True
    assert decode(frame(message.SerializeToString())).text == "ab"


def test_an_error_message_fails_the_request_whatever_came_before() -> None:
    failure = decode(reply("a") + reply(error="made up") + reply("b", final=True)).failure
    assert failure == Failure("in_band", "made up")
    cut = decode(reply("a") + reply(error="made up"), complete=False, failure=Failure("timeout", "idle")).failure
    assert cut == Failure("in_band", "made up")


def test_what_else_is_no_success() -> None:
    good = reply("a") + reply("b", final=True)
    assert kind_of(good) == ""
    assert kind_of(reply("a") + reply("b")) == "truncated"
    assert kind_of(b"") == "truncated"
    assert kind_of(good, complete=False) == "truncated"
    assert kind_of(good, failure=Failure("grpc_unavailable", "gone")) == "grpc_unavailable"
    assert kind_of(good, status=503, complete=False) == "http_503"
    assert kind_of(frame(b"\xff\xff\xff")) == "parse"
    wrong = messages.ModelStreamInferResponse()
    wrong.infer_response.outputs.add(name="text_output", datatype="BYTES", shape=[1])
    wrong.infer_response.raw_output_contents.append(b"\x09\0\0\0a")
    assert kind_of(frame(wrong.SerializeToString())) == "parse"


def test_a_stream_cut_at_every_byte_is_never_a_success() -> None:
    payload = reply("a", tokens=1) + reply("b", tokens=1) + reply(final=True)
    for cut in range(len(payload)):
        assert kind_of(payload[:cut]) == "truncated", cut
        assert kind_of(payload[:cut], complete=False) == "truncated"
    assert decode(payload + reply("late")) == decode(payload)


def test_a_unary_answer_has_one_event() -> None:
    model = model_with("text_input BYTES 1", decoupled=False)
    message = messages.ModelInferResponse()
    fill(message, "a b", 2, "stop")
    payload = frame(message.SerializeToString())
    events = decode(payload, model)
    assert events.failure is None
    assert (events.ends, events.counts, events.output_tokens) == ([len(payload)], [2], 2)
    for cut in range(len(payload)):
        assert kind_of(payload[:cut], model) == "truncated"
    assert kind_of(frame(b"\xff\xff"), model) == "parse"


def test_nobody_counts_what_a_classifier_answers() -> None:
    model = model_with("x FP32 1", decoupled=False, output="y")
    message = messages.ModelInferResponse()
    fill(message, "1", None, "", "y")
    events = decode(frame(message.SerializeToString()), model)
    assert events.failure is None
    assert (events.counts, events.output_tokens, events.output_source) == ([0], ABSENT, "")


def test_a_unary_call_of_a_decoupled_model_is_explained() -> None:
    words = "ModelInfer RPC doesn't support models with decoupled transaction policy"
    failure = decode(b"", failure=Failure("grpc_unimplemented", words, "UNIMPLEMENTED"), complete=False).failure
    assert failure is not None
    assert failure.type == "UNIMPLEMENTED"
    assert failure.detail.startswith(words + ": this model answers with any number of responses")
    other = Failure("grpc_internal", "out of memory")
    assert grpc.explained(other) is other


# HTTP inference.


def infer_answer(outputs: list[dict[str, Any]], tensors: bytes = b"", **more: Any) -> Timeline:
    head = msgspec.json.encode({"model_name": "m", "outputs": outputs})
    headers = f"{infer.LENGTH}: {len(head)}\r\n".encode() if tensors else b""
    return Timeline(0, status=200, headers=headers, payload=head + tensors, **({"complete": True} | more))


def read(timeline: Timeline) -> TokenEvents:
    return backend_for(PLAIN, "infer", stream=False).decode(timeline, PROMPT)


def test_http_inference_reads_text_and_counts() -> None:
    raw = packed("a b")
    outputs = [{"name": "text_output", "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}},
               {"name": "num_output_tokens", "datatype": "UINT32", "parameters": {"binary_data_size": 4}}]
    events = read(infer_answer(outputs, raw + b"\2\0\0\0"))
    assert events.failure is None
    assert (events.text, events.counts, events.output_source) == ("a b", [2], "server details")
    plain = read(infer_answer([{"name": "text_output", "datatype": "BYTES", "data": ["c"]}]))
    assert (plain.text, plain.output_tokens) == ("c", ABSENT)
    score = [{"name": "score", "datatype": "FP32", "parameters": {"binary_data_size": 8}}]
    other = read(infer_answer(score, b"\0" * 8))
    assert (other.failure, other.counts, other.output_tokens) == (None, [0], ABSENT)


def test_http_inference_cut_at_every_byte_is_never_a_success() -> None:
    raw = packed("a b")
    whole = infer_answer([{"name": "text_output", "datatype": "BYTES", "parameters": {"binary_data_size": 7}}], raw)
    for cut in range(len(whole.payload)):
        for complete, kind in ((True, "parse"), (False, "truncated")):
            timeline = Timeline(0, status=200, headers=whole.headers, payload=whole.payload[:cut], complete=complete)
            failure = read(timeline).failure
            assert failure is not None
            assert failure.kind == kind


def test_http_inference_that_failed() -> None:
    refused = Timeline(0, status=400, payload=b'{"error":"unexpected shape"}', complete=True)
    failure = read(refused).failure
    assert failure is not None
    assert (failure.kind, "unexpected shape" in failure.detail) == ("http_4xx", True)
    under_200 = read(Timeline(0, status=200, payload=b'{"error":"no"}', complete=True)).failure
    assert under_200 == Failure("in_band", "no")
    lost = read(infer_answer([], failure=Failure("timeout", "total"), complete=False)).failure
    assert lost == Failure("timeout", "total")
