"""Trials of a search: what to run, and what a finished run says about it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from loadgen.capacity.model import FAILS, PASSES, UNJUDGED
from loadgen.checks.check import CLIENT, SERVER, SETUP, SHORT
from loadgen.checks.rows import MOST_ERRORS
from loadgen.checks.table import find, known
from loadgen.exit_codes import FAILED
from loadgen.outcomes.report import CheckResult, Report
from loadgen.types import SECOND

ACHIEVED: Final = 0.99
"""Share of the offered rate that must be completed."""
IDLE: Final = 1.0
"""Requests in flight, on average, up to which some have the server for themselves."""

_LONGER: Final = (2, 8)


@dataclass(frozen=True, slots=True)
class Probe:
    """What a search wants to have run: a load, for the n-th time (from 0), `stretch` times as long as usual."""

    load: float
    number: int = 0
    stretch: int = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run says: PASSES, FAILS or UNJUDGED, and why.

    `cause` is of UNJUDGED alone. `longer` is how many times as long a run would probably be judged. `hopeless`: even
    the fastest request of a nearly idle server missed a limit, so that no smaller load would meet it. `grows`: the
    server could not keep up, so that what was seen, goodput included, says how long the run was.
    """

    outcome: str
    reason: str = ""
    cause: str = ""
    longer: int = 2
    too_short: bool = False  # against a single request, whatever the load
    hopeless: bool = False
    goodput: float = 0.0
    grows: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """A probe that was run, and what was seen."""

    probe: Probe
    seen: Seen


def judge(report: Report) -> Seen:
    """Say what one run means for its load.

    A client that was too slow makes it UNJUDGED, whatever else was seen. Then it FAILS if a limit is missed by the
    whole interval, if requests failed or never ended, if less than 99 % of what was offered was completed, or if the
    server can't keep up (a drift upwards). It is UNJUDGED while any row of the verdict fails that --lax does not make a
    warning, and PASSES else: every limit is met by the whole interval, in a steady state.
    """
    failing = {check.name: check for check in report.verdict.checks if not check.ok and not check.warning}
    seen = partial(Seen, goodput=float(report.rates.get("goodput", 0.0)), grows=_grows(failing.get("steady_state")))
    spoilt = _first(failing, CLIENT)
    if spoilt is not None:
        return seen(UNJUDGED, _said(spoilt), CLIENT)
    unfit = _unfit(report, failing)
    if unfit is not None:
        return seen(UNJUDGED, _said(unfit), SETUP)
    if report.verdict.aborted:
        return seen(FAILS, report.verdict.aborted)
    for reason in _failures(report, failing):
        return seen(FAILS, reason, hopeless=_hopeless(report, failing))
    for cause in (SETUP, SHORT):
        row = _first(failing, cause)
        if row is not None:
            return seen(UNJUDGED, _said(row), cause, _longer(report, failing), too_short="duration" in failing)
    if report.verdict.exit_code == FAILED:
        undecided = " and ".join(gate.slo for gate in report.verdict.gates if gate.ok is None)
        return seen(FAILS, f"{undecided} missed by the sample's own number (--lax)")
    return seen(PASSES)


def _first(failing: dict[str, CheckResult], cause: str) -> CheckResult | None:
    """Return the failing row of a cause that is told first."""
    foreign = [name for name in failing if find(name) is None]  # taken for the set-up's
    names = [check.name for check in known() if check.cause == cause] + (foreign if cause == SETUP else [])
    return next((failing[name] for name in names if name in failing), None)


def _unfit(report: Report, failing: dict[str, CheckResult]) -> CheckResult | None:
    """Return the row that prompts fail which don't fit the model: they would at every load."""
    unfit = report.requests.get("failures", {}).get("too_long", 0)
    if unfit <= MOST_ERRORS * report.requests.get("offered", 0):
        return None
    return failing.get("schedule") or failing.get("errors")


def _grows(drift: CheckResult | None) -> bool:
    return drift is not None and not isinstance(drift.seen, str) and drift.seen > 0


def is_stable(report: Report) -> bool:
    """Say whether the run had a steady state, so that its percentiles are the server's."""
    return all(check.ok or check.warning for check in report.verdict.checks if check.name == "steady_state")


def _failures(report: Report, failing: dict[str, CheckResult]) -> Iterator[str]:
    """Yield what speaks against the server, the most telling first."""
    missed = [gate.slo for gate in report.verdict.gates if gate.ok is False]
    drift = failing.get("steady_state")
    if missed:
        yield f"{' and '.join(missed)} missed" + (", UNSTABLE" if _grows(drift) else "")
    for check in known():
        if check.cause == SERVER and check.name in failing:
            yield _said(failing[check.name])
    if drift is not None and _grows(drift) and "duration" not in failing:
        yield f"UNSTABLE: {_said(drift)}"
    share, allowed = _achieved(report)
    if share < allowed:
        yield f"only {share:.1%} of what was offered was completed"


def _achieved(report: Report) -> tuple[float, float]:
    """Return (completed / offered, the least that is allowed): 99 %, or what noise in the number in flight does.

    The number in flight at either end of the window varies by its root: 3 sqrt(2 N) requests of those offered, as for
    the drift of docs/metrics.md, "Steady state".
    """
    offered, rates = report.requests.get("offered", 0), report.rates
    if not offered or not rates.get("offered"):
        return 1.0, 0.0
    return (rates.get("completed", 0.0) / rates["offered"],
            min(ACHIEVED, 1 - 3 * math.sqrt(2 * _in_flight(report)) / offered))


def _in_flight(report: Report) -> float:
    """Return the mean number of requests in flight: rate x mean time (Little's law)."""
    e2e = report.metrics.get("e2e")
    return float(report.rates.get("offered", 0.0)) * (e2e.mean or 0.0) / SECOND if e2e else 0.0


def _hopeless(report: Report, failing: dict[str, CheckResult]) -> bool:
    """Say whether the fastest request missed a limit though the server was nearly idle: no load makes it faster.

    Where the server is busy even the fastest has waited in a queue, or shared its steps with others.
    """
    if "steady_state" in failing or "censored" in failing or not 0 < _in_flight(report) <= IDLE:
        return False
    for gate in report.verdict.gates:
        metric = report.metrics.get(gate.slo.partition(".")[0])
        if gate.ok is False and gate.unit == "ns" and metric is not None and metric.min is not None:
            from loadgen.slo import parse  # brings numpy

            if not parse(gate.slo).meets(metric.min):
                return True
    return False


def _longer(report: Report, failing: dict[str, CheckResult]) -> int:
    """Return how many times as long a run should be: what its gates and requests need, between 2 and 8 times.

    Where an interval is there and holds the limit, the load is close to the edge: twice, and else it lies inside the
    answer, which costs less than to decide it.
    """
    offered, needed = max(1, int(report.requests.get("offered", 1))), 0.0
    if "sample_size" in failing:
        needed = max((gate.needed for gate in report.verdict.gates if gate.ok is None), default=0) / offered
    short = failing.get("duration")
    if short is not None and not isinstance(short.seen, str) and not isinstance(short.limit, str):
        needed = max(needed, short.limit / max(1, short.seen))
    least, most = _LONGER
    return min(most, max(least, math.ceil(needed)))


def _said(check: CheckResult) -> str:
    return f"{check.name}: {check.remedy}" if check.remedy else check.name
