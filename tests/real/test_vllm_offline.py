"""vLLM's engine in a process of loadgen's own: its tokens and times beside ours, bad requests, and what is left of it."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from servers import PATIENCE

from tests.runs import Run

pytestmark = pytest.mark.real
TOKENS = 64
REQUESTS = 40
CONTEXT = 1024
DISTURBED = {"lag", "loop_stall", "steady_state", "little", "duration", "sample_size", "precision"}
"""Checks that fail on a busy machine, or because a run is as short as a test's."""
MS = 1_000_000
Command = Callable[..., list[str]]


@pytest.fixture(scope="module")
def offline(vllm_env: Path) -> Command:
    """Makes the command line of a run with a model: offline(backend, path, dir, *flags)."""

    def command(backend: str, path: Path, dir: Path, *flags: str) -> list[str]:
        return [str(vllm_env / "bin" / "python"), "-m", "loadgen", "run", "--backend", backend, "--path", str(path),
                "--out", str(dir), "--quiet", "--warmup", "0s", "--no-cooldown", "--max-seq-len", str(CONTEXT),
                "--engine", "enforce_eager=true", *flags]

    return command


def environment() -> dict[str, str]:
    return {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"}


def finished(command: list[str], dir: Path) -> Run:
    """Run a command to its end."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE, env=environment(), check=False)
    return Run(done.returncode, done.stdout, done.stderr, dir)


@pytest.fixture(scope="module")
def text_run(offline: Command, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in which all is well."""
    dir = tmp_path_factory.mktemp("text") / "run"
    result = finished(offline("vllm-offline", model, dir, "--rate", "5", "--requests", str(REQUESTS), "--input-tokens",
                              "100", "--output-tokens", str(TOKENS), "--engine", "max_num_seqs=16"), dir)
    assert result.code in (0, 3), result.err
    return result


def test_every_token_is_counted_as_the_engine_counts_it(text_run: Run) -> None:
    assert text_run.summary["requests"]["succeeded"] == REQUESTS
    assert not text_run.failing - DISTURBED
    for row in text_run.rows:
        assert row["output_tokens"] == row["usage_tokens"] == sum(row["token_count"]) == TOKENS
        assert row["output_source"] == "token ids" and row["finish_reason"] == "length"


def test_gaps_add_up_to_the_time_from_first_to_last(text_run: Run) -> None:
    itl = text_run.summary["metrics"]["itl"]
    whole = sum(row["token_at"][-1] - row["token_at"][0] for row in text_run.rows)
    at_first = sum(row["token_count"][0] for row in text_run.rows)
    assert itl["count"] == REQUESTS * TOKENS - at_first
    assert itl["mean"] * itl["count"] == pytest.approx(whole, rel=1e-9, abs=itl["count"])


def test_our_times_contain_those_of_the_engine(text_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """The engine's clock starts after the prompt is made and stops before the token has come out."""
    firsts, decodes = [], []
    for row in text_run.rows:
        times = dict(row["server"])
        first = row["token_at"][0] - row["sent"]
        firsts.append(first - times["server_preprocess"] - times["server_queue"] - times["server_prefill"])
        decodes.append(row["token_at"][-1] - row["token_at"][0] - times["server_decode"])
    firsts.sort()
    decodes.sort(key=abs)
    half = len(firsts) // 2
    with capsys.disabled():
        print(f"\nttft beyond the engine's: p50 {firsts[half] / MS:.2f} ms, max {firsts[-1] / MS:.2f} ms; decode beyond "
              f"the engine's: p50 {decodes[half] / MS:.2f} ms, max {decodes[-1] / MS:.2f} ms   {text_run.failing}")
    assert firsts[0] >= 0, "a token was seen before the engine had made it"
    if not text_run.failing & {"lag", "loop_stall"}:
        assert firsts[half] < 10 * MS and abs(decodes[half]) < 10 * MS


def test_nobody_is_told_and_nothing_of_the_engine_is_left(text_run: Run) -> None:
    log = (text_run.dir / "model.log").read_text()
    assert "Traceback" not in log and "deprecated and will be removed" not in log
    assert not processes_of(text_run.dir)


MIXED = [
    {"prompt": "ba ko ri", "max_tokens": 900},  # holds the only slot until its timeout: then it must be aborted
    {"prompt": "tu men", "max_tokens": 8},
    {"prompt": "sol " * 2000, "max_tokens": 8},
    {"prompt": "dex ly", "max_tokens": 40, "body": {"ignore_eos": False, "stop_token_ids": list(range(3, 1500))}},
    {"prompt": "or in", "max_tokens": 8, "body": {"temperature": -1}},
    {"prompt": "st ger", "max_tokens": 8},
]


@pytest.fixture(scope="module")
def mixed(offline: Command, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """The rows of a run of MIXED, one slot, in the order of its lines."""
    dir = tmp_path_factory.mktemp("mixed")
    (dir / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in MIXED))
    result = finished(offline("vllm-offline", model, dir / "run", "--prompts", str(dir / "prompts.jsonl"), "--rate",
                              "2", "--arrivals", "constant", "--requests", str(len(MIXED)), "--timeout", "2500ms",
                              "--engine", "max_num_seqs=1", "--no-stream-check"), dir / "run")
    assert result.code == 3, result.err
    yield sorted(result.rows, key=lambda row: row["index"])


def test_a_request_that_nobody_waits_for_gives_its_slot_back(mixed: list[dict[str, Any]]) -> None:
    assert mixed[0]["failure"] == "timeout"
    assert mixed[1]["failure"] == mixed[5]["failure"] == ""


def test_a_prompt_that_is_too_long_is_told_with_the_numbers(mixed: list[dict[str, Any]]) -> None:
    assert mixed[2]["failure"] == "too_long" and f"{CONTEXT:,}" in mixed[2]["detail"]


def test_an_answer_may_end_by_itself(mixed: list[dict[str, Any]]) -> None:
    assert mixed[3]["finish_reason"] == "stop" and mixed[3]["output_tokens"] < 40


def test_an_option_that_vllm_refuses_fails_its_request_with_the_reason(mixed: list[dict[str, Any]]) -> None:
    assert mixed[4]["failure"] == "backend" and "temperature" in mixed[4]["detail"]


def picture(width: int, height: int) -> str:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 80, 20)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
