"""What a format of another tool has no words for: the verdict, and which of its percentiles are only bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loadgen.outcomes.report import Report


def shortfall(report: Report, metrics: Mapping[str, str]) -> dict[str, Any]:
    """Return the verdict, and by their names of `metrics` (theirs -> ours) the bounds of what is only bounded.

    Such a format has a number where we have "at least": it gets the sample's own percentile, and this beside it.
    """
    return {
        "version": report.provenance.get("loadgen"), "valid": report.verdict.valid,
        "exit_code": report.verdict.exit_code, "interrupted": report.verdict.interrupted,
        "failing": [check.name for check in report.verdict.checks if not check.ok],
        "at_least_ms": _bounds(report, metrics, "ns", 1e6), "at_least_tokens": _bounds(report, metrics, "count", 1)}


def _bounds(report: Report, metrics: Mapping[str, str], unit: str, scale: float) -> dict[str, dict[str, float]]:
    found = {theirs: report.metrics[ours] for theirs, ours in metrics.items() if ours in report.metrics}
    return {theirs: {label: bound / scale for label, bound in metric.bounds.items()}
            for theirs, metric in found.items() if metric.unit == unit and metric.bounds}
