"""Curves through the cells of a sweep: load against latency and goodput, and the front of what no cell beats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from loadgen.capacity.model import SweepCell, Value
from loadgen.metrics import names

LOADS: Final = ("rate", "concurrency", "run")
"""Axes along which a curve runs; cells that differ on another one are on different curves."""


def curves(cells: Sequence[SweepCell]) -> dict[str, Any]:
    """Return what sweep.json holds under "curves": plain numbers, latencies in ns, rates per second.

    `load`: [{coordinates, points: [{cell, load, stable, requests, output_tokens, goodput, ttft_p99, itl_p99}]}], a
    curve for each combination of the other axes, by rising load. `pareto`: [{cell, tokens_per_user, output_tokens,
    front}], `front` where no other stable cell gives more of both.
    """
    found = [{"coordinates": dict(key), "points": [_point(cell) for cell in sorted(group, key=lambda one: one.load)]}
             for key, group in grouped(cells).items()]
    return {"load": found, "pareto": pareto(cells)}


def grouped(cells: Iterable[SweepCell]) -> dict[tuple[tuple[str, Value], ...], list[SweepCell]]:
    """Part cells by where they are on the axes that are no load, in the order in which they come."""
    groups: dict[tuple[tuple[str, Value], ...], list[SweepCell]] = {}
    for cell in cells:
        key = tuple((axis, value) for axis, value in cell.coordinates.items() if axis not in LOADS)
        groups.setdefault(key, []).append(cell)
    return groups


def _point(cell: SweepCell) -> dict[str, Any]:
    return {"cell": cell.number, "load": cell.load, "stable": cell.stable, "requests": cell.rates.get("completed"),
            "output_tokens": cell.rates.get("output_tokens"), "goodput": cell.rates.get("goodput"),
            **{f"{name}_p99": cell.percentile(name, "p99") for name in names(lambda one: one.brief and one.streamed)}}


def pareto(cells: Iterable[SweepCell]) -> list[dict[str, Any]]:
    """Return the cells with both numbers, by rising tokens per user, and which of them are on the front."""
    points = [(cell.tokens_per_user, cell.rates.get("output_tokens"), cell) for cell in cells]
    known = sorted(((user, total, cell) for user, total, cell in points if user and total is not None),
                   key=lambda one: one[:2])
    best, front = float("-inf"), set()
    for _, total, cell in reversed(known):  # from the fastest for a user; only what gives more in all is on the front
        if cell.stable and total > best:
            best = total
            front.add(cell.number)
    return [{"cell": cell.number, "tokens_per_user": user, "output_tokens": total, "front": cell.number in front}
            for user, total, cell in known]
