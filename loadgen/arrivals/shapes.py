"""The table of load shapes: how the rate goes over time. A shape of your own is a class and one more row.

A law draws its points at the shape's peak rate; the shape inverts its integrated rate over them, which gives the
instants (the time change theorem; inversion, Cinlar 1975, 4.7). A constant rate has nothing to invert.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from loadgen.arrivals.points import Points
from loadgen.types import SECOND, UsageError
from loadgen.units import parse_duration


class Shape(Protocol):
    """The rate of a load as a function of time, from the start of the measured window; times are ns."""

    @property
    def peak(self) -> float:
        """The highest rate, requests per second, above 0: that at which points are drawn."""

    def rate(self, at: float) -> float:
        """Return the rate at an instant; the warm-up has that of 0, the cool-down that of the window's end."""

    def count(self, length: float) -> float:
        """Return the expected number of requests in the first `length` ns: the integral of the rate."""

    def instants(self, points: Points) -> Points:
        """Return when each point at the peak rate is due: the length with count(length) = points x peak / SECOND."""

    def __str__(self) -> str:
        """Say it in words, with its unit."""


def length_of(shape: Shape, n: int) -> float:
    """Return the length in which a shape expects n requests, in ns."""
    return float(shape.instants(np.array([n * SECOND / shape.peak]))[0])


@dataclass(frozen=True, slots=True)
class Constant:
    """The same rate all the time."""

    peak: float

    def rate(self, at: float) -> float:
        return self.peak

    def count(self, length: float) -> float:
        return self.peak * length / SECOND

    def instants(self, points: Points) -> Points:
        return points

    def __str__(self) -> str:
        return f"{self.peak:g} requests/s"


@dataclass(frozen=True, slots=True)
class Ramp:
    """From the rate `first` to `last` in a straight line over `over` ns, and `last` from there on."""

    first: float
    last: float
    over: int

    @property
    def peak(self) -> float:
        return max(self.first, self.last)

    def rate(self, at: float) -> float:
        return self.first + (self.last - self.first) * min(at / self.over, 1.0)

    def count(self, length: float) -> float:
        ramp = min(length, self.over)
        mean = (self.first + self.rate(ramp)) / 2
        return (mean * ramp + self.last * (length - ramp)) / SECOND

    def instants(self, points: Points) -> Points:
        """Solve first t + slope t^2 / 2 = wanted as 2 wanted / (first + root), which a slope near 0 does not upset."""
        wanted = points * (self.peak / SECOND)
        whole = self.count(self.over)
        inside = np.minimum(wanted, whole)
        slope = (self.last - self.first) / (self.over / SECOND)
        root = np.sqrt(np.maximum(self.first ** 2 + 2 * slope * inside, 0))
        at = 2 * inside / np.maximum(self.first + root, np.finfo(float).tiny)
        return np.minimum(at * SECOND, self.over) + np.maximum(wanted - whole, 0) * (SECOND / self.last)

    def __str__(self) -> str:
        return f"ramp {_written(self.first, self.last, self.over)}"


@dataclass(frozen=True, slots=True)
class Exponential:
    """From the rate `first` to `last` by the same factor each second over `over` ns, and `last` from there on."""

    first: float
    last: float
    over: int

    @property
    def peak(self) -> float:
        return max(self.first, self.last)

    @property
    def _growth(self) -> float:
        """The exponent per second."""
        return math.log(self.last / self.first) / (self.over / SECOND)

    def rate(self, at: float) -> float:
        return self.first * math.exp(self._growth * min(at, self.over) / SECOND)

    def count(self, length: float) -> float:
        ramp = min(length, self.over)
        exponent = self._growth * ramp / SECOND
        mean = self.first * (math.expm1(exponent) / exponent if exponent else 1.0)
        return (mean * ramp + self.last * (length - ramp)) / SECOND

    def instants(self, points: Points) -> Points:
        """Solve first (exp(growth t) - 1) / growth = wanted as log1p, which a growth near 0 does not upset."""
        wanted = points * (self.peak / SECOND)
        whole = self.count(self.over)
        inside = np.minimum(wanted, whole) / self.first
        grown = np.maximum(self._growth * inside, np.nextafter(-1.0, 0))
        at = inside * np.divide(np.log1p(grown), grown, out=np.ones_like(grown), where=grown != 0)
        return np.minimum(at * SECOND, self.over) + np.maximum(wanted - whole, 0) * (SECOND / self.last)

    def __str__(self) -> str:
        return f"exponential ramp {_written(self.first, self.last, self.over)}"


def _written(first: float, last: float, over: int) -> str:
    return f"{first:g} to {last:g} requests/s over {over / SECOND:g} s"


_ENDS: Final = re.compile(r"([0-9.e+-]+?)\.\.([0-9.e+-]+)/(\S+)", re.IGNORECASE)


def _ends(text: str) -> tuple[float, float, int]:
    """Read "1..50/120s" as (1.0, 50.0, ns). Raises UsageError or ValueError for anything else."""
    found = _ENDS.fullmatch(text)
    if found is None:
        raise ValueError(text)
    first, last, over = float(found[1]), float(found[2]), parse_duration(found[3])
    if not (0 <= first < math.inf and 0 < last < math.inf):
        raise UsageError("the last rate must be above 0, and the first can't be below it")
    if over == 0:
        raise UsageError("a ramp takes time: write how long after the slash, as in 120s")
    return first, last, over


def read_ramp(text: str) -> Ramp:
    """Read the ends and the length of a linear ramp."""
    return Ramp(*_ends(text))


def read_exponential(text: str) -> Exponential:
    """Read the ends and the length of an exponential ramp, which can't begin at 0."""
    first, last, over = _ends(text)
    if first == 0:
        raise UsageError("an exponential ramp can't begin at 0: write a small rate, such as 0.1")
    return Exponential(first, last, over)


@dataclass(frozen=True, slots=True)
class ShapeForm:
    """How one kind of shape is written, after its name and a colon: an example, and what reads it."""

    example: str
    read: Callable[[str], Shape]


SHAPES: Final[dict[str, ShapeForm]] = {
    "ramp": ShapeForm("1..50/120s", read_ramp),
    "exp": ShapeForm("1..50/120s", read_exponential),
}


def parse_shape(text: str) -> Shape:
    """Read "ramp:1..50/120s" or another shape of the table. Raises UsageError that names the shapes there are."""
    name, _, rest = text.partition(":")
    form = SHAPES.get(name)
    examples = " or ".join(f"{one}:{each.example}" for one, each in SHAPES.items())
    if form is None:
        raise UsageError(f"no load shape is named {name!r}: write {examples}")
    try:
        return form.read(rest)
    except ValueError:
        raise UsageError(f"{text!r} is no load shape: write {examples}") from None
    except UsageError as error:
        raise UsageError(f"the load shape {text!r}: {error}") from None
