"""Bad luck in the middle of a run: a clear end, and nothing lost. Real processes, real signals."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadgen.mock.process import MockProcess
from support.runs import LIMIT, Run, children, command, loadgen, rows_written, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the sender's process id in /proc")
LONG = ("--requests", "100000", "--rate", "100", "--output-tokens", "20")


@contextmanager
def going(url: str, dir: Path, *flags: str,
          before: Callable[[], None] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A run in the background that has offered load for a moment; killed at the end if it still lives."""
    process = subprocess.Popen(command(url, dir, *flags), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               preexec_fn=before)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finished(process: subprocess.Popen[str], dir: Path) -> Run:
    out, err = process.communicate(timeout=LIMIT)
    return Run(process.returncode, out, err, dir)


@pytest.fixture(scope="module")
def mock() -> Iterator[MockProcess]:
    with MockProcess(["--ttft", "20ms", "--itl", "2ms"]) as server:
        yield server


def test_ctrl_c_once_drains_and_still_reports(mock: MockProcess, tmp_path: Path) -> None:
    with going(mock.url, tmp_path / "run", *LONG, "--page") as process:
        wait_for(lambda: rows_written(tmp_path / "run") > 20_000)
        process.send_signal(signal.SIGINT)
        result = finished(process, tmp_path / "run")
    assert result.code == 130
    requests = result.summary["requests"]
    assert 0 < requests["offered"] == requests["succeeded"] == len(result.rows)
    assert result.summary["verdict"]["interrupted"] is True
    assert "interrupted" in result.out.lower()
    assert "<strong>INTERRUPTED</strong>" in (result.dir / "report.html").read_text(encoding="utf-8")


def test_ctrl_c_twice_cancels_what_is_in_flight(tmp_path: Path) -> None:
    with MockProcess(["--ttft", "20ms", "--itl", "2ms", "--fault", "stall:1/10"]) as server, \
            going(server.url, tmp_path / "run", *LONG) as process:
        wait_for(lambda: rows_written(tmp_path / "run") > 20_000)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None  # the stalled requests keep it
        process.send_signal(signal.SIGINT)
        result = finished(process, tmp_path / "run")
    assert result.code == 130
    requests = result.summary["requests"]
    assert requests["censored"] > 0
    assert requests["succeeded"] + requests["censored"] == requests["offered"]


def test_ctrl_c_thrice_kills_and_the_files_can_be_reported(tmp_path: Path) -> None:
    with MockProcess(["--ttft", "20ms", "--itl", "2ms", "--fault", "stall:1/10"]) as server, \
            going(server.url, tmp_path / "run", *LONG) as process:
        wait_for(lambda: rows_written(tmp_path / "run") > 20_000)
        senders = children(process.pid)
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            time.sleep(0.15)
        # The third may come when the second has ended everything: then the signal itself ends the process, which a
        # shell tells as 130 too.
        assert finished(process, tmp_path / "run").code in (130, -signal.SIGINT)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in senders))
    report = loadgen([sys.executable, "-m", "loadgen", "report", str(tmp_path / "run")], tmp_path / "run")
    assert report.code == 130
    assert report.summary["requests"]["succeeded"] > 0


def test_a_killed_sender_fails_its_requests_and_the_rest_is_reported(mock: MockProcess, tmp_path: Path) -> None:
    flags = ("--requests", "300", "--rate", "100", "--output-tokens", "20", "--senders", "2")
    with going(mock.url, tmp_path / "run", *flags) as process:
        wait_for(lambda: rows_written(tmp_path / "run") > 20_000)
        os.kill(min(children(process.pid)), signal.SIGKILL)
        result = finished(process, tmp_path / "run")
    assert result.code == 3
    requests = result.summary["requests"]
    assert requests["offered"] == 300
    lost = requests["failures"]["sender_lost"]
    assert 50 < lost < 150
    assert requests["succeeded"] == 300 - lost
    assert {row["sender"] for row in result.rows if row["failure"]} == {0}
    assert "sender" in result.out


