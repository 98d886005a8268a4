"""Reads a server's own /metrics: counters, and histograms whose difference is what one run added to them."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise

_SECOND = 1_000_000_000
_LINE = re.compile(r"([\w:]+)(?:\{(.*)\})? (\S+)")
_EDGE = re.compile(r'\ble="([^"]+)"')


@dataclass(frozen=True)
class Histogram:
    """A histogram of seconds as ns. `below[i]` values are at most `edges[i]`; the last edge is infinite."""

    edges: tuple[float, ...]
    below: tuple[float, ...]
    total: float
    count: int

    def __sub__(self, before: Histogram) -> Histogram:
        return Histogram(self.edges, tuple(a - b for a, b in zip(self.below, before.below, strict=True)),
                         self.total - before.total, self.count - before.count)

    @property
    def mean(self) -> float:
        return self.total / self.count

    def place(self, value: float) -> int:
        """Return which bucket a value falls into."""
        return bisect_left(self.edges, value)

    def bucket(self, share: float) -> int:
        """Return the bucket that holds the percentile of a share, such as 0.9."""
        return next(i for i, below in enumerate(self.below) if below >= share * self.count)

    def bounds(self, bucket: int) -> tuple[float, float]:
        """Return between which ns a bucket lies."""
        return (self.edges[bucket - 1] if bucket else 0.0), self.edges[bucket]


class Scrape:
    """What /metrics said at one time, summed over labels other than `le`."""

    def __init__(self, text: str) -> None:
        self._samples: dict[str, float] = {}
        self._buckets: dict[str, dict[float, float]] = {}
        for name, labels, number in _LINE.findall("\n".join(x for x in text.splitlines() if not x.startswith("#"))):
            edge = _EDGE.search(labels)
            if edge:
                buckets = self._buckets.setdefault(name.removesuffix("_bucket"), {})
                at = float(edge[1]) * _SECOND
                buckets[at] = buckets.get(at, 0.0) + float(number)
            else:
                self._samples[name] = self._samples.get(name, 0.0) + float(number)

    def counter(self, name: str) -> float:
        """Return a counter, 0 if it has not counted yet."""
        return self._samples.get(name, 0.0)

    def histogram(self, name: str) -> Histogram:
        """Return a histogram; raises KeyError if the server has none of that name."""
        buckets = sorted(self._buckets[name].items())
        assert all(a <= b for (_, a), (_, b) in pairwise(buckets)), f"{name} is not cumulative"
        return Histogram(tuple(edge for edge, _ in buckets), tuple(below for _, below in buckets),
                         self._samples[f"{name}_sum"] * _SECOND, round(self._samples[f"{name}_count"]))
