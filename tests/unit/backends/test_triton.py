"""Triton's requests as tensors, over every endpoint."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from tritonclient.grpc import service_pb2 as messages

from loadgen.backends.triton import infer
from loadgen.backends.triton.inputs import Inputs, value_of
from loadgen.backends.triton.tensors import unpack_texts
from loadgen.types import Call, Request, UsageError
from support.triton_models import PLAIN, PROMPT, backend_for, model_with, told

TRTLLM = model_with("text_input BYTES -1,1", "max_tokens INT32 -1,1", "min_length INT32 -1,1?", "stream BOOL -1,1?",
                    "end_id INT32 -1,1?", "bad_words BYTES -1,-1", "exclude_input_in_output BOOL -1,1?", batches=True)


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
    ({"strem": True}, r"no input tensor 'strem'; did you mean stream\?; it has text_input BYTES\[1\], stream"),
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


def test_http_inference_sends_json_and_then_the_tensors() -> None:
    call = backend_for(PLAIN, "infer", stream=False).encode(PROMPT)
    length = int(dict(call.headers)[infer.LENGTH])
    head, tensors = msgspec.json.decode(call.body[:length]), call.body[length:]
    assert call.path == "/v2/models/m/infer"
    assert [(entry["name"], entry["shape"], entry["parameters"]) for entry in head["inputs"]] == [
        ("text_input", [1], {"binary_data_size": 9}), ("stream", [1], {"binary_data_size": 1})]
    assert tensors == b"\5\0\0\0\xc3\xbcber" + b"\0"