def test_all_senders_killed_ends_the_run(mock: MockProcess, tmp_path: Path) -> None:
    with going(mock.url, tmp_path / "run", *LONG) as process:
        wait_for(lambda: rows_written(tmp_path / "run") > 10_000)
        os.kill(children(process.pid)[0], signal.SIGKILL)
        result = finished(process, tmp_path / "run")
    assert result.code == 3
    assert result.summary["requests"]["succeeded"] > 0


def test_a_killed_desk_loses_at_most_the_last_moment(mock: MockProcess, tmp_path: Path) -> None:
    with going(mock.url, tmp_path / "run", *LONG) as process:
        wait_for(lambda: rows_written(tmp_path / "run") > 20_000)
        senders = children(process.pid)
        process.kill()
        process.communicate()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in senders))
    report = loadgen([sys.executable, "-m", "loadgen", "report", str(tmp_path / "run")], tmp_path / "run")
    assert report.code == 130
    assert "100,000" not in report.out.split("offered")[1][:20]
    assert report.summary["requests"]["succeeded"] > 20
    assert report.summary["metrics"]["ttft"]["count"] == report.summary["requests"]["succeeded"]


def test_a_full_disk_ends_the_run_in_order(mock: MockProcess, tmp_path: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    with going(mock.url, tmp_path / "run", *LONG, before=small_files) as process:
        result = finished(process, tmp_path / "run")
    assert result.code == 3
    assert "Traceback" not in result.err
    report = loadgen([sys.executable, "-m", "loadgen", "report", str(tmp_path / "run")], tmp_path / "run")
    assert report.summary["requests"]["succeeded"] > 20


def test_a_server_that_dies_in_the_middle_is_failures_not_a_hang(tmp_path: Path) -> None:
    with MockProcess(["--ttft", "20ms", "--itl", "2ms"]) as server, \
            going(server.url, tmp_path / "run", "--requests", "200", "--rate", "100") as process:
        wait_for(lambda: rows_written(tmp_path / "run") > 10_000)
        os.kill(server.pid, signal.SIGKILL)
        result = finished(process, tmp_path / "run")
    assert result.code == 3
    requests = result.summary["requests"]
    assert requests["offered"] == 200
    assert requests["succeeded"] + requests["failed"] == 200
    assert requests["failures"]["connect"] > 0


def test_too_few_file_descriptors_say_the_command(mock: MockProcess, tmp_path: Path) -> None:
    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))

    with going(mock.url, tmp_path / "run", "--requests", "200", "--concurrency", "500", before=few_files) as process:
        result = finished(process, tmp_path / "run")
    assert result.code == 2
    assert "ulimit -n" in result.err
    with going(mock.url, tmp_path / "open", "--requests", "400", "--rate", "400", "--output-tokens", "300",
               before=few_files) as process:
        result = finished(process, tmp_path / "open")
    failed = [row for row in result.rows if row["failure"] == "connect"]
    assert failed
    assert "ulimit -n" in failed[0]["detail"]
    assert "ulimit -n" in result.out


def test_the_drain_limit_censors_what_still_runs(tmp_path: Path) -> None:
    with MockProcess(["--ttft", "20ms", "--itl", "2ms", "--fault", "stall:1/20"]) as server:
        result = loadgen(command(server.url, tmp_path / "run", "--requests", "40", "--rate", "100", "--drain", "1s"),
                         tmp_path / "run")
    requests = result.summary["requests"]
    assert (requests["censored"], requests["succeeded"]) == (2, 38)
    assert "censored" in result.failing
    assert result.code == 3


def test_the_summary_of_a_replay_is_that_of_the_run(mock: MockProcess, tmp_path: Path) -> None:
    result = loadgen(command(mock.url, tmp_path / "run", "--requests", "50"), tmp_path / "run")
    before = result.summary
    again = loadgen([sys.executable, "-m", "loadgen", "report", "--json", "--no-write", str(tmp_path / "run")],
                    tmp_path / "run")
    assert json.loads(again.out) == before
    assert again.code == result.code
