"""What the OpenAI and vLLM backends send, and what they read of model listings and refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loadgen.backends.interface import ServiceBackend
from loadgen.backends.openai import OpenAI, max_model_len, model_from, model_note, probe_hint
from loadgen.backends.vllm import VLLM
from loadgen.types import Request, UsageError
from support.replay import ASKED, URL, capture


def body_of(backend: ServiceBackend, request: Request = ASKED) -> dict[str, Any]:
    return dict(json.loads(backend.encode(request).body))


def test_the_default_asks_for_a_chat_stream_with_usage() -> None:
    backend = OpenAI(model="m", url=URL, api_key="k", headers={"X-A": "1"})
    call = backend.encode(Request(index=0, prompt="hi", max_output_tokens=5))
    assert call.path == "/v1/chat/completions"
    assert call.method == "POST"
    assert dict(call.headers) == {"Content-Type": "application/json", "Authorization": "Bearer k", "X-A": "1"}
    assert json.loads(call.body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_completions_take_text_and_token_ids_but_no_messages() -> None:
    backend = OpenAI(model="m", url=URL, endpoint="completions", stream=False)
    assert body_of(backend) == {"model": "m", "prompt": "a b c", "stream": False}
    assert body_of(backend, Request(index=0, prompt_ids=(1, 2)))["prompt"] == [1, 2]
    assert backend.encode(ASKED).path == "/v1/completions"
    with pytest.raises(UsageError, match="--endpoint chat"):
        backend.encode(Request(index=0, messages=({"role": "user", "content": "x"},)))
    with pytest.raises(UsageError, match="--endpoint completions"):
        OpenAI(url=URL).encode(Request(index=0, prompt_ids=(1, 2)))


def test_images_become_parts_of_a_message() -> None:
    messages = body_of(OpenAI(url=URL), Request(index=0, prompt="what?", images=("data:image/png;base64,AA",)))[
        "messages"
    ]
    assert messages == [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
                {"type": "text", "text": "what?"},
            ],
        }
    ]


def test_vllm_forces_the_length_and_counts_every_event() -> None:
    body = body_of(VLLM(model="m", url=URL), Request(index=0, prompt="x", max_output_tokens=9))
    assert (body["max_tokens"], body["min_tokens"], body["ignore_eos"]) == (9, 9, True)
    assert body["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert "ignore_eos" not in body_of(VLLM(url=URL))
    assert "stream_options" not in body_of(VLLM(url=URL, stream=False))


def test_null_removes_any_field_and_the_request_has_the_last_word() -> None:
    backend = VLLM(
        model="m", url=URL, body={"ignore_eos": None, "stream_options": None, "temperature": 0.5, "top_k": None}
    )
    request = Request(index=0, prompt="x", max_output_tokens=9, body={"temperature": 1, "min_tokens": None})
    body = body_of(backend, request)
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "max_tokens": 9,
        "stream": True,
        "temperature": 1,
    }


def test_a_generation_option_outranks_the_dialect_and_null_in_it_is_sent() -> None:
    body = body_of(
        VLLM(url=URL, generation_kwargs={"ignore_eos": False, "seed": None}), Request(0, "x", max_output_tokens=2)
    )
    assert body["ignore_eos"] is False
    assert body["seed"] is None


def test_the_field_of_the_length_can_be_chosen() -> None:
    body = body_of(
        OpenAI(url=URL, body={"max_completion_tokens": True}), Request(index=0, prompt="x", max_output_tokens=9)
    )
    assert body["max_completion_tokens"] == 9
    assert "max_tokens" not in body


@pytest.mark.parametrize(
    ("address", "full", "path"),
    [
        ("http://a", "http://a/v1/chat/completions", "/v1/chat/completions"),
        ("http://a/", "http://a/v1/chat/completions", "/v1/chat/completions"),
        ("http://a/v1", "http://a/v1/chat/completions", "/chat/completions"),
        ("http://a/v1/", "http://a/v1/chat/completions", "/chat/completions"),
        ("http://a/proxy", "http://a/proxy/v1/chat/completions", "/v1/chat/completions"),
        ("http://a/v1/chat/completions", "http://a/v1/chat/completions", ""),
        ("a:80", "http://a:80/v1/chat/completions", "/v1/chat/completions"),
        ("http://a/x?v=1", "http://a/x/v1/chat/completions?v=1", "/v1/chat/completions?v=1"),
    ],
)
def test_an_address_may_hold_part_of_the_path(address: str, full: str, path: str) -> None:
    backend = OpenAI(url=address)
    assert backend.full_url() == full
    assert backend.encode(ASKED).path == path
    assert backend.encode(ASKED).path == path


def test_the_listing_of_models_is_asked_below_the_address() -> None:
    assert OpenAI(url="http://a").models_path == "/v1/models"
    assert OpenAI(url="http://a/v1").models_path == "/models"
    assert OpenAI(url="http://a/proxy").models_path == "/v1/models"


def test_host_and_port_make_an_address() -> None:
    assert OpenAI(host_ip="1.2.3.4", host_port=9).full_url() == "http://1.2.3.4:9/v1/chat/completions"
    assert OpenAI(host_ip="::1", host_port=9, enable_ssl=True).full_url() == "https://[::1]:9/v1/chat/completions"


def listing(name: str) -> dict[str, Any]:
    return dict(json.loads(capture(name).partition(b"\r\n\r\n")[2]))


def test_models_are_read_from_the_listing() -> None:
    assert OpenAI(url=URL).model_from(listing("vllm_models.raw")) == "tiny"
    assert max_model_len(listing("vllm_models.raw"), "tiny") == 2048
    assert max_model_len(listing("llamacpp_models.raw"), "tiny") is None
    assert model_note(listing("vllm_models.raw")) == ""
    assert "2 models" in model_note({"data": [{"id": "a"}, {"id": "b"}]})
    with pytest.raises(UsageError, match="--model"):
        model_from({"data": []})


@pytest.mark.parametrize(
    ("body", "flags"),
    [
        (b"""{"detail":"Unexpected fields in the request: {'ignore_eos'}"}""", "--body ignore_eos=null"),
        (b"""{"detail":"Unexpected fields in the request: {'a', 'b'}"}""", "--body a=null --body b=null"),
        (
            b"""{"error":{"message":"[{'type': 'extra_forbidden', 'loc': ('body', 'top_k'), 'msg': 'Extra'}]"}}""",
            "--body top_k=null",
        ),
        (
            b'{"detail":[{"type":"extra_forbidden","loc":["body","min_tokens"],"msg":"Extra"}]}',
            "--body min_tokens=null",
        ),
        (
            b'{"detail":[{"loc":["body","min_tokens"],"msg":"extra fields not permitted","type":"value_error.extra"}]}',
            "--body min_tokens=null",
        ),
        (
            b'{"detail":[{"type":"extra_forbidden","loc":["body","stream_options","continuous_usage_stats"],"msg":"x"}]}',
            """--body 'stream_options={"include_usage": true}'""",
        ),
        (b'{"error":{"message":"Unrecognized request argument supplied: ignore_eos"}}', "--body ignore_eos=null"),
        (b'{"error":{"message":"Unknown parameter: \'ignore_eos\'."}}', "--body ignore_eos=null"),
        (b"Failed to deserialize: unknown field `ignore_eos`, expected one of `model`", "--body ignore_eos=null"),
        (b'{"error":"json: unknown field \\"ignore_eos\\""}', "--body ignore_eos=null"),
        (
            b"""{"error":{"message":"Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}}""",
            "--body max_completion_tokens=true",
        ),
    ],
)
def test_a_probe_says_which_flag_turns_a_field_off(body: bytes, flags: str) -> None:
    assert probe_hint(422, body).endswith(flags)
    assert probe_hint(500, body) == ""


def test_a_probe_refused_for_another_reason_gives_no_hint() -> None:
    for name in ("vllm_err_nomodel.raw", "vllm_err_badjson.raw", "hfserve_err_othermodel.raw", "vllm_err_toolong.raw"):
        assert probe_hint(400, capture(name).partition(b"\r\n\r\n")[2]) == ""


def test_listings_say_the_length_in_several_ways() -> None:
    listing = {"data": [{"id": "a", "context_length": 5}, {"id": "b", "meta": {"n_ctx_train": 6}}, "odd", {"id": "c"}]}
    assert [max_model_len(listing, name) for name in "abcd"] == [5, 6, None, None]
