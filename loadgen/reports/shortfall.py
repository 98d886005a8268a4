"""What a format of another tool has no words for: the verdict, and which of its percentiles are only bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loadgen.report import Report


def shortfall(report: Report, metrics: Mapping[str, str]) -> dict[str, Any]:
    """Return the verdict, and by their names of `metrics` (theirs -> ours) the bounds in ms of what is only bounded.

    Such a format has a number where we have "at least": it gets the sample's own percentile, and this beside it.
    """
    return {
        "version": report.provenance.get("loadgen"), "valid": report.verdict.valid,
        "exit_code": report.verdict.exit_code, "interrupted": report.verdict.interrupted,
        "failing": [check.name for check in report.verdict.checks if not check.ok],
        "at_least_ms": {theirs: {label: bound / 1e6 for label, bound in report.metrics[ours].bounds.items()}
                        for theirs, ours in metrics.items() if ours in report.metrics and report.metrics[ours].bounds}}
