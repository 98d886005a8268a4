"""What a server tells of its limits is held against the requests before the clock starts."""

from __future__ import annotations

from typing import Any

import pytest

from loadgen.backends.mindie import MindIE
from loadgen.backends.openai import OpenAI
from loadgen.backends.tgi import TGI
from loadgen.backends.vllm import VLLM
from loadgen.plan import Workload
from loadgen.preflight import fit
from loadgen.types import UsageError
from loadgen.workload import Source, make

URL = "http://server"


def source(given: str, asked: str) -> Source:
    return make(Workload(input_tokens=given, output_tokens=asked))


def test_what_fits_is_silent() -> None:
    assert fit.check_fit({"max_total_tokens": 30, "max_input_tokens": 20}, source("20", "10")) == ""
    assert fit.check_fit({}, source("20", "10")) == ""
    assert fit.check_fit({"max_total_tokens": "many"}, source("20", "10")) == ""


@pytest.mark.parametrize(("told", "words"), [
    ({"max_total_tokens": 29}, "29 together"),
    ({"max_total_tokens": 50, "max_input_tokens": 19}, "a prompt of 19 tokens"),
    ({"max_total_tokens": 29, "max_input_tokens": 19}, "a prompt of 19 and 29 together"),
])
def test_what_never_fits_is_refused_with_the_numbers(told: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        fit.check_fit(told, source("20", "10"))
    assert "prompts of 20 tokens and answers of 10" in str(caught.value)


def test_what_fits_at_times_is_warned_of() -> None:
    note = fit.check_fit({"max_total_tokens": 25}, source("uniform:10,20", "10"))
    assert " of the first 100 requests won't fit" in note


def test_facts_are_the_backends() -> None:
    models = {"data": [{"id": "m", "max_model_len": 2048}]}
    assert fit.facts(OpenAI(model="m", url=URL), {"/v1/models": models}.get) == {"max_total_tokens": 2048}
    assert fit.facts(OpenAI(model="n", url=URL), {"/v1/models": models}.get) == {}
    assert fit.facts(TGI(url=URL), {"/info": {"max_total_tokens": 9}}.get) == {"max_total_tokens": 9}
    assert fit.facts(TGI(url=URL), {}.get) == {}


def test_a_wrong_server_is_named_and_the_right_one_not() -> None:
    info = {"/info": {"max_total_tokens": 9}}
    assert fit.wrong_server(TGI(url=URL), info.get) == ""
    assert fit.wrong_server(OpenAI(url=URL), info.get) == "this looks like a server of TGI: --backend tgi"
    assert fit.wrong_server(OpenAI(url=URL), {}.get) == ""
    assert fit.wrong_server(VLLM(url=URL), {"/v1/models": {"data": []}}.get) == ""


def test_the_first_request_is_one_that_the_endpoint_takes() -> None:
    assert fit.first_request(OpenAI(url=URL)).prompt
    assert fit.first_request(MindIE(url=URL, endpoint="infer-token")).prompt_ids
