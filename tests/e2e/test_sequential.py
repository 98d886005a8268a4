"""Runs that end when they are precise, and runs that are given up: the command line, and the files left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram

from loadgen.cli.main import parser
from loadgen.cli.run import plan_of
from loadgen.metrics import names
from loadgen.mock.process import MockProcess
from loadgen.plan import Plan
from loadgen.types import COOLDOWN, MEASURED, SECOND, UsageError
from support.runs import run


@pytest.fixture(scope="module")
def mock() -> Iterator[MockProcess]:
    with MockProcess(["--ttft", "normal:30ms,2ms", "--itl", "2ms"]) as server:
        yield server


def reported(dir: Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "loadgen", "report", str(dir), "--json", "--no-write"],
                          capture_output=True, text=True, check=False)
    data: dict[str, Any] = json.loads(done.stdout)
    return data


def logged(path: Path) -> int:
    """Return how many values an interval log holds."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("Tag=")]
    return sum(int(HdrHistogram.decode(line.split(",")[-1]).get_total_count()) for line in lines)


def test_a_run_that_is_precise_at_its_first_look_ends_there(mock: MockProcess, tmp_path: Path) -> None:
    result = run(mock.url, tmp_path / "run", "--rate", "100", "--requests", "50", "--slo", "ttft.p50<5s", "--precision",
                 "99%", "--max-duration", "60s")
    assert result.summary["requests"]["offered"] == 50
    assert result.summary["schedule"]["count"] == 50
    assert result.summary["window"]["length"] == SECOND // 2
    assert any("each interval is one of 97.5%" in note for note in result.summary["verdict"]["notes"])
    phases = Counter(row["phase"] for row in result.rows)
    assert phases[MEASURED] == 50 and phases[COOLDOWN] > 0
    for path in result.dir.glob("*.hlog"):
        assert logged(path) == result.summary["metrics"][path.stem]["count"]
    assert {path.stem for path in result.dir.glob("*.hlog*")} == set(names(lambda one: one.logged))
    assert reported(result.dir) == result.summary


def test_a_run_that_is_never_precise_goes_on_to_the_longest(mock: MockProcess, tmp_path: Path) -> None:
    result = run(mock.url, tmp_path / "run", "--rate", "100", "--requests", "40", "--slo", "ttft.p90<5s", "--precision",
                 "0.001%", "--max-duration", "1900ms")
    assert result.summary["requests"]["offered"] == result.summary["schedule"]["count"] == 160
    assert reported(result.dir) == result.summary


def test_a_given_up_run_says_so_wherever_it_is_read(tmp_path: Path) -> None:
    with MockProcess(["--ttft", "60ms", "--itl", "2ms"]) as server:
        result = run(server.url, tmp_path / "run", "--rate", "100", "--requests", "1000", "--slo", "ttft.p99<20ms",
                     "--abort-on-fail")
    verdict = result.summary["verdict"]
    assert verdict["aborted"].startswith("ttft.p99<20ms is certain to be missed: ")
    assert verdict["valid"] is False and result.summary["requests"]["offered"] < 1000
    assert "schedule" not in result.failing
    assert "GIVEN UP" in result.out
    assert result.code in (1, 3)  # 3 if this machine made the client late
    assert reported(result.dir) == result.summary


def planned(*flags: str) -> Plan:
    return plan_of(parser().parse_args(["run", "--url", "http://host:8000", *flags]))


def test_precision_alone_lets_a_run_go_on_for_sixteen_windows() -> None:
    slo = ("--slo", "ttft.p99<1s")
    assert planned("--rate", "5", "--duration", "10s", "--precision", "5%", *slo).load.max_duration == 160 * SECOND
    assert planned("--rate", "5", "--requests", "50", "--precision", "5%", *slo).load.max_duration == 160 * SECOND
    assert planned("--rate", "5", "--duration", "10s", *slo).load.max_duration == 0
    assert planned("--rate", "5", "--duration", "10s", "--precision", "5%").load.max_duration == 0
    assert planned("--concurrency", "5", "--duration", "10s", "--precision", "5%", *slo).load.max_duration == 0


@pytest.mark.parametrize(("flags", "words"), [
    (("--rate", "5", "--duration", "10s", "--max-duration", "15s", "--slo", "ttft.p99<1s"), "at least 20s"),
    (("--rate", "5", "--duration", "10s", "--max-duration", "60s"), "add one, as in --slo"),
    (("--rate", "5", "--duration", "10s", "--max-duration", "60s", "--slo", "errors<1%"), "add one, as in --slo"),
    (("--concurrency", "5", "--duration", "10s", "--max-duration", "60s", "--slo", "ttft.p99<1s"), "--concurrency"),
])
def test_an_extension_that_makes_no_sense_is_refused(flags: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        planned(*flags)
