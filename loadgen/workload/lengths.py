"""Distributions of lengths in tokens, read from their short text form."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from loadgen.types import UsageError
from loadgen.workload.seeds import generator

Array = npt.NDArray[np.int64]
BLOCK: Final = 1024
"""Lengths are drawn so many at a time: a random stream for each of them would cost more than the prompt."""
LARGEST: Final = 10_000_000
FORMS: Final = '512, "uniform:100,900", "normal:512,64", "lognormal:512,0.5" (median, sigma) or "file:lengths.txt"'


@dataclass(slots=True)
class Lengths:
    """Lengths by index: `at(i)` is the same whatever was asked before. All are at least 1."""

    text: str
    mean: float
    draw: Callable[[np.random.Generator, Array], Array]
    seed: int
    purpose: str
    sha256: str = ""  # of the file that they are from
    _block: tuple[int, Array] = field(default_factory=lambda: (-1, np.empty(0, np.int64)))

    def at(self, index: int) -> int:
        number, offset = divmod(index, BLOCK)
        if self._block[0] != number:
            indices = np.arange(number * BLOCK, (number + 1) * BLOCK, dtype=np.int64)
            drawn = self.draw(generator(self.seed, self.purpose, number), indices)
            self._block = (number, np.clip(drawn, 1, LARGEST))
        return int(self._block[1][offset])

    def describe(self) -> dict[str, Any]:
        facts = {"distribution": self.text, "mean": self.mean}
        return facts | ({"sha256": self.sha256} if self.sha256 else {})


def parse(text: str, seed: int, purpose: str) -> Lengths:
    """Read a distribution. `mean` is that before rounding and before values below 1 are raised to 1.

    Forms: a number; uniform:LOW,HIGH (whole, both included); normal:MEAN,SD; lognormal:MEDIAN,SIGMA (sigma of the
    logarithm); file:PATH (one whole number a line, in order, from the start again after the last). Raises UsageError.
    """
    kind, colon, rest = text.strip().partition(":")
    if not colon:
        value = _whole(kind, text, purpose)
        return Lengths(text, value, lambda _, indices: np.full(len(indices), value, np.int64), seed, purpose)
    if kind == "file":
        values, digest = _read(Path(rest))
        return Lengths(text, float(values.mean()), lambda _, indices: values[indices % len(values)], seed, purpose,
                       digest)
    if kind == "uniform":
        low, high = (_whole(part, text, purpose) for part in _two(rest, text, purpose))
        if low > high:
            raise _wrong(text, purpose, f"{low} is more than {high}")
        return Lengths(text, (low + high) / 2, lambda rng, i: rng.integers(low, high + 1, len(i)), seed, purpose)
    if kind == "normal":
        mean, deviation = _numbers(rest, text, purpose)
        return Lengths(text, mean, lambda rng, i: _rounded(rng.normal(mean, deviation, len(i))), seed, purpose)
    if kind == "lognormal":
        median, sigma = _numbers(rest, text, purpose)
        mu = math.log(median)
        return Lengths(text, median * math.exp(sigma * sigma / 2),
                       lambda rng, i: _rounded(rng.lognormal(mu, sigma, len(i))), seed, purpose)
    raise _wrong(text, purpose, f"there is no distribution {kind!r}")


def _rounded(values: npt.NDArray[np.float64]) -> Array:
    return np.rint(np.minimum(values, LARGEST)).astype(np.int64)


def _two(rest: str, text: str, purpose: str) -> list[str]:
    parts = rest.split(",")
    if len(parts) != 2:
        raise _wrong(text, purpose, "it takes two numbers")
    return parts


def _whole(part: str, text: str, purpose: str) -> int:
    word = part.strip()
    if not (word.isascii() and word.isdigit()):
        raise _wrong(text, purpose, f"{word!r} is not a whole number")
    if not 1 <= int(word) <= LARGEST:
        raise _wrong(text, purpose, f"{word} is not between 1 and {LARGEST:,}")
    return int(word)


def _numbers(rest: str, text: str, purpose: str) -> tuple[float, float]:
    """Read a middle, above 0, and a spread, 0 or more."""
    try:
        middle, spread = (float(part) for part in _two(rest, text, purpose))
    except ValueError:
        raise _wrong(text, purpose, f"{rest!r} is not two numbers") from None
    if not (0 < middle <= LARGEST and 0 <= spread <= LARGEST):
        raise _wrong(text, purpose, "the first must be above 0, the second 0 or more")
    return middle, spread


def _read(path: Path) -> tuple[Array, str]:
    """Return the lengths of a file, and its sha256."""
    try:
        content = path.read_bytes()
        lines = content.decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the lengths file {path} can't be read: {error}") from error
    values = []
    for number, line in enumerate(lines, 1):
        word = line.strip()
        if not word:
            continue
        if not (word.isascii() and word.isdigit() and 1 <= int(word) <= LARGEST):
            raise UsageError(f"{path}:{number}: invalid length {word[:40]!r}: write a whole number above 0 on each "
                             "line")
        values.append(int(word))
    if not values:
        raise UsageError(f"the lengths file {path} has no lengths: write a whole number on each line")
    return np.array(values, np.int64), hashlib.sha256(content).hexdigest()


def _wrong(text: str, purpose: str, reason: str) -> UsageError:
    return UsageError(f"{purpose} tokens {text!r}: {reason}; write {FORMS}")
