"""The search for the largest load that passes: a pure function from the trials so far to the next probe.

The trials are all its memory, so a search that was stopped goes on from what is on disk.

Why the interval holds 95 %. A probe passes only if the whole 95 % interval of each objective is on the right side, and
fails only if none of it is (or the server can't keep up), so at the edge itself each is wrong with 2.5 %, and less
the further from it; in between a probe is undecided, and bounds nothing. Intervals of runs near saturation promise more
than they keep, so a load bounds the answer only if two runs of it, with different seeds, agree: a run that is wrong
with probability q gives a wrong bound with q^2. The adaptively chosen loads close enough to the edge to be wrong at all
are about three, so by Bonferroni 3 q^2 <= 5 % for q up to 13 %: five times what the intervals promise. Where runs have
contradicted each other, in one load or in the order of two, three must agree. What no repetition sees is bias, a queue
that needs longer than the run to build: repetitions are therefore twice as long.
Bisection under noise with repeated queries: Burnashev & Zigangirov 1974; Karp & Kleinberg 2007. Coverage is simulated
in tests/unit/capacity/test_search.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from loadgen.capacity.bracket import TRIES, Bracket, Tried, bracket_of
from loadgen.capacity.model import FAILS, PASSES, UNJUDGED, SearchResult
from loadgen.capacity.trial import Probe, Trial
from loadgen.checks.check import SETUP, SHORT

CONFIDENCE: Final = 0.95
CONFIRM: Final = 2
"""How many times as long a repetition is."""
LONGEST: Final = 16
_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Range:
    """Where to search: from `start` by doubling or halving within [lowest, highest], down to `resolution`.

    The search is done when high / low <= 1 + resolution, or `most` probes were run. `whole`: loads are whole numbers.
    """

    start: float
    lowest: float
    highest: float
    resolution: float = 0.05
    most: int = 40
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Finish:
    """Why a search ends: with its interval (no reason), or without a bound on one side."""

    reason: str = ""


def next_step(trials: Sequence[Trial], within: Range) -> Probe | Finish:
    """Say what to run next, or that the search is over."""
    if not trials:
        return Probe(within.start)
    last = trials[-1].seen
    if last.cause == SETUP:
        return Finish(last.reason)
    bracket = bracket_of(trials)
    if len(trials) >= within.most:
        return Finish(f"stopped after {len(trials)} probes: more with --max-probes")
    waiting = next((one for one in bracket.loads if one.waiting), None)
    if waiting is not None:
        return _again(trials, waiting)
    if bracket.low is None:
        return _down(trials, bracket, within)
    if bracket.high is None:
        return _up(trials, bracket, within)
    return _narrow(trials, bracket, bracket.low, bracket.high, within)


def _first(trials: Sequence[Trial], load: float) -> Probe:
    """Run a load for the first time, as long as others have shown that it must be against a single request."""
    short = [trial.probe.stretch * trial.seen.longer for trial in trials if trial.seen.too_short]
    return Probe(load, 0, min(LONGEST, max(short, default=1)))


def answer(trials: Sequence[Trial], within: Range, goal: str, axis: str,
           coordinates: Mapping[str, float | str] | None = None) -> SearchResult:
    """Give what the trials say so far: an interval, or the side that is known and the reason for the other."""
    bracket = bracket_of(trials)
    step = next_step(trials, within)
    reason = step.reason if isinstance(step, Finish) else "the search was stopped before its end"
    ends = [one for one in (bracket.low, bracket.high) if one is not None]
    below = bracket.low is not None or bracket.high == bracket.loads[0]  # else what lies below could not be judged
    sure = bool(ends) and all(one.confirmed for one in ends) and below
    low, high = (one.load if one else None for one in (bracket.low, bracket.high))
    if sure and low is not None and high is not None and not reason.startswith("stopped"):
        reason = ""
    return SearchResult(goal, axis, dict(coordinates or {}), low, high, low, CONFIDENCE if sure else 0.0, reason,
                  len(trials), _notes(bracket, within))


def _again(trials: Sequence[Trial], one: Tried) -> Probe:
    """Run a load that could not be judged once more: longer, if that was what it lacked."""
    of_load = [trial for trial in trials if trial.probe.load == one.load]
    last = of_load[-1]
    longer = last.seen.longer if last.seen.cause == SHORT else 1
    return Probe(one.load, len(of_load), min(LONGEST, last.probe.stretch * longer))


def _repeat(trials: Sequence[Trial], one: Tried) -> Probe:
    of_load = [trial.probe for trial in trials if trial.probe.load == one.load]
    longest = max(probe.stretch for probe in of_load)
    return Probe(one.load, len(of_load), min(LONGEST, max(longest, CONFIRM * of_load[0].stretch)))


def _down(trials: Sequence[Trial], bracket: Bracket, within: Range) -> Probe | Finish:
    """Nothing passes so far: halve, unless that can't help."""
    smallest = bracket.loads[0]
    if len(bracket.loads) >= TRIES and all(one.client and one.side == UNJUDGED for one in bracket.loads):
        return Finish(f"the client spoilt every run, down to {smallest.load:g}: {trials[-1].seen.reason}")
    seen = [trial.seen for trial in trials if trial.probe.load == smallest.load]
    if smallest.side == FAILS and any(one.hopeless for one in seen):
        if not smallest.confirmed:
            return _repeat(trials, smallest)
        return Finish(f"no load would do, even the fastest request misses: {seen[-1].reason}")
    if smallest.load <= within.lowest:
        if smallest.side == FAILS and not smallest.confirmed:
            return _repeat(trials, smallest)
        at = f"{smallest.load:g}, the lowest load that was allowed,"
        why = f"{at} fails too" if smallest.side == FAILS else f"{at} can't be judged"
        return Finish(f"{why}: {seen[-1].reason}")
    return _first(trials, max(within.lowest, tidy(smallest.load / 2, within)))


