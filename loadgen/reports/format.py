"""Numbers and foreign texts as people read them; the only place where time becomes ms or s."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from rich.cells import cell_len, chop_cells

_STEPS: Final = ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns"))
_UNKNOWN: Final = "-"
_POINT_ZEROS: Final = re.compile(r"\.0+(?=\D|$)|(?<=\.[1-9])0+(?=\D|$)")


def duration(ns: float | None) -> str:
    """Write ns with three digits: "184 ms", "2.74 s", "0.12 ms", "60.0 us"; "-" for None."""
    if ns is None:
        return _UNKNOWN
    if ns == 0:
        return "0 ms"
    if 1e5 <= abs(ns) < 1e6:
        return f"{ns / 1e6:.2f} ms"
    rounded = abs(float(f"{ns:.3g}"))
    size, unit = next((step for step in _STEPS if rounded >= step[0]), _STEPS[-1])
    return f"{three_digits(ns / size)} {unit}"


def three_digits(value: float) -> str:
    """Write a number with three digits, or all of its whole part: "1,234", "184", "19.8", "2.74"."""
    rounded = abs(float(f"{value:.3g}"))
    return f"{value:,.{2 if rounded < 10 else 1 if rounded < 100 else 0}f}"


def count(value: float | None) -> str:
    """Write a whole number with its thousands apart: "75,946"; "-" for None."""
    return _UNKNOWN if value is None else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Write events per second: "9.97", "120.4", "5,104"; "-" for None."""
    if value is None:
        return _UNKNOWN
    return f"{value:,.{2 if abs(value) < 100 else 1 if abs(value) < 1000 else 0}f}"


def share(value: float | None) -> str:
    """Write a share of 1 as a percentage: "4.1 %", "0.33 %", "<0.01 %"; "-" for None."""
    if value is None:
        return _UNKNOWN
    percent = value * 100
    if percent in (0, 100):
        return f"{percent:.0f} %"
    if 0 < percent < 0.01:
        return "<0.01 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.{1 if abs(percent) >= 1 else 2}f} %"


def quantity(value: float | str | None, unit: str) -> str:
    """Write a value in the unit that a check, a gate or a metric names: ns, share, count, per_second or none.

    Zeros after the point are left out: a limit of "5 ms" is what the user wrote.
    """
    if value is None:
        return _UNKNOWN
    if isinstance(value, str):
        return clean(value)
    if unit == "ns":
        text = duration(value)
    elif unit == "share":
        text = share(value)
    elif unit == "per_second":
        text = f"{rate(value)}/s"
    else:
        text = count(value) if unit == "count" else f"{three_digits(value)} {unit}".rstrip()
    return _POINT_ZEROS.sub("", text)


def clean(text: str, width: int | None = None) -> str:
    """Make a foreign text safe for a terminal: one line, no control, format or lone surrogate characters.

    With `width`, what needs more terminal cells ends in "...".
    """
    kept = "".join(" " if c.isspace() else "" if unicodedata.category(c) == "Cf" else
                   "?" if unicodedata.category(c)[0] == "C" else c for c in text)
    line = " ".join(kept.split())
    if width is None or cell_len(line) <= width:
        return line
    return chop_cells(line, max(2, width - 3))[0] + "..."


def megabytes(size: int) -> str:
    """Write a number of bytes in MB."""
    return f"{size / 1e6:,.0f} MB"
