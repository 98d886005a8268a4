"""vLLM that dies in the middle of a run: what was under way fails by class, and the run ends and reports."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from real.agreement import scrape
from real.conftest import Start
from real.servers import ServerProcess
from support.runs import LIMIT, Run, command

pytestmark = pytest.mark.real
RUNNING = 3
OFFERED = 60


def run_and_kill(server: ServerProcess, dir: Path, kill: Callable[[], None]) -> Run:
    """Make a run, and kill the server once RUNNING requests are under way."""
    flags = ("--backend", "vllm", "--rate", "10", "--requests", str(OFFERED), "--output-tokens", "300")
    with subprocess.Popen(command(server.url, dir, *flags), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as child:
        try:
            limit = time.monotonic() + LIMIT
            while scrape(server).counter("vllm:num_requests_running") < RUNNING:
                assert child.poll() is None and time.monotonic() < limit, "the run never had so many under way"
                time.sleep(0.05)
            kill()
            out, err = child.communicate(timeout=LIMIT)
        finally:
            child.kill()
    return Run(child.returncode, out, err, dir)


def assert_reported(result: Run) -> dict[str, int]:
    """Every request of the plan is accounted for, and none is believed; returns how many failed by class."""
    requests = result.summary["requests"]
    failures: dict[str, int] = requests["failures"]
    assert requests["offered"] == OFFERED == len(result.rows)
    assert requests["succeeded"] + requests["failed"] == OFFERED
    assert requests["failed"] == sum(failures.values()) >= RUNNING
    assert requests["censored"] == 0
    assert result.code == 3
    assert "errors" in result.failing
    return failures


def test_a_dead_server_cuts_answers_and_refuses_the_next(start_vllm: Start, tmp_path: Path) -> None:
    with start_vllm("killed") as server:
        failures = assert_reported(run_and_kill(server, tmp_path / "run", server.kill))
    assert set(failures) == {"truncated", "connect"}
    assert failures["truncated"] >= RUNNING


def test_a_dead_engine_is_told_in_the_servers_words(start_vllm: Start, tmp_path: Path) -> None:
    with start_vllm("engine") as server:
        result = run_and_kill(server, tmp_path / "run", lambda: server.kill_child("VLLM::Engine"))
    failures = assert_reported(result)
    assert set(failures) <= {"in_band", "http_5xx", "connect", "truncated"}
    assert failures["in_band"] >= RUNNING
    assert any("EngineCore" in row["detail"] for row in result.rows if row["failure"] == "in_band")
