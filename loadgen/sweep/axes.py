"""How the values of an axis are written, and the combinations of several axes in order."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Final

from loadgen.capacity.model import AXES, Value
from loadgen.types import UsageError

MOST: Final = 1000
"""Values of one axis, and combinations of all; more are a slip of the pen."""

_NUMBER = r"[0-9]{1,18}(?:\.[0-9]{1,18})?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})/({_NUMBER})(x?)")
_FORMS: Final = "write 1,2,4,8, or 1..64/2x (each twice the one before), or 1..9/2 (each 2 more)"


def parse_numbers(text: str, whole: bool = False) -> tuple[float, ...]:
    """Read "1,2,4", "1..64/2x" (geometric, both ends in it) or "1..9/2" (arithmetic), also mixed: "1,2..8/2".

    Raise UsageError for anything else, for values that are not above 0, and with `whole` for fractions.
    """
    values: list[Fraction] = []
    for part in text.split(","):
        found = _RANGE.fullmatch(part.strip())
        if found:
            values += _spread(text, *found.groups())
        elif re.fullmatch(_NUMBER, part.strip()):
            values.append(Fraction(part.strip()))
        else:
            raise UsageError(f"invalid list of numbers {text!r}: {_FORMS}")
    if any(value <= 0 for value in values):
        raise UsageError(f"{text!r} holds a 0: every value of an axis is above it")
    if whole and any(value.denominator != 1 for value in values):
        raise UsageError(f"{text!r} holds a fraction: write whole numbers, or a step that gives them")
    if len(values) > MOST:
        raise UsageError(f"{text!r} is {len(values)} values: write at most {MOST}")
    return tuple(float(value) for value in dict.fromkeys(values))


def _spread(text: str, first: str, last: str, step: str, geometric: str) -> list[Fraction]:
    low, high, by = Fraction(first), Fraction(last), Fraction(step)
    if low > high or (geometric and by <= 1) or by <= 0 or low <= 0:
        raise UsageError(f"{text!r} does not go from a smaller to a larger value: {_FORMS}")
    values = [low]
    while len(values) <= MOST:
        following = values[-1] * by if geometric else values[-1] + by
        if following > high:
            break
        values.append(following)
    return values


def parse_lengths(texts: Sequence[str]) -> tuple[str, ...]:
    """Read token lengths: each text is a list of whole numbers as for a rate, or one law ("uniform:100,900")."""
    values: list[str] = []
    for text in texts:
        values += [text] if ":" in text else [f"{value:.0f}" for value in parse_numbers(text, whole=True)]
    return tuple(dict.fromkeys(values))


def combinations(axes: Mapping[str, Sequence[Value]]) -> Iterator[dict[str, Value]]:
    """Yield every combination, in the order of AXES: loads and repetitions change first, servers last.

    As many backends as urls, more than one of each, are pairs: the first backend is at the first url.
    """
    names = [name for name in AXES if axes.get(name)]
    if paired(axes):
        names = [name for name in names if name not in ("backend", "url")]
        pairs = zip(axes["backend"], axes["url"], strict=True)
        for backend, url in pairs:
            for values in itertools.product(*(axes[name] for name in names)):
                yield {"backend": backend, "url": url, **dict(zip(names, values, strict=True))}
        return
    for values in itertools.product(*(axes[name] for name in names)):
        yield dict(zip(names, values, strict=True))


def paired(axes: Mapping[str, Sequence[Value]]) -> bool:
    """Say whether backends and urls go together one by one. Raise UsageError if it can't be told which goes where."""
    backends, urls = len(axes.get("backend", ())), len(axes.get("url", ()))
    if backends > 1 and urls > 1 and backends != urls:
        raise UsageError(f"{backends} backends and {urls} urls: write one url for each backend, or one of either")
    return backends > 1 and urls > 1
