"""One run as a comparison sees it: its report, where it is, and the statistics that are read from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from loadgen.checks.table import find
from loadgen.exit_codes import INVALID
from loadgen.outcomes.comparison import Interval, RunRef
from loadgen.outcomes.report import Report
from loadgen.stats.estimation import needed_n

CONFIDENCE: Final = 0.95

@dataclass(frozen=True, slots=True)
class Measured:
    """A run that was read. `dir` is written as the user wrote it."""

    dir: str
    report: Report

    def describe(self) -> RunRef:
        """Return what a Comparison keeps of the run."""
        verdict = self.report.verdict
        failing = tuple(check.name for check in verdict.checks if not check.ok and not check.warning)
        return RunRef(self.dir, verdict.valid, failing, int(self.report.plan.get("load", {}).get("seed", 0)),
                     int(self.report.requests.get("succeeded", 0)), str(self.report.provenance.get("started", "")))

    @property
    def doubts(self) -> tuple[str, ...]:
        """What makes the run INVALID as one of a sample: the checks that failed.

        Not those which ask whether one run alone decides an objective: here the sample is a run.

        One that was given up was not offered the load of the others, whatever its checks say.
        """
        verdict, failing = self.report.verdict, self.describe().failing
        if verdict.valid:
            return ("the files are not whole",) if verdict.exit_code == INVALID else ()
        given_up = ("given up before its end",) if verdict.aborted else ()
        return (*given_up, *(name.replace("_", " ") for name in failing if not _of_one_run(name)))

    def estimate(self, metric: str, statistic: str) -> Interval:
        """Return the run's own value and interval; a bound where it has too few requests, None where it has none."""
        if not statistic:
            value = self.report.rates.get(metric)
            return Interval(None if value is None else float(value))
        summary = self.report.metrics.get(metric)
        if summary is None or not summary.count:
            return Interval(None)
        if statistic == "mean":
            return Interval(summary.mean)
        if statistic in summary.bounds:
            return Interval(float(summary.bounds[statistic]), bound=True)
        low, high = summary.interval.get(statistic, (None, None))
        known = low is not None and high is not None
        return Interval(float(summary.percentiles[statistic]), low if known else None, high if known else None,
                        CONFIDENCE if known else 0.0) if statistic in summary.percentiles else Interval(None)

    def lacks(self, metric: str, statistic: str, quantile: float | None) -> str:
        """Say why the run has no value for a statistic."""
        summary = self.report.metrics.get(metric)
        if summary is None or not summary.count or quantile is None:
            return f"{self.dir} has no {metric}"
        needed = needed_n(quantile, CONFIDENCE, two_sided=False)
        if summary.count < needed:
            return f"{statistic} needs {needed:,} values; {self.dir} has {summary.count:,}"
        return f"requests of {self.dir} were still running at its end: its {statistic} is a bound"


def _of_one_run(name: str) -> bool:
    check = find(name)
    return check is not None and check.of_one_run
