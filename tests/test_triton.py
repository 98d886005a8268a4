"""Triton's requests as tensors, and captured gRPC answers as token events."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from tritonclient.grpc import service_pb2 as messages

from loadgen.backends import triton_grpc, triton_infer
from loadgen.backends.triton import Triton
from loadgen.backends.triton_inputs import Inputs, value_of
from loadgen.backends.triton_tensors import Model, Tensor, unpack_texts
from loadgen.protocols.grpc.request import frame
from loadgen.types import ABSENT, Call, Failure, Request, Timeline, TokenEvents, UsageError
from tests.test_triton_captures import told

PROMPT = Request(7, prompt="über", max_output_tokens=5)


def model_with(*inputs: str, decoupled: bool = True, output: str = "text_output", batches: bool = False) -> Model:
    """A model whose inputs are written "name DATATYPE dims", optional with a "?" at the end."""
    found = {}
    for text in inputs:
        name, datatype, dims = text.removesuffix("?").split()
        found[name] = Tensor(name, datatype, tuple(map(int, dims.split(","))), text.endswith("?"))
    return Model("m", "1", found, {output: Tensor(output, "BYTES", (-1,))}, decoupled, batches)


TRTLLM = model_with("text_input BYTES -1,1", "max_tokens INT32 -1,1", "min_length INT32 -1,1?", "stream BOOL -1,1?",
                    "end_id INT32 -1,1?", "bad_words BYTES -1,-1", "exclude_input_in_output BOOL -1,1?", batches=True)
PLAIN = model_with("text_input BYTES 1", "stream BOOL 1")


def backend_for(model: Model | None, endpoint: str = "grpc", **options: Any) -> Triton:
    backend = Triton(model="m", url="http://server:8000", endpoint=endpoint, **options)
    backend.known = model
    return backend


def asked(call: Call) -> tuple[Any, dict[str, Any]]:
    """The message of a call, and its tensors as (datatype, shape, texts or bytes)."""
    message = messages.ModelInferRequest.FromString(call.body)
    return message, {tensor.name: (tensor.datatype, list(tensor.shape), unpack_texts(raw) if tensor.datatype == "BYTES"
                                   else raw)
                     for tensor, raw in zip(message.inputs, message.raw_input_contents, strict=True)}


def test_the_tensors_of_the_vllm_backend() -> None:
    call = backend_for(told("tritonvllm"), api_key="k").encode(PROMPT)
    message, tensors = asked(call)
    assert call.path == "/inference.GRPCInferenceService/ModelStreamInfer"
    assert dict(call.headers) == {"Authorization": "Bearer k"}
    assert (message.id, message.parameters["triton_enable_empty_final_response"].bool_param) == ("7", True)
    sampling = msgspec.json.decode(tensors.pop("sampling_parameters")[2][0])
    assert sampling == {"max_tokens": 5, "min_tokens": 5, "ignore_eos": True}
    assert tensors == {
        "text_input": ("BYTES", [1], ["über"]), "stream": ("BOOL", [1], b"\1"),
        **{name: ("BOOL", [1], b"\1") for name in ("exclude_input_in_output", "return_finish_reason",
                                                   "return_num_input_tokens", "return_num_output_tokens")}}


def test_the_tensors_of_a_tensorrt_llm_ensemble() -> None:
    backend = backend_for(TRTLLM)
    backend.add_body({"end_id": 2})
    _, tensors = asked(backend.encode(PROMPT))
    five = struct.pack("<i", 5)
    assert tensors == {
        "text_input": ("BYTES", [1, 1], ["über"]), "max_tokens": ("INT32", [1, 1], five),
        "min_length": ("INT32", [1, 1], five), "stream": ("BOOL", [1, 1], b"\1"),
        "end_id": ("INT32", [1, 1], struct.pack("<i", 2)), "bad_words": ("BYTES", [1, 1], [""]),
        "exclude_input_in_output": ("BOOL", [1, 1], b"\1")}


def test_a_model_that_answers_once_is_asked_with_model_infer() -> None:
    call = backend_for(model_with("text_input BYTES 1", decoupled=False), stream=False).encode(PROMPT)
    message, _ = asked(call)
    assert call.path.endswith("/ModelInfer")
    assert not message.parameters


@pytest.mark.parametrize(("body", "expected"), [
    ({"temperature": 0, "ignore_eos": None}, {"max_tokens": 5, "min_tokens": 5, "temperature": 0}),
    ({"sampling_parameters": {"top_k": 1}}, {"top_k": 1}),
    ({"sampling_parameters": '{"top_k": 2}'}, {"top_k": 2}),
])
def test_fields_that_name_no_tensor_are_sampling_parameters(body: Mapping[str, Any], expected: object) -> None:
    backend = backend_for(told("tritonvllm"))
    backend.add_body(body)
    _, tensors = asked(backend.encode(PROMPT))
    assert msgspec.json.decode(tensors["sampling_parameters"][2][0]) == expected


def test_fields_of_a_request_and_of_the_backend_replace_tensors() -> None:
    backend = backend_for(told("tritonvllm"), generation_kwargs={"seed": 1})
    backend.add_body({"return_finish_reason": None, "stream": False, "parameters": {"priority": 3, "who": "me"}})
    message, tensors = asked(backend.encode(Request(0, prompt="a", body={"text_input": "b", "seed": 2})))
    assert "return_finish_reason" not in tensors
    assert (tensors["stream"][2], tensors["text_input"][2]) == (b"\0", ["b"])
    assert msgspec.json.decode(tensors["sampling_parameters"][2][0]) == {"seed": 2}
    assert (message.parameters["priority"].int64_param, message.parameters["who"].string_param) == (3, "me")


def test_images_go_into_their_tensor() -> None:
    request = Request(0, prompt="a", images=("data:image/png;base64,AAAA", "BBBB"))
    _, tensors = asked(backend_for(told("tritonvllm")).encode(request))
    assert tensors["image"] == ("BYTES", [2], ["AAAA", "BBBB"])


@pytest.mark.parametrize(("body", "words"), [
    ({"strem": True}, r"no input tensor 'strem' \(did you mean stream\?\); it has text_input BYTES\[1\], stream"),
    ({"stream": "yes"}, r"the tensor stream BOOL\[1\] holds true and false, not 'yes'"),
    ({"text_input": None}, r"needs the tensor text_input BYTES\[1\]: write --body text_input=VALUE"),
    ({"text_input": ["a", "b"]}, r"the tensor text_input BYTES\[1\] of shape \[1\] needs 1 elements; 2 were given"),
])
def test_what_can_not_be_a_tensor_is_named(body: Mapping[str, Any], words: str) -> None:
    backend = backend_for(PLAIN)
    backend.add_body(body)
    with pytest.raises(UsageError, match=words):
        backend.encode(PROMPT)


def test_prompts_are_text() -> None:
    for request, words in ((Request(0, prompt_ids=(1, 2)), "no token ids: leave out --token-ids"),
                           (Request(0, messages=({"role": "user", "content": "a"},)), "no messages")):
        with pytest.raises(UsageError, match=words):
            backend_for(PLAIN).encode(request)
    with pytest.raises(UsageError, match="nothing is known of the model 'm'"):
        backend_for(None).encode(PROMPT)


def test_the_generate_extension_has_the_same_tensors_as_fields() -> None:
    call = backend_for(told("tritonvllm"), "generate").encode(PROMPT)
    body = msgspec.json.decode(call.body)
    assert call.path == "/v2/models/m/generate_stream"
    assert msgspec.json.decode(body["sampling_parameters"])["min_tokens"] == 5
    assert (body["text_input"], body["stream"], body["return_num_output_tokens"]) == ("über", True, True)
    blind = backend_for(None, "generate", stream=False).encode(PROMPT)
    assert blind.path == "/v2/models/m/generate"
    assert msgspec.json.decode(blind.body) == {"text_input": "über", "stream": False, "max_tokens": 5}


def test_input_data_outranks_the_prompt_and_the_body_outranks_it() -> None:
    backend = backend_for(PLAIN)
    steps = [{"text_input": value_of(PLAIN, "text_input", text, {})} for text in ("one", "two")]
    backend.inputs = Inputs(steps)
    assert [asked(backend.encode(Request(i)))[1]["text_input"][2] for i in range(3)] == [["one"], ["two"], ["one"]]
    backend.add_body({"text_input": "three"})
    assert asked(backend.encode(Request(0)))[1]["text_input"][2] == ["three"]


# Answers over gRPC.


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


def decode(payload: bytes, model: Model | None = PLAIN, **more: Any) -> TokenEvents:
    settings: dict[str, Any] = {"status": 200, "complete": True, "headers": b"grpc-status: 0\r\n"}
    backend = backend_for(model, stream=model is None or model.decoupled)
    return backend.decode(Timeline(0, payload=payload, **(settings | more)), PROMPT)


def kind_of(payload: bytes, model: Model | None = PLAIN, **more: Any) -> str:
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
    assert (events.counts, events.output_tokens, events.output_source) == ([1], ABSENT, "")


def test_a_unary_call_of_a_decoupled_model_is_explained() -> None:
    words = "ModelInfer RPC doesn't support models with decoupled transaction policy"
    failure = decode(b"", failure=Failure("grpc_unimplemented", words, "UNIMPLEMENTED"), complete=False).failure
    assert failure is not None
    assert failure.type == "UNIMPLEMENTED"
    assert failure.detail.startswith(words + ": this model answers with any number of responses")
    other = Failure("grpc_internal", "out of memory")
    assert triton_grpc.explained(other) is other


# HTTP inference.


def infer_answer(outputs: list[dict[str, Any]], tensors: bytes = b"", **more: Any) -> Timeline:
    head = msgspec.json.encode({"model_name": "m", "outputs": outputs})
    headers = f"{triton_infer.LENGTH}: {len(head)}\r\n".encode() if tensors else b""
    return Timeline(0, status=200, headers=headers, payload=head + tensors, **({"complete": True} | more))


def read(timeline: Timeline) -> TokenEvents:
    return backend_for(PLAIN, "infer", stream=False).decode(timeline, PROMPT)


def test_http_inference_sends_json_and_then_the_tensors() -> None:
    call = backend_for(PLAIN, "infer", stream=False).encode(PROMPT)
    length = int(dict(call.headers)[triton_infer.LENGTH])
    head, tensors = msgspec.json.decode(call.body[:length]), call.body[length:]
    assert call.path == "/v2/models/m/infer"
    assert [(entry["name"], entry["shape"], entry["parameters"]) for entry in head["inputs"]] == [
        ("text_input", [1], {"binary_data_size": 9}), ("stream", [1], {"binary_data_size": 1})]
    assert tensors == packed("über") + b"\0"


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
    assert (other.failure, other.counts, other.output_tokens) == (None, [1], ABSENT)


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
