"""The benchmarks at the smallest size that measures anything: their tables have their rows, and the matching holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import capacity

ROOT = Path(__file__).parents[2]
SMALL = ("--tokens", "500", "--output-tokens", "10", "--input-tokens", "20", "--itl", "2ms", "--ttft", "5ms",
         "--duration", "2s", "--warmup", "500ms")
COUNT = 100  # requests in 2 s


def benchmark(name: str, *flags: str) -> str:
    """Run a benchmark as a user does; returns what it printed."""
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *flags], cwd=ROOT, capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows_of(printed: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(printed)["rows"]
    return rows


@pytest.mark.quiet
def test_fidelity_matches_every_request_of_both_clients_with_the_truth() -> None:
    rows = rows_of(benchmark("fidelity", *SMALL, "--json"))
    assert [row["client"] for row in rows] == ["loadgen", "naive aiohttp"]
    for row in rows:
        assert row["offered"] == row["matched"] == COUNT
        assert row["lost"] == 0
        assert row["truth"]["ttft.p50"] >= 5_000_000
        assert row["recorded"]["ttft.p50"] > row["truth"]["ttft.p50"]
        assert set(row["error"]) == {"ttft.p50", "ttft.p99", "itl.p50", "itl.p99"}
        assert 0 <= row["merged"] < 1


@pytest.mark.quiet
def test_fidelity_prints_what_it_ran_on_and_three_lines_a_client() -> None:
    printed = benchmark("fidelity", *SMALL, "--clients", "naive", "--read", "parse", "--endpoint", "completions",
                        "--markdown")
    lines = printed.splitlines()
    assert "Python" in lines[0]
    assert [line.split("|")[1].strip() for line in lines if line.startswith("| ")][1:] == [
        "---", "500 naive aiohttp", "truth", "error"]


@pytest.mark.quiet
def test_overhead_has_a_row_for_each_process_and_a_cost_for_each() -> None:
    rows = rows_of(benchmark("overhead", *SMALL, "--only", "cpu", "--json"))
    assert [row["name"] for row in rows] == ["500 sender", "500 desk", "500 tree", "500 naive aiohttp",
                                         "500 naive aiohttp and json"]
    sender, desk, tree, naive, _ = rows
    assert tree["token"] == pytest.approx(sender["token"] + desk["token"])
    assert all(row["token"] > 0 and row["request"] > row["token"] for row in rows)
    assert naive["ratio"] == 1


@pytest.mark.quiet
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_overhead_counts_the_streams_that_were_open_at_once() -> None:
    (row,) = rows_of(benchmark("overhead", "--only", "memory", "--streams", "50", "--json"))
    assert (row["open"], row["failed"]) == (50, 0)
    assert row["full"] > 0 < row["idle"]


@pytest.mark.quiet
def test_pacing_sends_everything_and_by_the_engine_never_early() -> None:
    rows = rows_of(benchmark("pacing", "--rates", "50,500", "--duration", "1s", "--json"))
    assert [(row["rate"], row["pacing"], row["sends"]) for row in rows] == [
        (50, "engine", 50), (50, "call_at", 50), (500, "engine", 500), (500, "call_at", 500)]
    assert all(row["min"] >= 0 for row in rows if row["pacing"] == "engine")
    assert all(row["min"] <= row["p50"] <= row["p90"] <= row["p99"] <= row["max"] for row in rows)


def test_a_wrong_argument_is_told() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks.pacing", "--duration", "5"], cwd=ROOT, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 2
    assert "add a unit" in done.stderr


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import clients, truth
    return clients, truth


def test_truth_is_held_against_the_same_requests_only(known: Any) -> None:
    clients, truth = known
    logged = [{"tag": "q0", "arrival": 100, "writes": [150, 160, 170]},
              {"tag": "q1", "arrival": 200, "writes": [260, 280]},
              {"tag": "q0", "arrival": 900, "writes": [999]},  # a tag that came again: the first counts
              {"tag": "", "arrival": 5, "writes": [6]}, {"tag": "q3", "arrival": 5, "writes": []}]
    served = truth.truth_of(logged)
    assert {tag: (one.ttft, one.gaps.tolist()) for tag, one in served.items()} == {"q0": (50, [10, 10]),
                                                                                  "q1": (60, [20])}
    outcome = clients.Outcome("someone", offered=3)
    outcome.seen = {"q0": clients.Seen(1, 55, np.array([20]), 0), "q2": clients.Seen(1, 1, np.array([1]), 0)}
    compared = truth.compare(outcome, served)
    assert (compared.matched, compared.lost) == (1, 2)
    assert compared.error("ttft.p50") == pytest.approx(0.1)
    assert compared.error("itl.p99") == pytest.approx(1.0)


def test_nothing_to_compare_is_an_error(known: Any) -> None:
    clients, truth = known
    with pytest.raises(clients.MeasurementError, match="not one request"):
        truth.compare(clients.Outcome("someone", offered=3), {})


def test_the_capacity_benchmark_knows_the_capacity_and_says_what_was_found() -> None:
    args = capacity.parser().parse_args(["--slots", "16", "--ttft", "100ms", "--itl", "10ms", "--output-tokens", "7"])
    assert capacity.capacity_of(args) == 100.0
    row = {"search": 3, "start": 61.5, "low": 98.0, "high": 101.5, "off": -0.02, "covers": True, "confidence": 0.95,
           "probes": 11, "unjudged": 1, "took": 92.4}
    assert capacity.line(row) == ["3", "61.5", "98", "101.5", "-2.0%", "yes", "11", "1", "92"]
    nothing = {**row, "low": None, "high": None, "off": None, "covers": False, "confidence": 0.0}
    assert capacity.line(nothing)[2:6] == ["-", "-", "-", "no, not confirmed"]


@pytest.mark.quiet
def test_local_overhead_holds_turns_of_the_model_against_the_bare_loop() -> None:
    (row,) = rows_of(benchmark("local_overhead", "--batches", "2", "--output-tokens", "3", "--duration", "2s",
                               "--json"))
    assert row["batch"] == 2
    assert all(ours > 0 and bare > 0 for ours, bare in row["pairs"])
    assert row["ratio"] == pytest.approx(np.median([bare / ours for ours, bare in row["pairs"]]))


def test_startup_has_a_ratio_to_a_bare_interpreter_for_help_and_for_the_first_request() -> None:
    rows = rows_of(benchmark("startup", "--times", "1", "--json"))
    assert [row["what"] for row in rows] == ["python -c pass", "loadgen --help", "first request"]
    assert rows[0]["ratio"] == 1
    for row in rows:
        assert 0 < row["fastest"] == row["median"]
        assert row["ratio"] == row["median"] / rows[0]["median"]
