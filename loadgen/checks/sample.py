"""The rows of the verdict about statistics: is the sample large, precise, long and steady enough."""

from __future__ import annotations

import math
from typing import Final

from loadgen.checks.check import Judged
from loadgen.checks.gates import MOST, Decision
from loadgen.checks.inputs import Evidence
from loadgen.checks.steady import Steady
from loadgen.types import SECOND
from loadgen.units import format_duration

TIMES_MEAN: Final = 10
"""How many mean end-to-end times the window must hold."""



def sample_size(evidence: Evidence) -> Judged:
    """Every gated statistic has an interval on the side that decides it."""
    lacking = [one for one in evidence.gates if one.gate.ok is None and not one.has_interval]
    if not lacking:
        return Judged(True, "enough", "every gate has an interval", "", warning=False)
    worst = max(lacking, key=lambda one: one.gate.needed)
    if worst.interval is None:
        return Judged(False, f"no {worst.slo.metric}", "a value", "", _absent(evidence, worst),
                     evidence.lax)
    return Judged(False, evidence.offered, worst.gate.needed, "count",
                 f"{worst.slo.text} needs {worst.gate.needed:,} requests: {_longer(evidence, worst.gate.needed)}",
                 evidence.lax)


def precision(evidence: Evidence) -> Judged:
    """Every gate is decided by its interval; one that isn't needs a narrower interval."""
    open_ = [one for one in evidence.gates if one.gate.ok is None and one.has_interval]
    if not open_:
        return Judged(True, "decided" if evidence.gates else "no --slo", evidence.precision, "share")
    worst = max(open_, key=lambda one: one.gate.needed)
    remedy = f"the interval of {worst.slo.text} holds the limit: {_decide(evidence, worst)}"
    if worst.half_width <= evidence.precision or math.isinf(worst.half_width):
        return Judged(False, "undecided", "decided", "", remedy, evidence.lax)
    return Judged(False, worst.half_width, evidence.precision, "share", remedy, evidence.lax)


def duration(evidence: Evidence) -> Judged:
    """The window holds ten mean end-to-end times."""
    limit = math.ceil(TIMES_MEAN * (evidence.mean_time or 0))
    return Judged(evidence.length >= limit, evidence.length, limit, "ns",
                 f"the window is short against a request: --duration {_seconds(limit)}", evidence.lax)


def steady_state(evidence: Evidence) -> Judged:
    """Nothing drifts: as much ends as arrives, the number in flight and e2e stay. Else percentiles mean nothing."""
    if evidence.changing:
        return Judged(True, "the load changes as planned", "", "")
    steady = evidence.steady
    name, seen, limit, unit = _worst(steady)
    if steady.ok:
        return Judged(True, seen, limit, unit)
    short = evidence.length < 4 * steady.settling
    return Judged(False, seen, limit, unit, _why(evidence, name, seen, short), evidence.lax and short)


def little(evidence: Evidence) -> Judged:
    """Little's law holds over the window: mean in flight = rate x mean time in flight, within 5 %."""
    part = evidence.steady.little
    if evidence.changing:
        return Judged(True, "the load changes as planned", 0.05, "share")
    if part is None:
        return Judged(True, "window too short to say", 0.05, "share")
    return Judged(part.ok, part.seen, part.allowed, "share")


def _worst(steady: Steady) -> tuple[str, float | str, float | str, str]:
    """Return (what, seen, limit, unit) of the part that drifts most against its limit."""
    parts = (("balance", steady.balance, "share"), ("latency", steady.latency, "share"),
             ("in flight", steady.in_flight, "count"))
    known = [(name, part, unit) for name, part, unit in parts if part is not None]
    if not known:
        return "", "window too short to say", "", ""
    name, part, unit = max(known, key=lambda one: abs(one[1].seen) / one[1].allowed if one[1].allowed else 0.0)
    return name, part.seen, part.allowed if math.isfinite(part.allowed) else "noise", unit


def _why(evidence: Evidence, name: str, seen: float | str, short: bool) -> str:
    what = {"balance": "requests end slower than they arrive", "latency": "requests get slower and slower",
            "in flight": "the number in flight grows and grows"}[name]
    if isinstance(seen, float) and seen < 0:
        falls = {"balance": "more requests end than arrive", "latency": "requests get faster and faster",
                 "in flight": "the number in flight falls"}[name]
        return f"the server was not warm, or load from before the window drains: {falls}; a longer --warmup"
    if short:
        longer = _seconds(TIMES_MEAN * evidence.steady.settling)
        return f"the server can't keep up, or the window is too short to say: {what}; --duration {longer}"
    if evidence.closed_loop:
        return f"the server slows down under a constant number of requests: {what}; find out why, or run longer"
    if evidence.steady.balance is None or evidence.steady.balance.ok:
        return f"the server can't keep up, or only just: {what}; a lower --rate, or a longer --duration to be sure"
    return f"the server can't keep up: {what}, and these percentiles depend on --duration alone; a lower --rate"


def _absent(evidence: Evidence, one: Decision) -> str:
    if not evidence.succeeded:
        return f"{one.slo.text} can't be decided: no request succeeded"
    if not evidence.stream:
        return f"{one.slo.text} needs token times, which an answer in one piece has not: --stream, or gate e2e"
    return f"{one.slo.text} can't be decided: no answer has a {one.slo.metric}; leave this --slo out"


def _decide(evidence: Evidence, one: Decision) -> str:
    if one.gate.needed >= MOST:
        return "the value is at the limit, which no number of requests decides: another limit"
    return f"about {one.gate.needed:,} requests decide it: {_longer(evidence, one.gate.needed)}"


def _longer(evidence: Evidence, requests: int) -> str:
    if evidence.rate > 0:
        return f"--requests {requests} or --duration {_seconds(requests / evidence.rate * SECOND)}"
    return f"--requests {requests}"


def _seconds(length: float) -> str:
    return format_duration(max(1, math.ceil(length / SECOND)) * SECOND)
