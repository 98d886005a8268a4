"""Short real runs against the mock, for tests: the command line in a process of its own, as users have it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from support.forked import command_line

LIMIT = 60  # s after which a run counts as hanging


@dataclass(frozen=True)
class Run:
    """What a run left behind."""

    code: int
    out: str
    err: str
    dir: Path

    @property
    def summary(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.dir / "summary.json").read_text())
        return data

    @property
    def plan(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.dir / "plan.json").read_text())
        return data

    @property
    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.dir / "requests.parquet").to_pylist()
        return rows

    @property
    def failing(self) -> set[str]:
        """Names of the checks that do not hold."""
        return {check["name"] for check in self.summary["verdict"]["checks"] if not check["ok"]}


def command(url: str, dir: Path, *flags: str) -> list[str]:
    """The command line of a short run without a page; flags given here come last and win."""
    load = () if "--concurrency" in flags else ("--rate", "50")
    lengths = () if {"--prompts", "--input-data"} & set(flags) else ("--input-tokens", "20", "--output-tokens", "8")
    return [sys.executable, "-m", "loadgen", "run", "--url", url, "--out", str(dir), "--quiet", "--warmup", "0s",
            "--no-cooldown", "--no-probe", "--no-page", *load, *lengths, *flags]


def loadgen(arguments: Sequence[str], dir: Path, env: Mapping[str, str] | None = None) -> Run:
    """Run a command line to its end, in a process of its own."""
    if list(arguments[:3]) == [sys.executable, "-m", "loadgen"]:
        with tempfile.TemporaryDirectory() as folder:
            return Run(*command_line(arguments[3:], Path(folder), LIMIT, env or {}), dir)
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=LIMIT,
                          env={**os.environ, **(env or {})}, check=False)
    return Run(done.returncode, done.stdout, done.stderr, dir)


def run(url: str, dir: Path, *flags: str, env: Mapping[str, str] | None = None) -> Run:
    """Make a short run with `command`."""
    return loadgen(command(url, dir, *flags), dir, env)


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, at most as long as a run may take."""
    until = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Say whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    """Wait until a process has ended; False if it goes on for longer than a test waits."""
    until = time.monotonic() + LIMIT
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not alive(pid)


def rows_written(dir: Path) -> int:
    """How many bytes of rows there are; enough of them mean that some hundred requests have ended."""
    path = dir / "requests.arrows"
    return path.stat().st_size if path.exists() else 0


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found
