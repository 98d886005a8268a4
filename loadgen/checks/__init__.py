"""Judging a run: evidence, the table of checks, objectives, the verdict."""

from loadgen.checks.early_stop import certain
from loadgen.checks.inputs import Evidence, evidence, span, uses_kernel_stamps
from loadgen.checks.verdict import judge, warnings

__all__ = ["Evidence", "certain", "evidence", "judge", "span", "uses_kernel_stamps", "warnings"]
