"""How durations, rates and counts are written by users, and how durations are written back."""

from __future__ import annotations

import re
from fractions import Fraction
from math import isfinite
from typing import Final

from loadgen.types import UsageError

UNITS: Final = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}
LONGEST: Final = 2**62
"""ns; about 146 years. Sums of two durations still fit 64 bits."""

_NUMBER = r"[0-9]{1,40}(?:\.[0-9]{1,40})?"
_DURATION = re.compile(rf"({_NUMBER})(us|ms|s|m|h)")
_BARE = re.compile(_NUMBER)
_RATE = re.compile(rf"{_NUMBER}(?:e[+-]?[0-9]+)?", re.IGNORECASE)
_COUNT = re.compile(r"[0-9]+")


def parse_duration(text: str) -> int:
    """Read "500us", "500ms", "1.5s", "60s", "5m" or "1h" as ns; "0" needs no unit.

    Raise UsageError for anything else, a fraction of a nanosecond included.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        if _BARE.fullmatch(text):
            if Fraction(text) == 0:
                return 0
            raise UsageError(f"invalid duration {text!r}: add a unit, e.g. {text}s (or us, ms, m, h)")
        raise UsageError(f"invalid duration {text!r}: write a number and a unit, e.g. 500us, 500ms, 60s, 5m or 1h")
    length = Fraction(match[1]) * UNITS[match[2]]
    if length.denominator != 1:
        raise UsageError(f"{text!r} is finer than a nanosecond: write at most 0.001us")
    if length > LONGEST:
        raise UsageError(f"{text!r} is too long: write at most {LONGEST // UNITS['h']}h")
    return int(length)


def format_duration(length: int) -> str:
    """Write ns in the largest unit that needs no fraction: "1500ms", "1m", "0s"; below 1 us as "0.25us".

    parse_duration gives back the same ns. Raise ValueError for a negative length, which no duration is.
    """
    if length < 0:
        raise ValueError(f"a duration is not negative: {length}")
    if length == 0:
        return "0s"
    for unit in reversed(UNITS):
        if length % UNITS[unit] == 0:
            return f"{length // UNITS[unit]}{unit}"
    whole, rest = divmod(length, UNITS["us"])
    return f"{whole}.{rest:03d}".rstrip("0") + "us"


def parse_rate(text: str) -> float:
    """Read a positive, finite number per second, as in "10", "2.5" or "1e3". Raise UsageError for anything else."""
    rate = float(text) if _RATE.fullmatch(text) else 0.0
    if rate <= 0 or not isfinite(rate):
        raise UsageError(f"invalid rate {text!r}: write a positive number per second, as in 10 or 0.5")
    return rate


def parse_count(text: str, least: int = 1) -> int:
    """Read a whole number of at least `least` (1), as in "1000". Raise UsageError for anything else."""
    if not _COUNT.fullmatch(text) or len(text) > 18 or int(text) < least:
        raise UsageError(f"invalid count {text!r}: write a whole number of at least {least}, as in {max(least, 100)}")
    return int(text)
