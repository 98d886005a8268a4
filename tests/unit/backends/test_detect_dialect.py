"""An answer of another dialect is told by its fields, and so is a server by what it answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.backends.detect_dialect import dialect_of, dialects, explained, server_of
from loadgen.backends.mindie import MindIE
from loadgen.backends.openai import OpenAI
from loadgen.backends.tgi import TGI
from loadgen.types import Failure
from support.replay import ASKED, URL, capture, failed, stream, timeline_of

NAMES = dialects()
EVENTS: dict[str, Any] = {
    "openai": {"id": "x", "choices": []},
    "tgi": {"index": 1, "token": {"id": 5, "text": "a"}, "generated_text": None},
    "mindie": {"prefill_time": 4.5, "decode_time": None, "token": {"id": [5], "text": "a"}},
    "triton": {"model_name": "m", "model_version": "1", "text_output": "a"},
    "mindie-triton": {"model_name": "m", "text_output": "a", "details": {"generated_tokens": 1}},
    "vllm-legacy": {"text": ["a"]},
}


@pytest.mark.parametrize("dialect", EVENTS)
def test_a_dialect_is_told_by_its_first_object(dialect: str) -> None:
    whole = json.dumps(EVENTS[dialect]).encode()
    for payload in (whole, b"data: " + whole + b"\n\ndata: {", b":\n\ndata:" + whole + b"\r\n\r\n", whole + b"\0{"):
        assert dialect_of(payload) == dialect
    assert dialect in NAMES


@pytest.mark.parametrize("payload", [b"", b"data: [DONE]\n\n", b"{", b"\xff{\xff}", b'{"a": 1}', b"[1]",
                                     b'{"text": "a"}'])
def test_others_tell_nothing(payload: bytes) -> None:
    assert dialect_of(payload) == ""


@given(st.binary(max_size=200))
def test_no_bytes_raise(payload: bytes) -> None:
    assert dialect_of(payload) in ("", *NAMES)


@pytest.mark.parametrize(("backend", "dialect", "flags"), [
    (OpenAI(url=URL), "tgi", "--backend tgi"),
    (OpenAI(url=URL), "triton", "--backend triton --endpoint generate"),
    (TGI(url=URL), "openai", "--backend openai"),
    (MindIE(url=URL, endpoint="infer"), "openai", "--backend openai"),
    (MindIE(url=URL, endpoint="triton"), "openai", "--backend openai"),
    (MindIE(url=URL, endpoint="vllm-legacy"), "vllm-legacy", ""),
])
def test_the_failure_says_which_backend_it_is(backend: OpenAI, dialect: str, flags: str) -> None:
    if flags:
        failure = failed(stream(EVENTS[dialect], done=False), backend=backend)
        assert failure.detail.startswith(f"this looks like {NAMES[dialect][0]}: {flags}; ")
    else:
        assert "looks like" not in failed(b'{"text":[""]}\0', backend=backend).detail


def test_a_real_answer_of_another_server() -> None:
    failure = TGI(url=URL).decode(timeline_of(capture("vllm_chat_stream.raw")), ASKED).failure
    assert failure is not None
    assert "--backend openai" in failure.detail


def test_an_answer_with_tokens_or_of_the_own_dialect_is_not_explained() -> None:
    cut = stream(EVENTS["tgi"], done=False)
    assert "looks like" not in failed(cut, backend=TGI(url=URL)).detail
    assert "looks like" not in failed(b"", backend=TGI(url=URL)).detail
    known = Failure("timeout", "idle")
    assert explained(known, cut, "openai") == known


def test_a_server_is_told_by_what_it_answers() -> None:
    answers: dict[str, dict[str, Any]] = {
        "tgi": {"/info": {"model_id": "m", "max_total_tokens": 9}, "/v1/models": {"data": []}},
        "mindie": {"/v2": {"name": "MindIE Server", "extensions": {}}, "/v1/models": {"data": []}},
        "triton": {"/v2": {"name": "triton", "extensions": []}},
        "openai": {"/v1/models": {"data": []}},
        "": {"/info": ["x"], "/v2": 1, "/v1/models": {}},
    }
    for name, known in answers.items():
        assert server_of(known.get) == name
