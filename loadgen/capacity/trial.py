"""Trials of a search: what to run, and what a finished run says about it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from loadgen.capacity.model import FAILS, PASSES, UNJUDGED
from loadgen.report import Check, Report

CLIENT: Final = "client"
SHORT: Final = "short"
SETUP: Final = "setup"
"""Why a run can't be judged: the client was too slow, the run too short, or what was asked is not what was measured."""

ACHIEVED: Final = 0.99
"""Share of the offered rate that must be completed."""

_CLIENT: Final = ("interrupted", "sender_lost", "lag", "receive_lag", "coalesced", "loop_stall", "held", "clock")
_SETUP: Final = ("token_counts", "output_length", "overflow")
_SHORT: Final = ("little", "duration", "sample_size", "precision")
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
    the fastest request missed a limit, so that no smaller load would meet it.
    """

    outcome: str
    reason: str = ""
    cause: str = ""
    longer: int = 2
    too_short: bool = False  # against a single request, whatever the load
    hopeless: bool = False
    goodput: float = 0.0


@dataclass(frozen=True, slots=True)
class Trial:
    """A probe that was run, and what was seen."""

    probe: Probe
    seen: Seen


def judge(report: Report) -> Seen:
    """Say what one run means for its load.

    A client that was too slow makes it UNJUDGED, whatever else was seen. Then it FAILS if a limit is missed by the
    whole interval, if requests failed or never ended, if less than 99 % of what was offered was completed, or if the
    server can't keep up (a drift upwards). It is UNJUDGED while any row of the verdict fails, and PASSES else: every
    limit is met by the whole interval, in a steady state.
    """
    failing = {check.name: check for check in report.verdict.checks if not check.ok}
    goodput = float(report.rates.get("goodput", 0.0))
    ours = next((failing[name] for name in _CLIENT if name in failing), None)
    if ours is not None:
        return Seen(UNJUDGED, _said(ours), CLIENT, goodput=goodput)
    if report.verdict.aborted:
        return Seen(FAILS, report.verdict.aborted, hopeless=_hopeless(report), goodput=goodput)
    for reason in _failures(report, failing):
        return Seen(FAILS, reason, hopeless=_hopeless(report), goodput=goodput)
    for names, cause in ((_SETUP, SETUP), (("steady_state", *_SHORT), SHORT)):
        for name in names:
            if name in failing:
                return Seen(UNJUDGED, _said(failing[name]), cause, _longer(report, failing),
                            too_short="duration" in failing, goodput=goodput)
    return Seen(PASSES, goodput=goodput)


def is_stable(report: Report) -> bool:
    """Say whether the run had a steady state, so that its percentiles are the server's."""
    return all(check.ok or check.warning for check in report.verdict.checks if check.name == "steady_state")


def _failures(report: Report, failing: dict[str, Check]) -> Iterator[str]:
    """Yield what speaks against the server, the most telling first."""
    missed = [gate.slo for gate in report.verdict.gates if gate.ok is False]
    drift = failing.get("steady_state")
    grows = drift is not None and not isinstance(drift.seen, str) and drift.seen > 0
    if missed:
        yield f"{' and '.join(missed)} missed" + (", UNSTABLE" if grows else "")
    for name in ("errors", "censored"):
        if name in failing:
            yield _said(failing[name])
    if drift is not None and grows and "duration" not in failing:
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
    e2e = report.metrics.get("e2e")
    if not offered or not rates.get("offered"):
        return 1.0, 0.0
    in_flight = rates["offered"] * (e2e.mean or 0.0) / 1e9 if e2e else 0.0
    return rates.get("completed", 0.0) / rates["offered"], min(ACHIEVED, 1 - 3 * math.sqrt(2 * in_flight) / offered)


def _hopeless(report: Report) -> bool:
    """Say whether the fastest request missed a limit on a percentile: a smaller load makes none faster."""
    for gate in report.verdict.gates:
        metric = report.metrics.get(gate.slo.partition(".")[0])
        if gate.ok is False and gate.unit == "ns" and metric is not None and metric.min is not None:
            from loadgen.slo import parse  # brings numpy

            if not parse(gate.slo).meets(metric.min):
                return True
    return False


def _longer(report: Report, failing: dict[str, Check]) -> int:
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


def _said(check: Check) -> str:
    return f"{check.name}: {check.remedy}" if check.remedy else check.name
