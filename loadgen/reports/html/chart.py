"""The Chart: one picture as plotly reads it, and the small parts that all charts are made of."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from loadgen.figures import Axis
from loadgen.reports.format import clean
from loadgen.types import ABSENT, SECOND

Numbers = Sequence[float] | npt.NDArray[Any]
Trace = dict[str, Any]

BLUE: Final = "#3b7ddd"
ORANGE: Final = "#d9771b"
GREEN: Final = "#2a9d6f"
RED: Final = "#d9485a"
PURPLE: Final = "#8e6bd0"
GREY: Final = "#8a93a0"
COLOURS: Final = (BLUE, ORANGE, GREEN, PURPLE, RED, "#17a2b8", "#b5892e", "#c45fa0", "#6b8e23", GREY)
"""Told apart on white, on black, and by most who see colours otherwise."""
_UNITS: Final = ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns"))
_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture: a title, a sentence that says how to read it, and plotly's traces and layout (JSON values)."""

    title: str
    note: str
    traces: Sequence[Trace]
    layout: Mapping[str, Any]
    wide: bool = False  # takes the width of the page
    height: int = 300  # px


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of time in which an axis is written."""

    size: float  # ns
    name: str

    @classmethod
    def of(cls, *values: Numbers) -> Unit:
        """Return the unit in which the largest of `values` (ns) is a number that people can read."""
        top = max((float(np.max(part)) for part in values if len(part)), default=0.0)
        return cls(*next((unit for unit in _UNITS if top >= unit[0]), _UNITS[-1]))

    def scale(self, values: Numbers) -> list[float | None]:
        """Turn ns into this unit, four digits each; ABSENT into None."""
        return [None if value == ABSENT else short(value / self.size) for value in np.asarray(values).tolist()]


def short(value: float) -> float:
    """Return a number with four digits: more are not seen, and weigh."""
    return float(f"{value:.{_DIGITS}g}")


def label(text: str) -> str:
    """Make any text safe for a label: plotly reads a part of HTML in them."""
    return html.escape(clean(text, 60))


def line(name: str, x: Sequence[Any], y: Sequence[Any], colour: str, **changes: Any) -> Trace:
    """Return a line; `name` may come from anywhere."""
    return {"type": "scatter", "mode": "lines", "name": label(name), "x": x, "y": y,
            "line": {"color": colour, "width": 1.8, **changes.pop("line", {})}, **changes}


def area(x: Sequence[Any], low: Sequence[Any], high: Sequence[Any], colour: str) -> Trace:
    """Return the area between two lines, without a name of its own."""
    return {"type": "scatter", "mode": "lines", "x": [*x, *reversed(x)], "y": [*high, *reversed(low)],
            "fill": "toself", "fillcolor": faint(colour, 0.18), "line": {"width": 0}, "hoverinfo": "skip",
            "showlegend": False}


def faint(colour: str, opacity: float) -> str:
    """Return a colour of COLOURS as see-through as asked."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def layout(x: Mapping[str, Any], y: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a layout with what all charts have in common; colours of texts and lines come from the page's style."""
    return {"margin": {"l": 64, "r": 16, "t": 12, "b": 48}, "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)", "font": {"size": 12}, "hovermode": "closest",
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "xaxis": {"zeroline": False, "automargin": True, **x},
            "yaxis": {"zeroline": False, "automargin": True, "rangemode": "tozero", **y}, **changes}


def titled(text: str, **changes: Any) -> dict[str, Any]:
    """Return an axis with a title."""
    return {"title": {"text": text, "standoff": 10}, **changes}


def time_axis(axis: Axis) -> dict[str, Any]:
    """Return the axis of seconds since the start of the schedule, over the whole run."""
    first, last = float(axis.edges[0]) / SECOND, float(axis.edges[-1]) / SECOND
    return titled("seconds since the start", range=[short(min(0.0, first)), short(last)], hoverformat=".4~r")


def middles(axis: Axis) -> list[float]:
    """Return the middle of each bin of an axis in seconds."""
    return [short(float(edge) / SECOND) for edge in axis.edges[:-1] + axis.width // 2]


def log_axis(unit: Unit, lowest: float, highest: float) -> dict[str, Any]:
    """Return a logarithmic axis of times between two of them (ns)."""
    low, high = max(lowest, 1.0) / unit.size, highest / unit.size
    ticks = _even_ticks(low, high) if high < 10 * low else _decade_ticks(low, high)
    return titled(unit.name, type="log", rangemode="normal", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks],
                  range=[math.log10(low), math.log10(high)])


def _even_ticks(low: float, high: float) -> list[float]:
    """Return about six round numbers, equally far apart."""
    power = 10.0 ** math.floor(math.log10(max((high - low) / 6, 1e-9)))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= (high - low) / 6)
    return [float(f"{step * place:g}") for place in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _decade_ticks(low: float, high: float) -> list[float]:
    digits = (1, 2, 5) if high < 1000 * low else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [tick for power in decades for digit in digits if low <= (tick := digit * 10.0**power) <= high]


def beside_the_window(axis: Axis, window: tuple[int, int]) -> dict[str, Any]:
    """Return shapes that grey out what was not measured: warm-up and cool-down."""
    ends = float(axis.edges[0]) / SECOND, float(axis.edges[-1]) / SECOND
    begin, end = (instant / SECOND for instant in window)
    parts = [(low, high) for low, high in ((ends[0], begin), (end, ends[1])) if high > low]
    shapes = [{"type": "rect", "xref": "x", "yref": "paper", "x0": low, "x1": high, "y0": 0, "y1": 1, "layer": "below",
               "line": {"width": 0}, "fillcolor": faint(GREY, 0.16)} for low, high in parts]
    return {"shapes": shapes}
