"""Computes the metrics of a batch of rows, by the formulas of loadgen.metrics, from its token events; no state."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.metrics import known
from loadgen.recorder.batch import Batch
from loadgen.types import ABSENT

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MOST_IN_AN_EVENT: Final = 4096
"""Inter-token latencies that one event gives at most: a server can claim any number, and memory is finite."""


@dataclass(frozen=True, slots=True)
class Samples:
    """The values of one metric in a batch; `rows[i]` is the row that `values[i]` comes from."""

    values: Integers
    rows: Integers

    def of(self, mask: Mask) -> Samples:
        """Return the samples of the rows that `mask` (one element a row) selects."""
        if mask.all():
            return self
        keep = mask[self.rows]
        return Samples(self.values[keep], self.rows[keep])


@dataclass(frozen=True)
class Tokens:
    """The token events of a batch, flat, and what they say of each row. Made by `of`."""

    at: Integers  # instant of each event, never before the one ahead of it
    count: Integers  # tokens in each event, 0 where nobody counted them
    row: Integers  # the row of each event
    events: Integers  # events of each row
    total: Integers  # tokens of each row, by its events
    first: Integers  # instant of each row's first event, ABSENT without one
    last: Integers
    opening: Integers | int  # ns that each row opened a connection on purpose, which is no lag of ours
    starts: Integers  # place of the first event of each row, in the order of the rows

    @classmethod
    def of(cls, batch: Batch, fresh: bool = False) -> Tokens:
        """Flatten the token events of `batch`. `fresh`: each request opened a connection (`--connections new`)."""
        offsets = batch.token_at.offsets.astype(np.int64, copy=False)
        events = np.diff(offsets)
        row = np.repeat(np.arange(events.size), events)
        at = _in_order(batch.token_at.values.astype(np.int64, copy=False), row)
        count = np.maximum(batch.token_count.values.astype(np.int64, copy=False), 0)
        sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(count)])
        has = events > 0
        first = np.full(events.size, ABSENT, np.int64)
        last = first.copy()
        first[has] = at[offsets[:-1][has]]
        last[has] = at[offsets[1:][has] - 1]
        opening = np.maximum(batch.connect, 0) + np.maximum(batch.tls, 0) if fresh else 0
        return cls(at, count, row, events, sums[offsets[1:]] - sums[offsets[:-1]], first, last, opening, offsets[:-1])

    @cached_property
    def inner(self) -> Mask:
        """Which events end a gap: all but the first of each row."""
        return np.concatenate([np.zeros(1, np.bool_), self.row[1:] == self.row[:-1]])[: self.row.size]

    @cached_property
    def gaps(self) -> Integers:
        """The gap that each inner event ends, ns."""
        return np.diff(self.at, prepend=self.at[:1])[self.inner]

    @cached_property
    def parts(self) -> Integers:
        """The tokens that each gap is divided among: those of its event, and one where nobody counted them."""
        return np.clip(self.count[self.inner], 1, MOST_IN_AN_EVENT)

    @cached_property
    def token_gaps(self) -> Integers:
        """The gap before each token: a gap that an event of k tokens ends is k values, which add up to it."""
        return spread(self.gaps, self.parts)

    @cached_property
    def longest_gap(self) -> Integers:
        """The longest gap of each row, 0 without one."""
        longest = np.zeros(self.events.size, np.int64)
        starts = self.starts[self.events > 0]
        if starts.size:
            gaps = np.zeros(self.row.size, np.int64)
            gaps[self.inner] = self.gaps
            longest[self.events > 0] = np.maximum.reduceat(gaps, starts)
        return longest

    def by(self, scope: str, values: Integers) -> Integers:
        """Return which of `values`, one for each event, belongs to each value of a metric of that scope."""
        if scope == "event":
            return values
        inner = values[self.inner]
        return inner if scope == "gap" or inner.size == self.token_gaps.size else np.repeat(inner, self.parts)


def _in_order(at: Integers, row: Integers) -> Integers:
    """Return instants of which none is before the one ahead of it in its row.

    A read without a kernel stamp is stamped when it was read, which can be after the kernel's stamp of the next one.
    """
    backwards = (np.diff(at) < 0) & (row[1:] == row[:-1])
    if not backwards.any():
        return at
    at = at.copy()
    for one in np.unique(row[1:][backwards]):
        low, high = np.searchsorted(row, (one, one + 1))
        np.maximum.accumulate(at[low:high], out=at[low:high])
    return at


def spread(gaps: Integers, tokens: Integers) -> Integers:
    """Return `tokens[i]` integers for each gap, as equal as can be, whose sum is `gaps[i]` exactly.

    `tokens[i]` is from 1 to MOST_IN_AN_EVENT.
    """
    if not tokens.size or tokens.max() == 1:
        return gaps
    whole, rest = np.divmod(gaps, tokens)
    place = np.arange(int(tokens.sum())) - np.repeat(np.cumsum(tokens) - tokens, tokens)
    return np.repeat(whole, tokens) + (place < np.repeat(rest, tokens))


def measure(batch: Batch, tokens: Tokens) -> dict[str, Samples]:
    """Return every metric of docs/metrics.md for every row of `batch`, whatever became of the row.

    Durations are ns; a row without a metric gives it no sample. Only lag can be negative.
    """
    found = {}
    for metric in known():
        if metric.pooled:
            found[metric.name] = Samples(metric.formula(batch, tokens), tokens.by(metric.scope, tokens.row))
        else:
            found[metric.name] = _present(*metric.formula(batch, tokens))
    return found | _from_server(batch)


def _from_server(batch: Batch) -> dict[str, Samples]:
    values: dict[str, list[int]] = {}
    rows: dict[str, list[int]] = {}
    for row, times in enumerate(batch.server):
        for name, value in times.items():
            if value >= 0:
                values.setdefault(name, []).append(value)
                rows.setdefault(name, []).append(row)
    return {name: Samples(np.asarray(values[name], np.int64), np.asarray(rows[name], np.int64)) for name in values}


def _present(values: Integers, mask: Mask) -> Samples:
    rows = np.flatnonzero(mask)
    return Samples(values[rows].astype(np.int64, copy=False), rows)
