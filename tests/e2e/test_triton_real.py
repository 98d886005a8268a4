"""Runs against a real tritonserver: every endpoint, exact counts, and what users get wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.backends import registry
from loadgen.backends.triton.backend import Triton
from loadgen.plan import Plan, Target
from loadgen.preflight.server import PlanServer
from loadgen.protocols.grpc.ask import ask
from loadgen.protocols.http.limits import Limits
from loadgen.types import Request
from support.runs import Run, run
from support.tritonserver.server import CantRunError, TritonServer, running

COUNT = 30
CASES = ("grpc", "generate")


@pytest.fixture(scope="module")
def server() -> Iterator[TritonServer]:
    try:
        with running() as found:
            yield found
    except CantRunError as reason:
        pytest.skip(f"no real tritonserver: {reason}")


def measured(server: TritonServer, dir: Path, endpoint: str, *flags: str) -> Run:
    """Make a short run; counts of the server itself are those of this run, as nothing else is asked of it."""
    url = server.grpc if endpoint == "grpc" else f"http://{server.http}"
    length = () if "--input-data" in flags else ("--requests", str(COUNT))
    return run(url, dir, "--backend", "triton", "--endpoint", endpoint, "--metrics-url",
               f"http://{server.metrics}/metrics", *length, *flags)


def texts(path: Path, *prompts: str) -> str:
    file = path / "prompts.jsonl"
    file.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    return str(file)


@pytest.mark.parametrize("model", ["llm", "llm_sep"])
@pytest.mark.parametrize("endpoint", CASES)
@pytest.mark.parametrize("how", ["--stream", "--no-stream"])
def test_every_request_succeeds_and_every_token_is_counted(server: TritonServer, tmp_path: Path, endpoint: str,
                                                           model: str, how: str) -> None:
    result = measured(server, tmp_path / "run", endpoint, "--model", model, how)
    assert result.summary["requests"]["failures"] == {}
    assert result.summary["requests"]["succeeded"] == COUNT
    exact = model == "llm_sep"  # it has the counters of the vLLM backend
    for row in result.rows:
        tokens = 8 if exact or how == "--stream" else -1
        assert row["output_tokens"] == tokens
        assert len(row["token_at"]) == (8 if how == "--stream" else 1)
        assert row["finish_reason"] == ("length" if exact else "")
    assert ("ttft" in result.summary["metrics"]) == (how == "--stream")
    counted = result.summary["server"]["models"][model]
    assert counted["success"]["count"] == counted["inference_count"] == COUNT
    assert result.summary["server"]["metrics"][f"nv_inference_request_success{{model={model}}}"] == COUNT


def test_the_report_of_the_files_knows_the_server_too(server: TritonServer, tmp_path: Path) -> None:
    from loadgen.run_files.read_back import replay

    result = measured(server, tmp_path / "run", "grpc", "--model", "llm")
    assert replay(tmp_path / "run").server == result.summary["server"]
    assert f"llm {COUNT} inferences   queue" in result.out


def test_grpcio_carries_the_same(server: TritonServer, tmp_path: Path) -> None:
    result = measured(server, tmp_path / "run", "grpc", "--model", "llm_sep", "--grpc-client", "grpcio")
    assert result.summary["requests"]["succeeded"] == COUNT
    assert {row["output_tokens"] for row in result.rows} == {8}


@pytest.mark.parametrize("endpoint", CASES)
def test_responses_may_carry_several_tokens(server: TritonServer, tmp_path: Path, endpoint: str) -> None:
    prompts = texts(tmp_path, *["PAIRS of tokens"] * 10)
    result = measured(server, tmp_path / "run", endpoint, "--model", "llm_sep", "--prompts", prompts,
                      "--output-tokens", "7", "--requests", "10")
    assert [row["token_count"] for row in result.rows] == [[2, 2, 2, 1]] * 10


@pytest.mark.parametrize("endpoint", CASES)
def test_a_failure_in_the_middle_is_in_band(server: TritonServer, tmp_path: Path, endpoint: str) -> None:
    prompts = texts(tmp_path, *["this will FAIL", "this will not"] * 10)
    result = measured(server, tmp_path / "run", endpoint, "--model", "llm_sep", "--prompts", prompts,
                      "--output-tokens", "8", "--requests", "20")
    assert result.summary["requests"]["failures"] == {"in_band": 10}
    failed = [row for row in result.rows if row["failure"]]
    assert {row["detail"] for row in failed} == {"made-up failure mid stream"}
    assert {len(row["token_at"]) for row in failed} == {2}


# A model that is no language model.


def entries(path: Path, *entries: object) -> str:
    file = path / "data.json"
    file.write_text(json.dumps({"data": entries}))
    return str(file)


CAT = {"image": {"content": [0.25] * 12, "shape": [3, 2, 2]}, "label": ["cat"]}
DOG = {"image": [1.0] * 27, "label": ["dog"]}


@pytest.mark.parametrize("endpoint", ["grpc", "infer"])
def test_a_classifier_is_measured_end_to_end(server: TritonServer, tmp_path: Path, endpoint: str) -> None:
    data = entries(tmp_path, CAT, DOG, {**CAT, "label": "FAIL"}, DOG)
    result = measured(server, tmp_path / "run", endpoint, "--model", "classifier", "--input-data", data, "--shape",
                      "image:3,3,3", "--outputs")
    requests = result.summary["requests"]
    assert (requests["offered"], requests["succeeded"]) == (4, 3)
    assert requests["failures"] == {"grpc_internal" if endpoint == "grpc" else "http_5xx": 1}
    assert "made-up failure of a classifier" in next(row["detail"] for row in result.rows if row["failure"])
    assert {"e2e", "ttft"} & result.summary["metrics"].keys() == {"e2e"}
    assert result.plan["resolved"]["provenance"]["workload"]["entries"] == 4
    counted = result.summary["server"]["models"]["classifier"]
    assert counted["success"]["count"] + counted["fail"]["count"] == 4
    assert "output tokens/s" not in result.out


@pytest.mark.parametrize("kind", ["random", "zero"])
def test_a_classifier_without_data_gets_made_up_tensors(server: TritonServer, tmp_path: Path, kind: str) -> None:
    result = measured(server, tmp_path / "run", "grpc", "--model", "classifier", "--shape", "image:3,8,8",
                      "--input-data", kind, "--requests", "10")
    assert result.summary["requests"]["succeeded"] == 10


def test_a_language_model_takes_input_data_too(server: TritonServer, tmp_path: Path) -> None:
    data = entries(tmp_path, {"text_input": ["PAIRS"]}, {"text_input": "one"})
    result = measured(server, tmp_path / "run", "grpc", "--model", "llm_sep", "--input-data", data, "--output-tokens",
                      "6")
    assert sorted(len(row["token_at"]) for row in result.rows) == [3, 6]
    assert {row["output_tokens"] for row in result.rows} == {6}


def test_what_the_model_answered_is_what_it_was_given(server: TritonServer, tmp_path: Path) -> None:
    """The tensors arrive as they were meant: the classifier says what it saw, over both protocols."""
    for endpoint in ("grpc", "infer"):
        url = server.grpc if endpoint == "grpc" else f"http://{server.http}"
        plan = Plan(target=Target("triton", (url,), "classifier", endpoint, probe=False))
        plan = replace(plan, workload=replace(plan.workload, input_data=entries(tmp_path, CAT)))
        backend = registry.make(plan.target)
        assert isinstance(backend, Triton)
        addresses = backend.connect(plan, PlanServer(plan, lambda text: None)).addresses
        call = backend.encode(Request(0))
        if endpoint == "grpc":
            answer = bytes(ask(addresses[0], call, Limits()).payload)
        else:
            from loadgen.preflight.http import ask as ask_http

            answer = ask_http(addresses[0], call, 10).body
        assert b"cat [1, 3, 2, 2] 3" in answer


# What users get wrong.


@pytest.mark.parametrize(("endpoint", "flags", "words"), [
    *((endpoint, ("--model", "lm"), "no model 'lm'; did you mean llm?; loaded: classifier, llm, llm_sep")
      for endpoint in CASES),
    *((endpoint, ("--model", "unloaded"), "is in the server's repository but not loaded") for endpoint in CASES),
    ("grpc", (), "which model? give --model; loaded: classifier, llm, llm_sep"),
    ("infer", ("--model", "llm"), "the model llm is decoupled, it answers with any number of responses"),
    ("generate", ("--model", "classifier"), "has no text_input and text_output for --endpoint generate"),
    ("grpc", ("--model", "classifier"), "write --shape image:3,N,N with numbers for N, or give --input-data FILE"),
    ("grpc", ("--model", "llm", "--body", "strem=true"), "no input tensor 'strem'; did you mean stream?"),
    ("grpc", ("--model", "llm", "--body", "max_tokens=many"), "max_tokens INT32[1] holds whole numbers, not 'many'"),
    ("grpc", ("--model", "llm", "--input-data", "random"), "leave out --input-data random"),
])
def test_a_mistake_is_told_before_the_clock_starts(server: TritonServer, tmp_path: Path, endpoint: str,
                                                   flags: tuple[str, ...], words: str) -> None:
    result = measured(server, tmp_path / "run", endpoint, *flags, *(("--requests", "5") if "random" in flags else ()))
    assert result.code == 2
    assert words in result.err


def test_a_wrong_tensor_in_the_file_is_named(server: TritonServer, tmp_path: Path) -> None:
    data = entries(tmp_path, CAT, {**CAT, "label": 3})
    result = measured(server, tmp_path / "run", "grpc", "--model", "classifier", "--input-data", data)
    assert (result.code, result.out) == (2, "")
    assert "entry 1: the tensor label BYTES[-1, 1] holds texts, not 3" in result.err


def test_the_wrong_port_is_told(server: TritonServer, tmp_path: Path) -> None:
    swapped = replace(server, grpc=server.http, http=server.grpc)
    for endpoint, words in (("grpc", "is this Triton's gRPC port?"), ("generate", "is this Triton's HTTP port?")):
        result = measured(swapped, tmp_path / "run", endpoint, "--model", "llm")
        assert result.code == 2
        assert words in result.err


def test_a_first_request_that_the_server_refuses_ends_the_run(server: TritonServer, tmp_path: Path) -> None:
    result = measured(server, tmp_path / "run", "grpc", "--model", "llm", "--probe", "--body",
                      'parameters={"priority": "high"}')
    assert result.code == 2
    assert "the server refused a first request" in result.err


def test_a_unary_call_of_a_decoupled_model_is_explained(server: TritonServer) -> None:
    plan = Plan(target=Target("triton", (server.grpc,), "llm", probe=False))
    backend = registry.make(plan.target)
    assert isinstance(backend, Triton)
    addresses = backend.connect(plan, PlanServer(plan, lambda text: None)).addresses
    assert backend.known is not None
    backend.known = replace(backend.known, decoupled=False)
    request = Request(0, prompt="a", max_output_tokens=2)
    failure = backend.decode(ask(addresses[0], backend.encode(request), Limits()), request).failure
    assert failure is not None
    assert failure.kind == "grpc_unimplemented"
    assert "answers with any number of responses, which a unary call can't take" in failure.detail
