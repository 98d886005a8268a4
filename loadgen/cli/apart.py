"""One run in a process of its own: a run lowers its own priority, which the next one must not inherit."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from dataclasses import dataclass
from types import FrameType
from typing import Final

from loadgen.plan import Plan
from loadgen.types import UsageError

WORSE: Final = (0, 1, 3, 2, 130)
"""Exit codes, from the best to the worst."""
INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Job:
    """One run to make, and how to show it. Without `table`, only its files tell of it."""

    name: str
    plan: Plan
    notes: tuple[str, ...] = ()
    json: bool = False
    quiet: bool = False
    table: bool = True


def execute(job: Job) -> int:
    """Make the run in this process, print its table, write its page, and return its exit code."""
    from loadgen.cli.page import add_page
    from loadgen.cli.show import show
    from loadgen.report import PAGE
    from loadgen.reports.live import choose
    from loadgen.run import execute

    report, directory = execute(job.plan, choose(sys.stderr, quiet=job.quiet))
    if job.table:
        show(report, directory, as_json=job.json, quiet=job.quiet, coming=PAGE)
        add_page(report, directory)
    return report.verdict.exit_code


def execute_apart(job: Job) -> int:
    """Make the run in a process of its own and return its exit code; 130 if it was interrupted, 3 if it was killed."""
    process = multiprocessing.get_context("spawn").Process(target=_in_child, args=(job,))
    seen: list[int] = []

    def forward(signal_number: int, frame: FrameType | None) -> None:
        seen.append(signal_number)
        if signal_number == signal.SIGTERM:  # the terminal sends SIGINT to the child itself
            process.terminate()

    before = {each: signal.signal(each, forward) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        process.start()
        process.join()
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    code = process.exitcode
    if seen and code != 3:  # whatever the child made of it, as when it had not begun to listen; 3 says more
        return INTERRUPTED
    return code if code is not None and code in WORSE else 3  # killed: nothing of it is to be believed


def _in_child(job: Job) -> None:
    try:
        sys.exit(execute(job))
    except UsageError as error:
        for line in str(error).splitlines():
            print(f"loadgen: error: {job.name}: {line}", file=sys.stderr)
        sys.exit(2)
