"""Laws of delay, as tables of quantiles: the same delays for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import exp, log
from random import Random
from statistics import NormalDist
from typing import Final

from loadgen.types import UsageError
from loadgen.units import parse_duration

TABLE: Final = 1 << 14
"""Values a law is sampled to: one from each of 16,384 equal shares, so that a lap of the table has the law exactly."""

_FORMS: Final = "a duration (20ms), normal:20ms,2ms, lognormal:20ms,0.5, uniform:10ms,30ms or exponential:20ms"


class Delay:
    """A law of delays, ns, never negative: `at(i)` is its i-th value, the same for the same seed."""

    def __init__(self, text: str, seed: str = "") -> None:
        self.text = text
        inverse = _law(text)
        if inverse is None:
            self.values = [parse_duration(text)]
        else:
            self.values = [max(0, round(inverse((i + 0.5) / TABLE))) for i in range(TABLE)]
            Random(f"{text}/{seed}").shuffle(self.values)
        self.mask = len(self.values) - 1

    def at(self, i: int) -> int:
        return self.values[i & self.mask]


def _exponential(mean: int) -> Callable[[float], float]:
    return lambda share: -mean * log(1 - share)


def _lognormal(median: int, sigma: float) -> Callable[[float], float]:
    if not 0 < sigma <= 10:
        raise ValueError("sigma is above 0 and at most 10")
    standard = NormalDist()
    return lambda share: median * exp(sigma * standard.inv_cdf(share))


def _normal(mean: int, deviation: int) -> Callable[[float], float]:
    if deviation == 0:
        raise ValueError("the deviation is 0")
    return NormalDist(mean, deviation).inv_cdf


def _uniform(low: int, high: int) -> Callable[[float], float]:
    if low > high:
        raise ValueError("the lower end is above the upper one")
    return lambda share: low + (high - low) * share


_LAWS: Final[Mapping[str, tuple[Callable[..., Callable[[float], float]], tuple[Callable[[str], float], ...]]]] = {
    "exponential": (_exponential, (parse_duration,)),
    "lognormal": (_lognormal, (parse_duration, float)),
    "normal": (_normal, (parse_duration, parse_duration)),
    "uniform": (_uniform, (parse_duration, parse_duration)),
}
"""Name of a law -> its quantile function (share -> ns), made from parameters that are read so."""


def _law(text: str) -> Callable[[float], float] | None:
    """Find the quantile function of a law; None for a plain duration."""
    name, colon, rest = text.partition(":")
    if not colon:
        return None
    words = rest.split(",")
    if name not in _LAWS or len(words) != len(_LAWS[name][1]):
        raise UsageError(f"invalid delay {text!r}: write {_FORMS}")
    make, readers = _LAWS[name]
    try:
        return make(*[read(word) for read, word in zip(readers, words, strict=True)])
    except (UsageError, ValueError) as error:
        raise UsageError(f"invalid delay {text!r} ({error}): write {_FORMS}") from None
