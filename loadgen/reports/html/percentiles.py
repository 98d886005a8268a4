"""Latency against percentile as HdrHistogram plots it: on log(1 - p), so that the tail has room, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from loadgen.figures import PercentileCurve
from loadgen.metrics import pairs
from loadgen.reports.format import count, duration
from loadgen.reports.html.chart import (
    BLUE,
    COLOURS,
    ORANGE,
    Chart,
    Trace,
    Unit,
    area,
    label,
    layout,
    line,
    short,
    titled,
)
from loadgen.types import ABSENT

_TICKS: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "p99.99": 0.9999, "p99.999": 0.99999}
NOTE: Final = ("Each mark to the right is ten times rarer. Areas are 95 % intervals; where a line is dotted, the "
               "sample says no more than that the truth is at least this.")
_HOVER: Final = "%{text}"


class Of(NamedTuple):
    """A curve to draw: its name in the legend, and its colour."""

    name: str
    curve: PercentileCurve
    colour: str


def latency_charts(curves: Sequence[PercentileCurve]) -> list[Chart]:
    """Draw the headline metrics, each since the request was sent and since it was due."""
    found = {curve.metric: curve for curve in curves}
    charts = []
    for metric, scheduled in pairs():
        shown = [Of(name, found[key.name], colour) for name, key, colour in (
            ("since due", scheduled, ORANGE), ("since sent", metric, BLUE)) if key and key.name in found]
        if shown:
            lines = shown if len(shown) > 1 else [shown[0]._replace(name=metric.name)]
            charts.append(overlay(f"{metric.title or metric.about} ({metric.name})", lines))
    return charts


def overlays(runs: Mapping[str, Sequence[PercentileCurve]], metrics: Mapping[str, str]) -> list[Chart]:
    """Draw a chart for each of `metrics` (name: title) that has a curve, one line a run, by the runs' names."""
    charts = []
    for metric, title in metrics.items():
        shown = [Of(name, curve, COLOURS[place % len(COLOURS)]) for place, (name, curves) in enumerate(runs.items())
                 for curve in curves if curve.metric == metric]
        if shown:
            charts.append(overlay(title, shown))
    return charts


def sampled(metric: str, count: int, points: Sequence[tuple[float, float]]) -> PercentileCurve:
    """Return a curve through (share, value) without intervals; the share 1 is drawn where the largest of `count` is."""
    top = 1 - 1 / max(count, 2)
    kept = {min(share, top): value for share, value in points if share > 0}
    values, absent = np.asarray(list(kept.values()), np.int64), np.full(len(kept), ABSENT, np.int64)
    return PercentileCurve(metric, count, np.asarray(list(kept)), values, absent, absent, absent)


def overlay(title: str, shown: Sequence[Of]) -> Chart:
    """Draw curves of one metric into one chart."""
    unit = Unit.of(*(array for one in shown for array in (one.curve.values, one.curve.bounds)))
    traces = [trace for one in shown for trace in _area_of(one, unit)]
    traces += [trace for one in shown for trace in _lines_of(one, unit)]
    counts = dict.fromkeys(count(one.curve.count) for one in shown)
    note = f"n = {', '.join(counts)}"
    top = max(float(one.curve.shares[-1]) for one in shown)
    return Chart(title, note, traces,
                 layout(_share_axis(top), titled(unit.name), showlegend=len(shown) > 1))


def _share_axis(top: float) -> dict[str, Any]:
    ticks = {name: share for name, share in _TICKS.items() if share <= max(top, 0.9)}
    return titled("percentile", tickvals=[place(share) for share in ticks.values()], ticktext=list(ticks),
                  range=[0, max(place(top), place(0.9)) * 1.02])


def place(share: float) -> float:
    """Return where a share lies on the axis: the logarithm of 1 / (1 - share)."""
    return short(-math.log10(1 - share))


def _area_of(one: Of, unit: Unit) -> list[Trace]:
    curve = one.curve
    known = np.flatnonzero((curve.low > 0) & (curve.high != ABSENT) & (curve.values != ABSENT))
    if not known.size:
        return []
    whole = slice(int(known[0]), int(known[-1]) + 1)  # 0 is no lower end, but inside the area it is one
    x = [place(share) for share in curve.shares[whole].tolist()]
    return [area(x, unit.scale(curve.low[whole]), unit.scale(curve.high[whole]), one.colour)]


def _lines_of(one: Of, unit: Unit) -> list[Trace]:
    """Draw what the sample carries as a line, and what it only bounds as a dashed one that goes on from it."""
    curve = one.curve
    x = [place(share) for share in curve.shares.tolist()]
    texts = [_said(curve, i) for i in range(len(x))]
    traces = [line(one.name, x, unit.scale(curve.values), one.colour, text=texts, hovertemplate=_HOVER,
                   legendgroup=label(one.name))]
    bounded = np.flatnonzero(curve.bounds != ABSENT)
    if bounded.size:
        first = max(int(bounded[0]) - 1, 0)
        y = np.where(curve.bounds != ABSENT, curve.bounds, curve.values)[first:]
        traces.append(line(one.name, x[first:], unit.scale(y), one.colour, text=texts[first:], hovertemplate=_HOVER,
                           line={"dash": "dot", "width": 1.4}, showlegend=False, legendgroup=label(one.name)))
    return traces


def _said(curve: PercentileCurve, i: int) -> str:
    """Write one point: "p97.5: 184 ms [170 ms, 192 ms]"."""
    value, bound, low, high = (int(column[i]) for column in (curve.values, curve.bounds, curve.low, curve.high))
    name = f"p{float(f'{curve.shares[i] * 100:.7g}'):g}" if curve.shares[i] > 0.999 else f"p{curve.shares[i] * 100:.4g}"
    if value == ABSENT:
        return f"{name}: at least {duration(bound if bound != ABSENT else None)}"
    return f"{name}: {duration(value)}" + (f" [{duration(low)}, {duration(high)}]" if high != ABSENT else "")
