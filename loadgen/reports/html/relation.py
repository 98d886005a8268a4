"""One quantity against another over several runs, and how much each of several quantities changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loadgen.reports.html.chart import COLOURS, GREEN, GREY, RED, Chart, Trace, Unit, label, layout, short, titled


@dataclass(frozen=True, slots=True)
class Point:
    """A place on a chart: x, y, what is said of it, and the ends of y's interval, if it has one.

    A `hollow` point is shown, and is not to be relied on.
    """

    x: float
    y: float
    text: str = ""
    low: float | None = None
    high: float | None = None
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """Points that a line connects in their order; without `line` they stand alone."""

    name: str
    points: Sequence[Point]
    line: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """A ratio of new to base with the ends of its interval, and which way it is: better, worse, or "" for neither."""

    name: str
    ratio: float
    low: float | None = None
    high: float | None = None
    way: str = ""


def relation(title: str, note: str, x: str, y: str, series: Sequence[Series]) -> Chart | None:
    """Draw series under the titles of both axes; `y` "ns" draws times in a unit that fits. None without points."""
    shown = [one for one in series if one.points]
    if not shown:
        return None
    unit = Unit.of([point.y for one in shown for point in one.points]) if y == "ns" else Unit(1.0, y)
    traces = [_trace(one, COLOURS[place % len(COLOURS)], unit) for place, one in enumerate(shown)]
    return Chart(title, note, traces, layout(titled(x, rangemode="tozero"), titled(unit.name),
                                             showlegend=len(shown) > 1))


def _trace(one: Series, colour: str, unit: Unit) -> Trace:
    points = one.points
    trace: Trace = {
        "type": "scatter", "mode": "lines+markers" if one.line else "markers", "name": label(one.name),
        "x": [short(point.x) for point in points], "y": [short(point.y / unit.size) for point in points],
        "line": {"color": colour, "width": 1.8}, "text": [label(point.text) for point in points],
        "marker": {"color": colour, "size": 8, "symbol": ["circle-open" if point.hollow else "circle"
                                                          for point in points]},
        "hovertemplate": f"%{{text}}<br>%{{x}}, %{{y}} {unit.name}<extra></extra>"}
    if any(point.low is not None or point.high is not None for point in points):
        trace["error_y"] = {
            "type": "data", "symmetric": False, "color": colour, "thickness": 1,
            "array": [_beyond(point.high, point.y, unit) for point in points],
            "arrayminus": [_beyond(point.y, point.low, unit) for point in points]}
    return trace


def _beyond(upper: float | None, lower: float | None, unit: Unit) -> float:
    """Return how far an end of an interval is away; 0 for an end that is not there."""
    return 0.0 if upper is None or lower is None else short(max(0.0, upper - lower) / unit.size)


def changes(title: str, note: str, found: Sequence[Change]) -> Chart | None:
    """Draw each change as a point with its interval, to the left of 0 for less. None without any."""
    if not found:
        return None
    colours = {"better": GREEN, "worse": RED}
    traces: list[Trace] = [{
        "type": "scatter", "mode": "markers", "x": [short(_percent(one.ratio)) for one in found],
        "y": [label(one.name) for one in found],
        "marker": {"size": 9, "color": [colours.get(one.way, GREY) for one in found]},
        "error_x": {"type": "data", "symmetric": False, "thickness": 1.5, "color": GREY,
                    "array": [_gap(one.ratio, one.high) for one in found],
                    "arrayminus": [_gap(one.low, one.ratio) for one in found]},
        "hovertemplate": "%{y}: %{x:+.3~r} %<extra></extra>", "showlegend": False}]
    zero = {"type": "line", "xref": "x", "yref": "paper", "x0": 0, "x1": 0, "y0": 0, "y1": 1,
            "line": {"color": GREY, "width": 1.5, "dash": "dot"}}
    y: dict[str, Any] = {"autorange": "reversed", "rangemode": "normal", "type": "category", "showgrid": False}
    return Chart(title, note, traces, layout(titled("change in %"), y, shapes=[zero]), wide=True,
                 height=110 + 26 * len(found))


def _percent(ratio: float) -> float:
    return (ratio - 1) * 100


def _gap(low: float | None, high: float | None) -> float:
    return 0.0 if low is None or high is None else short(max(0.0, high - low) * 100)
