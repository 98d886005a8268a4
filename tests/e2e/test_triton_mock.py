"""The mock's Triton, over HTTP and over gRPC: exact counts, every fault, and clients that are not ours."""

from __future__ import annotations

import queue
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as tritonclient
import trustme

from loadgen.mock.process import MockProcess
from support.runs import Run, run

PACE = ("--dialect", "triton", "--ttft", "20ms", "--itl", "2ms")
OVER_BOTH = {"reset": "truncated", "cut": "truncated", "nodone": "truncated", "garbage": "parse", "errevent": "in_band",
             "stall": "timeout", "empty": "empty", "redirect": "http_3xx"}
CLASSES = {
    "grpc": {**OVER_BOTH, "500": "grpc_internal", "503": "grpc_unavailable", "429": "grpc_resource_exhausted",
             "404": "grpc_not_found", "overload": "in_band"},
    "generate": {**OVER_BOTH, "500": "http_5xx", "503": "http_503", "429": "http_429", "404": "http_4xx",
                 "overload": "http_503"}}
EVERY = 16


def measured(mock: MockProcess, dir: Path, endpoint: str, *flags: str) -> Run:
    url = mock.url.partition("://")[2] if endpoint == "grpc" else mock.url
    return run(url, dir, "--backend", "triton", "--endpoint", endpoint, "--model", "mock", "--rate", "200",
               "--requests", str(2 * EVERY), *flags)


@pytest.mark.parametrize("endpoint", CLASSES)
@pytest.mark.parametrize("how", ["--stream", "--no-stream"])
def test_every_fault_is_counted_exactly(endpoint: str, how: str, tmp_path: Path) -> None:
    classes = dict(CLASSES[endpoint])
    if (endpoint, how) == ("generate", "--no-stream"):
        del classes["nodone"]  # the end of the body is the only end that there is
    faults = [part for kind in classes for part in ("--fault", f"{kind}:1/{EVERY}")]
    with MockProcess([*PACE, *faults]) as mock:
        result = measured(mock, tmp_path / "run", endpoint, how, "--idle-timeout", "1s")
        truth = mock.truth()
    assert truth["faults"] == dict.fromkeys(classes, 2)
    expected = Counter(kind for kind in classes.values() for _ in range(2))
    assert Counter(row["failure"] for row in result.rows if row["failure"]) == expected
    good = [row for row in result.rows if not row["failure"]]
    assert len(good) == 2 * EVERY - 2 * len(classes)
    for row in good:
        assert (row["output_tokens"], sum(row["token_count"]), row["finish_reason"]) == (8, 8, "length")
        assert (row["output_source"], row["input_source"]) == ("server details", "server details")
        assert len(row["token_at"]) == (8 if how == "--stream" else 1)


def test_a_refused_stream_is_sent_again_and_counted(tmp_path: Path) -> None:
    with MockProcess([*PACE, "--fault", "refuse:1/4"]) as mock:
        result = measured(mock, tmp_path / "run", "grpc")
        refused = mock.truth()["faults"]["refuse"]
    requests = result.summary["requests"]
    again = sum(row["reconnects"] for row in result.rows)
    assert again > 0
    assert again + requests["failed"] == refused
    assert requests["succeeded"] + requests["failed"] == 2 * EVERY


@pytest.mark.parametrize("endpoint", CLASSES)
def test_tokens_are_counted_to_the_truth(endpoint: str, tmp_path: Path) -> None:
    with MockProcess([*PACE, "--tokens-per-event", "3", "--eos-share", "0.5"]) as mock:
        result = measured(mock, tmp_path / "run", endpoint, "--body", "ignore_eos=null", "--body", "min_tokens=null",
                          "--output-tokens", "20")
        truth = mock.truth(2 * EVERY)
    lengths = Counter(record["tokens"] for record in truth["requests"])
    assert Counter(row["output_tokens"] for row in result.rows) == lengths
    assert len(lengths) > 3
    assert result.summary["server"]["models"]["mock"]["success"]["count"] == 2 * EVERY


def test_grpcio_is_a_client_of_the_mock(tmp_path: Path) -> None:
    with MockProcess(PACE) as mock:
        result = measured(mock, tmp_path / "run", "grpc", "--grpc-client", "grpcio")
    assert result.summary["requests"]["succeeded"] == 2 * EVERY
    assert {row["output_tokens"] for row in result.rows} == {8}


def test_large_prompts_and_tls(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    with MockProcess([*PACE, "--max-model-len", "9999999", "--tls-cert", str(tmp_path / "server.pem")]) as mock:
        url = mock.url.replace("https", "grpcs")
        result = run(url, tmp_path / "run", "--backend", "triton", "--model", "mock", "--ca", str(tmp_path / "ca.pem"),
                     "--requests", "5", "--rate", "10", "--input-tokens", "100000", "--output-tokens", "4")
    assert result.summary["requests"]["succeeded"] == 5
    assert {(row["input_tokens"], row["output_tokens"]) for row in result.rows} == {(100000, 4)}


def test_the_wrong_key_is_told(tmp_path: Path) -> None:
    with MockProcess([*PACE, "--api-key", "right"]) as mock:
        wrong = measured(mock, tmp_path / "wrong", "grpc", "--probe", "--api-key", "wrong")
        right = measured(mock, tmp_path / "right", "grpc", "--probe", "--api-key", "right")
    assert wrong.code == 2
    assert "grpc_unauthenticated" in wrong.err
    assert right.summary["requests"]["succeeded"] == 2 * EVERY


def test_tritonclient_is_a_client_of_the_mock() -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with MockProcess(PACE) as mock, tritonclient.InferenceServerClient(mock.url.partition("://")[2]) as client:
        assert client.is_server_ready()
        assert client.is_model_ready("mock")
        assert not client.is_model_ready("other")
        assert client.get_model_config("mock").config.model_transaction_policy.decoupled
        assert client.get_model_metadata("mock").inputs[0].name == "text_input"
        text = tritonclient.InferInput("text_input", [1], "BYTES")
        text.set_data_from_numpy(np.array([b"a b c"], dtype=np.object_))
        stream = tritonclient.InferInput("stream", [1], "BOOL")
        stream.set_data_from_numpy(np.array([True]))
        length = tritonclient.InferInput("max_tokens", [1], "INT32")
        length.set_data_from_numpy(np.array([3], dtype=np.int32))
        client.start_stream(lambda result, error: answers.put((result, error)))
        client.async_stream_infer("mock", [text, stream, length], enable_empty_final_response=True)
        got = [answers.get(timeout=10) for _ in range(4)]
        client.stop_stream()
        with pytest.raises(tritonclient.InferenceServerException, match="decoupled"):
            client.infer("mock", [text])
        truth = mock.truth(1)
    assert [error for _, error in got] == [None] * 4
    assert b"".join(result.as_numpy("text_output")[0] for result, _ in got[:3]) == b" the of load"
    assert got[3][0].get_response().parameters["triton_final_response"].bool_param
    assert (truth["requests"][0]["tokens"], truth["requests"][0]["prompt_tokens"]) == (3, 3)
