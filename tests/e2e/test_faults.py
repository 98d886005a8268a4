"""What the mock does wrong on purpose is counted exactly, class by class."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from loadgen.mock.process import MockProcess
from support.runs import run

COUNT = 40
EVERY = 4
CLASSES = {"500": "http_5xx", "503": "http_503", "429": "http_429", "404": "http_4xx", "redirect": "http_3xx",
           "reset": "truncated", "cut": "truncated", "nodone": "truncated", "garbage": "parse", "errevent": "in_band",
           "stall": "timeout", "empty": "empty", "slow-headers": "timeout"}
LIMITS = ("--idle-timeout", "400ms", "--first-token-timeout", "700ms")


@pytest.mark.parametrize("fault", CLASSES)
def test_a_fault_is_a_failure_of_its_class(fault: str, tmp_path: Path) -> None:
    with MockProcess(["--ttft", "5ms", "--itl", "1ms", "--slow", "5s", "--fault", f"{fault}:1/{EVERY}"]) as mock:
        result = run(mock.url, tmp_path / "run", "--requests", str(COUNT), *LIMITS)
        injected = mock.truth()["faults"]
    assert injected == {fault: COUNT // EVERY}
    requests = result.summary["requests"]
    assert requests["failures"] == {CLASSES[fault]: COUNT // EVERY}
    assert (requests["offered"], requests["succeeded"]) == (COUNT, COUNT - COUNT // EVERY)
    assert requests["failed"] == COUNT // EVERY
    assert result.code == 3
    assert "errors" in result.failing
    assert Counter(row["failure"] for row in result.rows) == {"": COUNT - COUNT // EVERY,
                                                             CLASSES[fault]: COUNT // EVERY}


def test_a_refused_request_is_a_failure_or_a_counted_retry(tmp_path: Path) -> None:
    with MockProcess(["--ttft", "5ms", "--itl", "1ms", "--fault", f"refuse:1/{EVERY}"]) as mock:
        result = run(mock.url, tmp_path / "run", "--requests", str(COUNT))
        injected = mock.truth()["faults"]["refuse"]
    requests = result.summary["requests"]
    retried = sum(row["reconnects"] for row in result.rows)
    assert retried + requests["failures"].get("truncated", 0) == injected
    assert requests["failures"].get("truncated", 0) + requests["succeeded"] == COUNT
    assert retried > 0


def test_faults_of_several_kinds_in_one_run(tmp_path: Path) -> None:
    faults = ["--fault", "500:0.1", "--fault", "cut:0.1", "--fault", "errevent:0.1", "--fault", "429:0.1"]
    with MockProcess(["--ttft", "5ms", "--itl", "1ms", "--seed", "3", *faults]) as mock:
        result = run(mock.url, tmp_path / "run", "--requests", "100", "--rate", "100")
        injected = mock.truth()["faults"]
    assert len(injected) == 4
    assert result.summary["requests"]["failures"] == {CLASSES[kind]: count for kind, count in injected.items()}


def test_a_broken_answer_without_streaming_fails_too(tmp_path: Path) -> None:
    for fault, kind in (("500", "http_5xx"), ("cut", "truncated"), ("garbage", "parse")):
        with MockProcess(["--ttft", "5ms", "--itl", "1ms", "--fault", f"{fault}:1/{EVERY}"]) as mock:
            result = run(mock.url, tmp_path / fault, "--requests", str(COUNT), "--no-stream")
        assert result.summary["requests"]["failures"] == {kind: COUNT // EVERY}
