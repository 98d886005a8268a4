"""Counts of names that servers and backends make up, bounded in number and the same in whatever order they came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

MOST_NAMES: Final = 50
"""Names that are shown, the most frequent ones."""
MOST_KEPT: Final = 1000
"""Names that are counted; beyond that, the first in the order of the alphabet."""
OTHER: Final = "(other)"


class NameCounts:
    """How often each name came.

    The name alone decides whether it is kept: one of the first MOST_KEPT of a run is one of them in each part of it
    too. So a name has its whole count or none, and parts add up to the same in any order.
    """

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: Counter[str] = Counter()

    def add(self, names: Iterable[str]) -> None:
        """Count names."""
        self._kept.update(names)
        self._trim()

    def merge(self, other: NameCounts) -> None:
        """Add what another has counted."""
        self._kept.update(other._kept)
        self._trim()

    def counts(self) -> Counter[str]:
        """Return the most frequent names, and all others as one."""
        if len(self._kept) <= MOST_NAMES:
            return Counter(self._kept)
        ranked = sorted((name for name in self._kept if name != OTHER), key=lambda name: (-self._kept[name], name))
        shown = Counter({name: self._kept[name] for name in ranked[:MOST_NAMES]})
        rest = self._kept.total() - shown.total()
        return shown + Counter({OTHER: rest})

    def _trim(self) -> None:
        if len(self._kept) > MOST_KEPT:
            for name in sorted(self._kept.keys() - {OTHER})[MOST_KEPT:]:
                self._kept[OTHER] += self._kept.pop(name)
