"""From what one replica carries to how many are needed, and what a million tokens cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

from loadgen.capacity.model import SearchResult, Sizing, SweepCell

HEADROOM = 0.1
"""Share of the target that is added before rounding up: replicas are never loaded evenly. The answer's low end, with
which is reckoned, is the cautious one already."""


def size(answer: SearchResult, cells: Sequence[SweepCell], target_rate: float | None = None, headroom: float = HEADROOM,
         price_per_hour: float | None = None) -> Sizing | None:
    """Reckon with the best load of an answer; None if it found none, is not sure of it, or no cell was run at it.

    Of several runs at that load the median requests and output tokens per second count. needed = target / per replica;
    replicas = needed x (1 + headroom), rounded up; cost = price per hour / output tokens per hour x 1e6.
    """
    at_best = [cell for cell in cells if cell.number in answer.cells and cell.load == answer.best
               and cell.judged]
    if answer.best is None or not answer.sure or not at_best:
        return None
    per_replica = answer.best if answer.axis == "rate" else _median([one.rates["completed"] for one in at_best])
    if answer.goal == "goodput":
        per_replica = _median([one.rates["goodput"] for one in at_best])
    if per_replica <= 0:
        return None
    tokens = _median([one.rates.get("output_tokens", 0.0) for one in at_best]) or None
    needed = target_rate / per_replica if target_rate else None
    return Sizing(
        per_replica, answer.coordinates, target_rate, headroom, needed,
        max(1, math.ceil(needed * (1 + headroom) - 1e-9)) if needed else None, tokens, price_per_hour,
        price_per_hour / (tokens * 3600) * 1e6 if price_per_hour and tokens else None)


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