def _up(trials: Sequence[Trial], bracket: Bracket, within: Range) -> Probe | Finish:
    """Nothing fails so far: double, unless the client or the user says where it ends."""
    low, largest = bracket.low, bracket.loads[-1]
    assert low is not None
    if largest.client and largest.side == UNJUDGED:
        wall = next(one for one in bracket.between if one.client)
        between = middle(low.load, wall.load, within.resolution, within)
        if between is not None:
            return _first(trials, between)
        return _sure(trials, low) or Finish(f"above {low.load:g} the client is the limit: "
                                            f"{_reason(trials, wall.load)}")
    if largest.load >= within.highest:
        return _sure(trials, low) or Finish(f"nothing fails up to {within.highest:g}, the highest that was allowed")
    return _first(trials, min(within.highest, tidy(largest.load * 2, within)))


def _narrow(trials: Sequence[Trial], bracket: Bracket, low: Tried, high: Tried, within: Range) -> Probe | Finish:
    """Bisect what is open on both sides of what is neither; then repeat the two ends until each is sure."""
    inner = [one.load for one in bracket.between] or [high.load]
    gaps = [(low.load, inner[0])]
    share = within.resolution
    if bracket.between:
        gaps, share = [*gaps, (inner[-1], high.load)], within.resolution / 2
    gaps.sort(key=lambda gap: gap[1] / gap[0], reverse=True)
    for below, above in gaps:
        between = middle(below, above, share, within)
        if between is not None:
            return _first(trials, between)
    return _sure(trials, low) or _sure(trials, high) or Finish()


def _sure(trials: Sequence[Trial], one: Tried) -> Probe | None:
    return None if one.confirmed else _repeat(trials, one)


def middle(low: float, high: float, share: float, within: Range) -> float | None:
    """Return the geometric middle of a gap that is wider than `share`; None if it is not, or holds no further load."""
    if high / low <= 1 + share:
        return None
    between = tidy(math.sqrt(low * high), within)
    return between if low < between < high else None


def tidy(load: float, within: Range) -> float:
    """Round a load to four digits, or to a whole number: a user can type it again."""
    return float(max(1, round(load))) if within.whole else float(f"{load:.{_DIGITS}g}")


def _reason(trials: Sequence[Trial], load: float) -> str:
    return next((trial.seen.reason for trial in reversed(trials) if trial.probe.load == load), "")


def _notes(bracket: Bracket, within: Range) -> tuple[str, ...]:
    notes = []
    above = [one for one in bracket.loads if bracket.high and one.load > bracket.high.load and one.side == PASSES]
    if above:
        notes.append(f"{', '.join(f'{one.load:g}' for one in above)} passed once above what fails: taken for chance")
    if bracket.between and bracket.low and bracket.high:
        seen = ", ".join(f"{one.load:g}" for one in bracket.between)
        notes.append(f"{seen}: neither passes nor fails for sure, so inside the interval")
    if bracket.low and bracket.high and not within.whole and (
            bracket.high.load / bracket.low.load > (1 + within.resolution) ** 2):
        notes.append("the interval is wider than --resolution: the edge is not sharp, or runs were too short")
    return tuple(notes)
