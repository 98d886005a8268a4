"""The search for the load with the largest goodput: a pure function from the trials so far to the next probe.

Goodput rises with the load until objectives are missed, and falls then: it has one peak. The load is doubled until the
goodput falls below 90 % of the best seen, then the two gaps beside the best load are bisected, the wider one first,
until both are within the resolution: interval halving, as in golden-section search (Kiefer 1953), which needs one probe
less but loads that no user would type. The answer names the loads beside the best one; it is no 95 % interval, because
differences of goodput near a peak are smaller than its noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from loadgen.capacity.bracket import TRIES
from loadgen.capacity.model import UNJUDGED, Answer
from loadgen.capacity.search import Finish, Range, middle, tidy
from loadgen.capacity.trial import CLIENT, SETUP, SHORT, Probe, Trial

FALLEN: Final = 0.9
"""Share of the best goodput below which the peak has been passed."""


def next_step(trials: Sequence[Trial], within: Range) -> Probe | Finish:
    """Say what to run next, or that the search is over."""
    if not trials:
        return Probe(within.start)
    last = trials[-1]
    if last.seen.cause == SETUP:
        return Finish(last.seen.reason)
    if len(trials) >= within.most:
        return Finish(f"stopped after {len(trials)} probes: more with --max-probes")
    of_last = [trial for trial in trials if trial.probe.load == last.probe.load]
    if last.seen.outcome == UNJUDGED and last.seen.cause == CLIENT and len(of_last) < TRIES:
        return Probe(last.probe.load, len(of_last), last.probe.stretch)
    known = goodputs(trials)
    if not known:
        return Finish(f"no goodput could be measured: {last.seen.reason}")
    return _climb(trials, known, within)


def answer(trials: Sequence[Trial], within: Range, axis: str,
           coordinates: Mapping[str, float | str] | None = None) -> Answer:
    """Give the best load so far and those beside it."""
    known = goodputs(trials)
    step = next_step(trials, within)
    reason = step.reason if isinstance(step, Finish) else "the search was stopped before its end"
    best = max(known, key=lambda load: known[load]) if known else None
    if best is not None and known[best] <= 0:
        return Answer("goodput", axis, dict(coordinates or {}), probes=len(trials),
                      reason="no request met every objective at any load")
    low, high = _beside(known, best) if best is not None else (None, None)
    return Answer("goodput", axis, dict(coordinates or {}), low, high, best, 0.0, reason, len(trials))


def goodputs(trials: Sequence[Trial]) -> dict[float, float]:
    """Return the goodput of each load, the mean of its runs; those that the client spoilt are left out."""
    loads: dict[float, list[float]] = {}
    for trial in trials:
        if trial.seen.outcome != UNJUDGED or trial.seen.cause == SHORT:
            loads.setdefault(trial.probe.load, []).append(trial.seen.goodput)
    return {load: math.fsum(values) / len(values) for load, values in sorted(loads.items())}


def _climb(trials: Sequence[Trial], known: Mapping[float, float], within: Range) -> Probe | Finish:
    best = max(known, key=lambda load: known[load])
    low, high = _beside(known, best)
    tried = {trial.probe.load for trial in trials}
    if high is None and best < within.highest:
        following = min(within.highest, tidy(best * 2, within))
        if following not in tried:
            return Probe(following)
        high = min(load for load in tried if load > best)  # the client could not offer it
    if high is not None and high == max(known) and known[high] > FALLEN * known[best] and high < within.highest:
        following = min(within.highest, tidy(high * 2, within))
        if following not in tried:
            return Probe(following)
    if low is None and best > within.lowest:
        return Probe(max(within.lowest, tidy(best / 2, within)))
    gaps = [(below, above) for below, above in ((low, best), (best, high)) if below is not None and above is not None]
    for below, above in sorted(gaps, key=lambda gap: gap[1] / gap[0], reverse=True):
        between = middle(below, above, within.resolution, within)
        if between is not None and between not in tried:
            return Probe(between)
    return Finish()


def _beside(known: Mapping[float, float], best: float) -> tuple[float | None, float | None]:
    return (max((load for load in known if load < best), default=None),
            min((load for load in known if load > best), default=None))
