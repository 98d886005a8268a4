"""What the process of a cell does: make its run, of which only the files tell."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from loadgen.plan import Plan


@dataclass(frozen=True, slots=True)
class CellJob:
    """The run of a cell."""

    plan: Plan
    quiet: bool = False


def execute(job: CellJob) -> int:
    """Make the run and return its exit code."""
    from loadgen.reports.text.live import choose
    from loadgen.run.execute import execute

    result = execute(job.plan, choose(sys.stderr, quiet=job.quiet))
    return result.report.verdict.exit_code
