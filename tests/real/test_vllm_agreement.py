"""Times that loadgen measured against vLLM's own histograms, without and with a queue."""

from __future__ import annotations

from pathlib import Path

import pytest

from real.agreement import EARLY, Line, compare, finished, in_flight, scrape, table
from real.servers import SLOTS, ServerProcess
from support.runs import Run, run

pytestmark = pytest.mark.real
ATTEMPTS = 3
DISTURBED = {"lag", "coalesced", "loop_stall", "receive_lag"}
"""Checks that fail when the machine keeps the client from running: then it says itself that its numbers are wrong."""


def attempt(server: ServerProcess, dir: Path, requests: int, *flags: str) -> tuple[Run, list[Line]]:
    """Make a run, whose counts are right whatever else the machine does."""
    before = scrape(server)
    result = run(server.url, dir, "--backend", "vllm", "--requests", str(requests), *flags)
    assert result.summary["requests"]["succeeded"] == requests, result.err
    lines = compare(result.summary, before, scrape(server, finished(before) + requests))
    tokens = sum(row["output_tokens"] for row in result.rows)
    at_first = sum(row["token_count"][0] for row in result.rows)
    assert [line.server.count for line in lines] == [requests, tokens - requests, requests, requests]
    assert [line.count for line in lines] == [requests, tokens - at_first, requests, requests]
    early = [line.text() for line in lines if line.metric in ("ttft", "e2e") and line.off < -EARLY]
    assert not early, "seen before the server had sent it"
    return result, lines


def agreeing(capsys: pytest.CaptureFixture[str], server: ServerProcess, dir: Path, requests: int, *flags: str) -> Run:
    """Make a run that agrees with the server, and print the table; a run that was disturbed gets another try."""
    for number in range(1, ATTEMPTS + 1):
        result, lines = attempt(server, dir / str(number), requests, *flags, "--seed", str(100 * requests + number))
        disturbed = result.failing & DISTURBED
        with capsys.disabled():
            invalid = ", ".join(sorted(result.failing)) or "nothing"
            print(f"\n{' '.join(flags)}   not valid for: {invalid}\n{table(lines)}")
        if all(line.agrees for line in lines):
            return result
        assert disturbed, "the run finds its numbers right, and the server others"
    raise AssertionError(f"the machine was too busy, {ATTEMPTS} times: the runs say so themselves by {disturbed}")


def test_times_agree_without_a_queue(vllm: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = agreeing(capsys, vllm, tmp_path, 60, "--rate", "5", "--output-tokens", "100")
    assert in_flight(result.rows) < SLOTS


def test_times_agree_with_a_queue_which_the_verdict_sees(vllm: ServerProcess, tmp_path: Path,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    result = agreeing(capsys, vllm, tmp_path, 100, "--rate", "25", "--output-tokens", "400")
    assert in_flight(result.rows) > 2 * SLOTS
    rows = sorted(result.rows, key=lambda row: row["due"])
    waited = [row["token_at"][0] - row["sent"] for row in rows]
    assert sum(waited[-30:]) > 5 * sum(waited[:30])
    assert result.code == 3
    assert "steady_state" in result.failing
    assert "UNSTABLE" in result.out


def test_a_closed_loop_beyond_the_slots_waits_for_them(vllm: ServerProcess, tmp_path: Path) -> None:
    medians = {}
    for number in (SLOTS // 2, 2 * SLOTS):
        result = run(vllm.url, tmp_path / str(number), "--backend", "vllm", "--concurrency", str(number), "--requests",
                     "64", "--output-tokens", "60", "--seed", f"5{number}")
        assert result.summary["requests"]["succeeded"] == 64, result.err
        medians[number] = result.summary["metrics"]["ttft"]["p50"]
    assert medians[2 * SLOTS] > 3 * medians[SLOTS // 2]
