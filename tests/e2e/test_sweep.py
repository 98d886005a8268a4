"""Sweeps against the mock, as users have them: real processes, tiny cells, and bad luck in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from loadgen.capacity import PASSES, Sweep
from loadgen.mock.process import MockProcess
from support.runs import LIMIT, Run, alive, children, loadgen, rows_written, wait_for

TINY = ("--input-tokens", "20", "--warmup", "0s", "--no-cooldown", "--no-probe", "--no-page", "--quiet")
AXES = ("--rate", "20,40", "--requests", "20")


@pytest.fixture(scope="module")
def mock() -> Iterator[MockProcess]:
    with MockProcess(["--ttft", "20ms", "--itl", "2ms"]) as server:
        yield server


def command(url: str, dir: Path, *flags: str) -> list[str]:
    tokens = () if "--output-tokens" in flags else ("--output-tokens", "4")
    return [sys.executable, "-m", "loadgen", "sweep", "--url", url, "--out", str(dir), *TINY, *tokens, *flags]


def sweep(url: str, dir: Path, *flags: str) -> Run:
    return loadgen(command(url, dir, *flags), dir)


def found(dir: Path) -> Sweep:
    return Sweep.from_json(json.loads((dir / "sweep.json").read_text()))


def names(dir: Path) -> list[str]:
    return sorted(path.name for path in dir.iterdir() if path.is_dir())


@contextmanager
def going(arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_grid_runs_every_cell_and_a_second_time_none(mock: MockProcess, tmp_path: Path) -> None:
    dir = tmp_path / "s"
    first = sweep(mock.url, dir, *AXES, "--output-tokens", "4,6", "--page")
    one = found(dir)
    assert one.planned == len(one.cells) == 4 and one.whole
    assert [dict(cell.coordinates) for cell in one.cells] == [
        {"output_tokens": "4", "rate": 20}, {"output_tokens": "4", "rate": 40}, {"output_tokens": "6", "rate": 20},
        {"output_tokens": "6", "rate": 40}]
    assert len({cell.seed for cell in one.cells}) == 4
    assert all(cell.requests["offered"] == 20 for cell in one.cells)
    assert "DONE" in first.out and first.code == one.exit_code
    before = {name: (dir / name / "summary.json").stat().st_mtime_ns for name in names(dir)}
    (dir / "report.html").unlink()
    (dir / "report.html").mkdir()  # so that it can't be written
    again = loadgen([sys.executable, "-m", "loadgen", "sweep", "--resume", str(dir), "--quiet"], dir)
    assert (again.code, again.out) == (first.code, first.out)
    assert "warning: there is no report.html" in again.err and f"loadgen report {dir}" in again.err
    (dir / "report.html").rmdir()
    assert "report.html" in again.out
    bare = loadgen([sys.executable, "-m", "loadgen", "sweep", "--resume", str(dir), "--no-page", "--quiet"], dir)
    assert (bare.code, bare.err) == (first.code, "") and "report.html" not in bare.out
    assert not list(dir.rglob("report.html"))
    assert {name: (dir / name / "summary.json").stat().st_mtime_ns for name in names(dir)} == before


def test_half_written_cells_are_run_again_and_kept(mock: MockProcess, tmp_path: Path) -> None:
    dir = tmp_path / "s"
    sweep(mock.url, dir, "--rate", "20,40,60", "--requests", "20")
    cells = names(dir)
    (dir / cells[0] / "summary.json").unlink()
    (dir / cells[1] / "summary.json").write_text('{"schema": 1, "verd')
    (dir / "sweep.json").unlink()
    second = sweep(mock.url, dir, "--rate", "20,40,60", "--requests", "20")
    assert names(dir) == sorted([*cells, f"{cells[0]}.broken-1", f"{cells[1]}.broken-1"])
    assert second.err.count("was not whole") == 2
    assert len(found(dir).cells) == 3


def test_a_directory_of_something_else_is_refused(mock: MockProcess, tmp_path: Path) -> None:
    dir = tmp_path / "s"
    sweep(mock.url, dir, *AXES)
    other = sweep(mock.url, dir, "--rate", "20,80", "--requests", "20")
    assert other.code == 2 and "its rate is 20,40, this one's 20,80" in other.err
    (dir / "sweep.json").unlink()
    plans = sweep(mock.url, dir, "--rate", "20,40", "--requests", "21")
    assert plans.code == 2 and "another load.requests (20, now 21)" in plans.err
    (dir / "notes.txt").write_text("mine")
    assert "has files of something else" in sweep(mock.url, dir, *AXES).err


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"kind": "sweep", "schema": 1}', "\x00\xff", '"sweep"',
                                     '{"kind": "sweep", "schema": 99}'])
def test_a_damaged_sweep_json_is_refused_with_what_to_do(content: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(content, encoding="latin-1")
    done = loadgen([sys.executable, "-m", "loadgen", "sweep", "--resume", str(tmp_path)], tmp_path)
    assert done.code == 2
    assert all(line.startswith("loadgen: error: ") for line in done.err.splitlines())
    assert "sweep.json" in done.err


def test_a_server_that_dies_stops_the_sweep_which_says_where_to_go_on(tmp_path: Path) -> None:
    dir = tmp_path / "s"
    flags = ("--rate", "100,101,102", "--requests", "200")
    with MockProcess(["--ttft", "20ms", "--itl", "2ms"]) as server:
        with going(command(server.url, dir, *flags)) as process:
            wait_for(lambda: any(rows_written(path) > 4_000 for path in dir.glob("002-*")))
            os.kill(server.pid, signal.SIGKILL)
            _, err = process.communicate(timeout=LIMIT)
            code = process.returncode
        port = server.url.rpartition(":")[2]
    one = found(dir)
    assert code == 3 == one.exit_code
    assert len(one.cells) == 1 and one.planned == 3
    assert "the server went away in cell 2" in one.stopped
    assert one.resume == f"loadgen sweep --resume {dir}"
    assert [name for name in names(dir) if "gone" in name] == ["002-rate-101.gone-1"]
    assert "Traceback" not in err
    refused = loadgen([sys.executable, "-m", "loadgen", "sweep", "--resume", str(dir), "--quiet"], dir)
    assert refused.code == 3 and "cell 2 could not be run" in found(dir).stopped
    with MockProcess(["--ttft", "20ms", "--itl", "2ms", "--port", port]):
        loadgen([sys.executable, "-m", "loadgen", "sweep", "--resume", str(dir), "--quiet"], dir)
    assert len(found(dir).cells) == 3 and found(dir).whole


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_ctrl_c_ends_after_the_running_cell_even_while_it_starts(mock: MockProcess, tmp_path: Path) -> None:
    dir = tmp_path / "s"
    with going(command(mock.url, dir, "--rate", "100,101", "--requests", "30")) as process:
        wait_for(lambda: children(process.pid))
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all that is in the group
        out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert "stopping after this cell" in err and "Traceback" not in err
    assert f"loadgen sweep --resume {dir}" in out
    assert found(dir).cells[0].requests["offered"] == 30
    assert not (dir / "002-rate-101").exists()


def test_ctrl_c_twice_ends_within_the_running_cell(mock: MockProcess, tmp_path: Path) -> None:
    dir = tmp_path / "s"
    with going(command(mock.url, dir, "--rate", "100,101", "--requests", "100000")) as process:
        wait_for(lambda: any(rows_written(path) > 4_000 for path in dir.glob("001-*")))
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None and "stopping after this cell" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert found(dir).cells == ()
    assert names(dir) == ["001-rate-100.interrupted-1"]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_a_sweep_that_is_killed_leaves_no_load_behind(mock: MockProcess, tmp_path: Path) -> None:
    dir = tmp_path / "s"
    with going(command(mock.url, dir, "--rate", "50,51", "--requests", "100000")) as process:
        wait_for(lambda: any(rows_written(path) > 4_000 for path in dir.glob("001-*")))
        cells = children(process.pid)
        process.kill()
        wait_for(lambda: not any(alive(pid) for pid in cells))


def test_a_search_that_runs_out_of_probes_gives_what_it_has(mock: MockProcess, tmp_path: Path) -> None:
    """Two probes confirm nothing, whatever they show: no size follows, and the exit code says so."""
    dir = tmp_path / "s"
    done = sweep(mock.url, dir, "--find", "max-concurrency", "--concurrency", "2", "--requests", "60", "--slo",
                 "ttft.p50<5s", "--max-probes", "2", "--target-rate", "1000", "--price-per-hour", "3")
    one = found(dir)
    assert len(one.cells) == 2 and len(one.answers) == 1
    assert one.cells[0].coordinates["concurrency"] == 2
    assert "stopped after 2 probes" in one.answers[0].reason
    assert (done.code, one.sizings) == (3, ())


def test_repetitions_differ_in_their_seeds_and_are_judged_together(mock: MockProcess, tmp_path: Path) -> None:
    dir = tmp_path / "s"
    done = loadgen([sys.executable, "-m", "loadgen", "run", "--url", mock.url, "--out", str(dir), *TINY, "--rate", "60",
                    "--output-tokens", "4", "--requests", "60", "--repeat", "3", "--slo", "ttft.p50<2s", "--json",
                    "--lax"], dir)
    one = found(dir)
    assert json.loads(done.out) == json.loads((dir / "sweep.json").read_text())
    assert [cell.coordinates["run"] for cell in one.cells] == [1, 2, 3]
    assert len({cell.seed for cell in one.cells}) == 3
    gate = one.across[0]
    assert (gate.name, gate.slo, len(gate.values), gate.ok) == ("ttft.p50", "ttft.p50<2s", 3, True)
    assert gate.low is not None and gate.high is not None and gate.low <= gate.mean <= gate.high


def test_abort_on_fail_gives_up_the_run_of_a_cell(tmp_path: Path) -> None:
    dir = tmp_path / "s"
    with MockProcess(["--ttft", "20ms", "--itl", "2ms", "--fault", "500:1/2"]) as server:
        sweep(server.url, dir, "--rate", "100,101", "--requests", "1000", "--abort-on-fail")
    one = found(dir)
    summary: dict[str, Any] = json.loads((dir / "001-rate-100" / "summary.json").read_text())
    assert "requests have failed" in summary["verdict"]["aborted"]
    assert summary["verdict"]["valid"] is False
    assert summary["requests"]["offered"] < 1000
    assert one.cells[0].exit_code == summary["verdict"]["exit_code"] != 0


def test_what_is_done_between_cells(mock: MockProcess, tmp_path: Path) -> None:
    dir = tmp_path / "s"
    log = tmp_path / "log"
    sweep(mock.url, dir, *AXES, "--between", f"echo x >> {log}", "--pause", "10ms")
    assert log.read_text() == "x\nx\n"
    failed = sweep(mock.url, tmp_path / "t", *AXES, "--between", "echo broken >&2; exit 7")
    assert failed.code == 2 and "--between ended with exit code 7: broken" in failed.err
    reset = sweep(mock.url, tmp_path / "u", *AXES, "--reset-cache")
    assert reset.code == 2 and "POST /reset_prefix_cache" in reset.err
    assert not (tmp_path / "t").exists() and not (tmp_path / "u").exists()


def test_the_knee_is_held_against_twice_the_latency_of_low_load(mock: MockProcess, tmp_path: Path) -> None:
    dir = tmp_path / "s"
    sweep(mock.url, dir, "--find", "knee", "--rate", "400", "--requests", "320", "--max-probes", "1")
    one = found(dir)
    low = [cell for cell in one.cells if not cell.gates]
    p99s = [cell.percentile("e2e_scheduled", "p99") or 0 for cell in low if cell.outcome == PASSES]
    gates = [gate.slo for cell in one.cells for gate in cell.gates]
    if len(p99s) < 2:  # a busy machine
        assert gates == [] and "low load" in one.answers[0].reason
    else:
        assert gates == [f"e2e_scheduled.p99<={round(sum(p99s) / 1000)}us"]
    assert {cell.coordinates["rate"] for cell in one.cells} == {400}
    assert len({cell.seed for cell in one.cells}) == len(one.cells) >= 2


def test_the_goodput_search_names_its_best_load(mock: MockProcess, tmp_path: Path) -> None:
    dir = tmp_path / "s"
    done = sweep(mock.url, dir, "--goodput", "--rate", "100", "--requests", "60", "--slo", "ttft.p99<5s",
                 "--max-probes", "2")
    one = found(dir)
    answer, = one.answers
    assert one.goal == answer.goal == "goodput" and len(one.cells) == 2
    assert answer.reason == "stopped after 2 probes: more with --max-probes"
    assert done.code == (3 if answer.best is None else 0)
    assert "stopped after 2 probes" in " ".join(done.out.split())
