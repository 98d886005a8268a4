"""What trials say of each load, and the two loads between which the edge is. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from loadgen.capacity.model import FAILS, PASSES, UNJUDGED
from loadgen.capacity.trial import Trial
from loadgen.checks.check import CLIENT

AGREE: Final = 2
AGREE_IN_DOUBT: Final = 3
"""Runs of a load that must agree before it bounds the answer; in doubt where some runs have contradicted others."""
TRIES: Final = 3
"""Runs in succession that can't be judged before a load is given up: it bounds nothing, whatever it showed once."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What was seen of one load."""

    load: float
    passes: int = 0
    fails: int = 0
    tail: int = 0  # runs at the end, one after the other, that could not be judged
    client: bool = False  # what could not be judged last is the client's doing
    agree: int = AGREE

    @property
    def enough(self) -> bool:
        """Whether as many runs have passed, or failed, as must agree."""
        return max(self.passes, self.fails) >= self.agree

    @property
    def side(self) -> str:
        """PASSES or FAILS if all judged runs say so; UNJUDGED where they differ, or too few will ever be judged."""
        if not self.enough and self.tail >= TRIES:
            return UNJUDGED
        if self.passes and not self.fails:
            return PASSES
        return FAILS if self.fails and not self.passes else UNJUDGED

    @property
    def waiting(self) -> bool:
        """Whether the last run could not be judged, and another may be."""
        return 0 < self.tail < TRIES

    @property
    def confirmed(self) -> bool:
        return self.enough and self.side != UNJUDGED


@dataclass(frozen=True, slots=True)
class Bracket:
    """The loads in order, and the two between which the edge is.

    `low` is the largest that passes below every one that fails; `between` are those that are neither.
    """

    loads: tuple[Tried, ...]
    low: Tried | None
    high: Tried | None
    between: tuple[Tried, ...] = ()


def bracket_of(trials: Sequence[Trial]) -> Bracket:
    """Find the bracket that the trials so far give."""
    loads = _all_tried(trials)
    high = next((one for one in loads if one.side == FAILS), None)
    low = next((one for one in reversed(loads) if one.side == PASSES and (high is None or one.load < high.load)), None)
    between = tuple(one for one in loads if one.side == UNJUDGED and (low is None or one.load > low.load)
                    and (high is None or one.load < high.load))
    return Bracket(loads, low, high, between)


def _all_tried(trials: Sequence[Trial]) -> tuple[Tried, ...]:
    loads = [_tried(load, trials) for load in sorted({trial.probe.load for trial in trials})]
    lowest = min((one.load for one in loads if one.fails and not one.passes), default=math.inf)
    doubt = any(one.passes and (one.fails or one.load > lowest) for one in loads)
    return tuple(replace(one, agree=AGREE_IN_DOUBT) if doubt else one for one in loads)


def _tried(load: float, trials: Sequence[Trial]) -> Tried:
    of_load = [trial.seen for trial in trials if trial.probe.load == load]
    outcomes = [seen.outcome for seen in of_load]
    tail = 0
    while tail < len(outcomes) and outcomes[-1 - tail] == UNJUDGED:
        tail += 1
    return Tried(load, outcomes.count(PASSES), outcomes.count(FAILS), tail, tail > 0 and of_load[-1].cause == CLIENT)
