"""A call in a process of its own: what comes back of it, and that a signal ends it in order whenever it comes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from loadgen.exit_codes import INTERRUPTED, USAGE
from loadgen.run.subprocess import ProcessEnd, RunProcess, forward_signals
from support import apart_targets as targets
from support.runs import alive, children, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")


@pytest.fixture(autouse=True)
def findable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def in_background(action: object) -> threading.Thread:
    thread = threading.Thread(target=action, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def test_what_it_returns_is_the_exit_code_and_what_is_wrong_comes_back() -> None:
    assert RunProcess(targets.give, 3).run() == ProcessEnd(3)
    assert RunProcess(targets.refuse, "no such server\nat all").run() == ProcessEnd(USAGE, "no such server\nat all")


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.06])
def test_a_stop_while_it_starts_ends_it_without_a_traceback(delay: float, tmp_path: Path,
                                                            capfd: pytest.CaptureFixture[str]) -> None:
    child, before = RunProcess(targets.wait, str(tmp_path / "who")), children(os.getpid())

    def stop() -> None:
        wait_for(lambda: len(children(os.getpid())) > len(before))
        time.sleep(delay)
        child.stop()

    stopping = in_background(stop)
    assert child.run() == ProcessEnd(INTERRUPTED)
    stopping.join()
    assert capfd.readouterr() == ("", "")


def test_what_is_stopped_before_it_begins_never_does(tmp_path: Path) -> None:
    child = RunProcess(targets.wait, str(tmp_path / "who"))
    child.stop()
    assert child.run() == ProcessEnd(INTERRUPTED)
    assert list(tmp_path.iterdir()) == []


def test_it_is_in_a_group_of_its_own_and_signals_come_to_who_heeds_them(tmp_path: Path) -> None:
    place = tmp_path / "who"
    child, heard = RunProcess(targets.wait, str(place)), []

    def stop() -> None:
        wait_for(place.exists)
        os.kill(os.getpid(), signal.SIGTERM)

    def heed(number: int) -> None:
        heard.append(number)
        child.stop()

    stopping = in_background(stop)
    with forward_signals(heed):
        assert child.run().code == INTERRUPTED
    stopping.join()
    assert heard == [signal.SIGTERM]
    pid, group = place.read_text().split()
    assert pid == group != str(os.getpgrp())


def test_it_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    place = tmp_path / "who"
    assert RunProcess(targets.begin_and_die, str(place)).run() == ProcessEnd(9)
    pid = int(place.read_text().split()[0])
    wait_for(lambda: not alive(pid))


