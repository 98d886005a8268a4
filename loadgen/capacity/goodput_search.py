"""The search for the load with the largest goodput: a pure function from the trials so far to the next probe.

Goodput rises with the load until objectives are missed, and falls then: it has one peak. The load is doubled until the
goodput falls below 90 % of the best seen, then the two gaps beside the best load are bisected, the wider one first,
until both are within the resolution: interval halving, as in golden-section search (Kiefer 1953), which needs one probe
less but loads that no user would type. The answer names the loads beside the best one; it is no 95 % interval, because
differences of goodput near a peak are smaller than its noise. A load with which the server can't keep up has no goodput
of its own: what a run shows falls with its length. It is never the best one, and the search stays below it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from loadgen.capacity.bracket import TRIES
from loadgen.capacity.model import UNJUDGED, SearchResult
from loadgen.capacity.search import Finish, Range, middle, tidy
from loadgen.capacity.trial import Probe, Seen, Trial
from loadgen.checks.check import CLIENT, SETUP, SHORT

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
    return _climb(trials, known, within) if known else _descend(trials, within)


def answer(trials: Sequence[Trial], within: Range, axis: str,
           coordinates: Mapping[str, float | str] | None = None) -> SearchResult:
    """Give the best load so far and those beside it."""
    known = goodputs(trials)
    step = next_step(trials, within)
    reason = step.reason if isinstance(step, Finish) else "the search was stopped before its end"
    best = max(known, key=lambda load: known[load]) if known else None
    if best is None or known[best] <= 0:
        return _nothing(trials, within, SearchResult("goodput", axis, dict(coordinates or {}), None, None, None, 0.0,
                                                     reason,
                                               len(trials)))
    low, high = _beside(known, best)
    return SearchResult("goodput", axis, dict(coordinates or {}), low, high, best, 0.0, reason, len(trials))


def _nothing(trials: Sequence[Trial], within: Range, found: SearchResult) -> SearchResult:
    """Say that no load has a goodput, with `high` the lowest one, if that was seen there too."""
    lowest = min(trials, key=lambda trial: trial.probe.load, default=None)
    if lowest is None or lowest.probe.load > within.lowest or not _measured(lowest.seen):
        return replace(found, reason=found.reason or "no request met every objective where that could be measured")
    return replace(found, high=lowest.probe.load, reason="no request met every objective at any load"
                   if not lowest.seen.grows else f"the server keeps up with no load: {lowest.seen.reason}")


def goodputs(trials: Sequence[Trial]) -> dict[float, float]:
    """Return the goodput of each load, the mean of its runs.

    Those that the client spoilt are left out, and those in which the server could not keep up.
    """
    loads: dict[float, list[float]] = {}
    for trial in trials:
        if _measured(trial.seen) and not trial.seen.grows:
            loads.setdefault(trial.probe.load, []).append(trial.seen.goodput)
    return {load: math.fsum(values) / len(values) for load, values in sorted(loads.items())}


def _measured(seen: Seen) -> bool:
    return seen.outcome != UNJUDGED or seen.cause == SHORT


def _descend(trials: Sequence[Trial], within: Range) -> Probe | Finish:
    """No load has a goodput so far: halve while the server can't keep up."""
    last = trials[-1]
    if last.seen.grows and last.probe.load > within.lowest:
        return Probe(max(within.lowest, tidy(last.probe.load / 2, within)))
    return Finish(f"no goodput could be measured: {last.seen.reason}")


def _climb(trials: Sequence[Trial], known: Mapping[float, float], within: Range) -> Probe | Finish:
    best = max(known, key=lambda load: known[load])
    low, high = _beside(known, best)
    tried = {trial.probe.load for trial in trials}
    above, below = ({load for load in tried if load > best}, {load for load in tried if load < best})
    if high is None and best < within.highest:
        if not above:
            return Probe(min(within.highest, tidy(best * 2, within)))
        high = min(above)  # the client could not offer it, or the server not keep up with it
    if high in known and high == max(tried) and known[high] > FALLEN * known[best] and high < within.highest:
        return Probe(min(within.highest, tidy(high * 2, within)))
    if low is None and best > within.lowest:
        if not below:
            return Probe(max(within.lowest, tidy(best / 2, within)))
        low = max(below)  # the client spoilt it
    gaps = [(one, other) for one, other in ((low, best), (best, high)) if one is not None and other is not None]
    for one, other in sorted(gaps, key=lambda gap: gap[1] / gap[0], reverse=True):
        between = middle(one, other, within.resolution, within)
        if between is not None and between not in tried:
            return Probe(between)
    return Finish()


def _beside(known: Mapping[float, float], best: float) -> tuple[float | None, float | None]:
    return (max((load for load in known if load < best), default=None),
            min((load for load in known if load > best), default=None))
