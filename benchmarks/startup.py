"""How long a user waits: for `--help`, and from the start of `loadgen run` until its first request is at the server."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic_ns

from benchmarks import table
from benchmarks.table import Table
from loadgen.mock.process import MockProcess
from loadgen.reports.format import duration

BARE = (sys.executable, "-c", "pass")
LOADGEN = (sys.executable, "-m", "loadgen")
LOAD = ("--concurrency", "1", "--requests", "1", "--warmup", "0s", "--output-tokens", "1", "--no-page", "--quiet")
"""One request, which is due as soon as the run can send it."""


def finished(command: Sequence[str]) -> int:
    """Return how long a command takes, ns."""
    start = monotonic_ns()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return monotonic_ns() - start


def first_request(mock: MockProcess) -> int:
    """Return how long it takes from the start of a run until its first request is at the server, ns."""
    mock.reset()
    with tempfile.TemporaryDirectory() as directory:
        start = monotonic_ns()
        subprocess.run([*LOADGEN, "run", "--url", mock.url, *LOAD, "--out", str(Path(directory, "run"))], check=False,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    arrivals = [request["arrival"] for request in mock.truth(1)["requests"]]
    return int(min(arrivals)) - start


def measure(times: int) -> Table:
    """Measure everything in turn, `times` times, so that a busy moment of the machine falls on all alike."""
    shown = Table("Startup", ("what", "median", "fastest", "of a bare interpreter"))
    with MockProcess(["--ttft", "1ms", "--itl", "1ms"]) as mock:
        kinds: dict[str, Callable[[], int]] = {
            "python -c pass": lambda: finished(BARE),
            "loadgen --help": lambda: finished([*LOADGEN, "--help"]),
            "first request": lambda: first_request(mock)}
        taken: dict[str, list[int]] = {name: [] for name in kinds}
        for _ in range(times):
            for name, take in kinds.items():
                taken[name].append(take())
    bare = statistics.median(taken["python -c pass"])
    for name, values in taken.items():
        median, least = statistics.median(values), min(values)
        shown.rows.append((name, duration(median), duration(least), f"{median / bare:.1f} x"))
        shown.data.append({"what": name, "median": median, "fastest": least, "ratio": median / bare})
    shown.notes.append(f"medians of {times}, taken in turn; a first request ends its way at the built-in mock")
    return shown


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--times", type=int, default=15, metavar="N", help="measurements of each (15)")
    table.add_arguments(parser)
    args = parser.parse_args()
    table.show(measure(args.times), args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
