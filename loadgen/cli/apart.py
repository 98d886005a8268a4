"""Makes a run and shows it, in this process; for `loadgen ab` and `--models` in a process of its own."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from loadgen.exit_codes import INVALID, ORDER
from loadgen.plan import Plan


@dataclass(frozen=True, slots=True)
class RunJob:
    """One run to make, and how to show it. Without `table`, only its files tell of it."""

    name: str
    plan: Plan
    notes: tuple[str, ...] = ()
    json: bool = False
    quiet: bool = False
    table: bool = True


def execute(job: RunJob) -> int:
    """Make the run in this process, print its table, write its page, and return its exit code."""
    from loadgen.reports.text.live import choose
    from loadgen.run.execute import execute

    result = execute(job.plan, choose(sys.stderr, quiet=job.quiet))
    from loadgen.cli.page import add_page  # what the end of a run needs, its first request does not wait for
    from loadgen.cli.show import show
    from loadgen.outcomes.report import PAGE

    if job.table:
        page = job.plan.out.page
        show(result.report, result.dir, as_json=job.json, quiet=job.quiet, coming=PAGE if page else "")
        if page:
            add_page(result)
    return result.report.verdict.exit_code


def execute_apart(job: RunJob) -> int:
    """Make the run in a process of its own and return its exit code; 130 if it was interrupted, 3 if it was killed."""
    from loadgen.run.subprocess import RunProcess, forward_signals

    child = RunProcess(execute, job)
    with forward_signals(lambda number: child.stop()):
        ended = child.run()
    for line in ended.said.splitlines():
        print(f"loadgen: error: {job.name}: {line}", file=sys.stderr)
    return ended.code if ended.code in ORDER else INVALID  # killed: nothing of it is to be believed
