"""`loadgen ab`: what is run in which order, and what is left when it ends early. Real runs against two mocks."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadgen.cli import main
from loadgen.cli.ab import plan_of, turns
from loadgen.mock.process import MockProcess
from loadgen.outcomes.comparison import Comparison
from support.runs import LIMIT, Run, loadgen, wait_for

BOTH = ("--base", "http://a:1", "--new", "http://b:2", "--rate", "5", "--duration", "9s")
LOAD = ("--rate", "50", "--input-tokens", "20", "--output-tokens", "8", "--warmup", "0s", "--no-cooldown", "--no-probe",
        "--pause", "0s", "--no-page", "--quiet")


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[str, str]]:
    with (MockProcess(["--ttft", "20ms", "--itl", "2ms"]) as base,
          MockProcess(["--ttft", "20ms", "--itl", "3ms"]) as new):
        yield base.url, new.url


def command(base: str, new: str, out: Path, *flags: str) -> list[str]:
    return [sys.executable, "-m", "loadgen", "ab", "--base", base, "--new", new, "--out", str(out), *LOAD, *flags]


def order(err: str) -> list[str]:
    return re.findall(r"^loadgen: run \d+ of \d+: (\S+)$", err, re.MULTILINE)


def comparison_of(out: Path) -> Comparison:
    return Comparison.from_json(json.loads((out / "comparison.json").read_text()))


def test_turns_alternate_and_each_pair_has_a_seed(tmp_path: Path) -> None:
    args = main.parser().parse_args(["ab", *BOTH, "--seed", "7", "--out", str(tmp_path / "ab")])
    plan, out = plan_of(args)
    found = list(turns(plan, out, args.base, args.new, 3, quiet=True))
    assert [turn.job.name for turn in found] == ["base-1", "new-1", "new-2", "base-2", "base-3", "new-3"]
    assert [turn.job.plan.load.seed for turn in found] == [7, 7, 8, 8, 9, 9]
    assert {turn.side: turn.job.plan.target.url for turn in found} == {"base": ("http://a:1",), "new": ("http://b:2",)}
    assert found[0].job.plan.out.dir == str(tmp_path / "ab" / "base-1")


@pytest.mark.parametrize(("flags", "said"), [
    (BOTH[:2], "write --base URL and --new URL"), ((*BOTH, "--url", "http://c"), "--url names one server"),
    (BOTH[:4], "no length was given"), ((*BOTH, "--runs", "0"), "invalid count"), ((*BOTH, "--pause", "5"), "a unit"),
    ((*BOTH, "--fail-on", "ttft>3%"), "which percentile"), ((*BOTH, "--out", "."), "exists and is not empty"),
])
def test_what_makes_no_sense_is_refused_before_anything_runs(flags: tuple[str, ...], said: str,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["ab", *flags]) == 2
    assert said in capsys.readouterr().err


def test_pairs_are_run_in_turn_and_compared(servers: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "ab"
    done = loadgen(command(*servers, out, "--runs", "2", "--requests", "30", "--fail-on", "itl.p50>3%", "--lax"), out)
    assert done.code == 3
    assert "comparison.json" in done.out and "report.html" not in done.out + done.err
    assert not list(out.rglob("report.html"))
    assert "CAN'T TELL   1 of 1 gates undecided: 2 more runs a side" in done.out
    assert order(done.err) == ["base-1", "new-1", "new-2", "base-2"]
    cell = comparison_of(out).cells[0]
    assert [run.seed for run in cell.base.runs] == [run.seed for run in cell.new.runs] == [0, 1]
    schedules = {path.name: json.loads((path / "plan.json").read_text())["resolved"]["schedule"]["sha256"]
                 for path in out.iterdir() if path.is_dir()}
    assert schedules["base-1"] == schedules["new-1"] != schedules["base-2"] == schedules["new-2"]
    row = next(row for row in cell.rows if row.name == "itl.p50")
    assert row.ratio is not None
    assert (len(row.base_runs), len(row.new_runs), row.verdict) == (2, 2, "unknown")
    assert set(cell.new.curves) >= {"ttft", "itl"}


def test_a_server_that_is_not_there_ends_it(servers: tuple[str, str], tmp_path: Path) -> None:
    done = loadgen(command(servers[0], "http://127.0.0.1:9", tmp_path / "ab", "--runs", "2", "--requests", "10"),
                   tmp_path)
    assert done.code == 2
    assert "loadgen: error: new-1: " in done.err
    assert "not one pair of runs was made" in done.err
    assert order(done.err) == ["base-1", "new-1"]


@contextmanager
def going(line: list[str]) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def rows_written(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_ctrl_c_compares_the_whole_pairs_that_there_are(servers: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "ab"
    with going(command(*servers, out, "--runs", "3", "--duration", "2s", "--page")) as process:
        wait_for(lambda: rows_written(out / "new-2" / "requests.arrows") > 10_000)
        process.send_signal(signal.SIGINT)  # to the program alone, which ends the run
        said = process.communicate(timeout=LIMIT)
    done = Run(process.returncode, *said, out)
    assert done.code == 130
    assert order(done.err) == ["base-1", "new-1", "new-2"]
    assert "INTERRUPTED" in done.out
    assert "report.html" in done.out and [path.parent for path in out.rglob("report.html")] == [out]
    assert "interrupted after 2 runs: the comparison is of 1 whole pair" in done.out
    cell = comparison_of(out).cells[0]
    assert ([run.dir for run in cell.base.runs], [run.dir for run in cell.new.runs]) == (
        [str(out / "base-1")], [str(out / "new-1")])
    assert json.loads((out / "new-2" / "summary.json").read_text())["verdict"]["interrupted"] is True
