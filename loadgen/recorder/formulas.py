"""The metrics of each request, computed for a whole batch of rows at once: definitions only, no state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.recorder.batch import Batch
from loadgen.types import ABSENT

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

PER_REQUEST: Final = ("ttft", "ttft_scheduled", "ttfo", "max_gap", "tpot", "e2e", "e2e_scheduled", "connect", "tls",
                      "input_tokens", "output_tokens")
"""Metrics with one value a request, in the order in which they are made."""


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


@dataclass(frozen=True, slots=True)
class Tokens:
    """The token events of a batch, flat, and what they say of each row."""

    at: Integers  # instant of each event, never before the one ahead of it
    count: Integers  # tokens in each event, 0 where nobody counted them
    row: Integers  # the row of each event
    events: Integers  # events of each row
    total: Integers  # tokens of each row, by its events
    first: Integers  # instant of each row's first event, ABSENT without one
    last: Integers

    @classmethod
    def of(cls, batch: Batch) -> Tokens:
        """Flatten the token events of `batch`."""
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
        return cls(at, count, row, events, sums[offsets[1:]] - sums[offsets[:-1]], first, last)


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


def measure(batch: Batch, tokens: Tokens, fresh: bool = False) -> dict[str, Samples]:
    """Return every metric of docs/metrics.md for every row of `batch`, whatever became of the row.

    Durations are ns and never negative; a row without a metric gives it no sample. `fresh`: connections were opened for
    each request on purpose (`--connections new`), so that opening them is no lag.
    """
    found = _from_instants(batch, tokens)
    found |= _from_gaps(batch, tokens)
    for name, column in (("connect", batch.connect), ("tls", batch.tls), ("input_tokens", batch.input_tokens),
                         ("output_tokens", batch.output_tokens)):
        found[name] = _present(column.astype(np.int64, copy=False), column >= 0)
    lag = batch.sent - batch.due
    if fresh:
        lag -= np.maximum(batch.connect, 0) + np.maximum(batch.tls, 0)
    found["lag"] = _present(lag, batch.sent != ABSENT)
    found["receive_lag"] = Samples(np.maximum(batch.token_lag.values.astype(np.int64, copy=False), 0), tokens.row)
    return found | _from_server(batch)


def _from_instants(batch: Batch, tokens: Tokens) -> dict[str, Samples]:
    has = (tokens.events > 0) & (batch.sent != ABSENT)
    spans = {"ttft": tokens.first - batch.sent, "ttft_scheduled": tokens.first - batch.due,
             "e2e": tokens.last - batch.sent, "e2e_scheduled": tokens.last - batch.due}
    found = {name: _present(np.maximum(span, 0), has) for name, span in spans.items()}
    found["ttfo"] = _present(np.maximum(batch.first_answer - batch.sent, 0), has & (batch.first_answer != ABSENT))
    return found


def _from_gaps(batch: Batch, tokens: Tokens) -> dict[str, Samples]:
    inner = np.concatenate([np.zeros(1, np.bool_), tokens.row[1:] == tokens.row[:-1]])[: tokens.row.size]
    gaps = np.diff(tokens.at, prepend=tokens.at[:1])
    rows, parts = tokens.row[inner], np.clip(tokens.count[inner], 1, MOST_IN_AN_EVENT)
    found = {"chunk_gap": Samples(gaps[inner], rows)}
    found["itl"] = Samples(spread(gaps[inner], parts), rows if rows.size == parts.sum() else np.repeat(rows, parts))
    longest = np.zeros(tokens.events.size, np.int64)
    starts = batch.token_at.offsets[:-1][tokens.events > 0]
    if starts.size:
        longest[tokens.events > 0] = np.maximum.reduceat(np.where(inner, gaps, 0), starts)
    found["max_gap"] = _present(longest, tokens.events > 1)
    n = np.where(batch.output_tokens >= 0, batch.output_tokens, tokens.total)
    found["tpot"] = _present((tokens.last - tokens.first) // np.maximum(n - 1, 1), (n >= 2) & (tokens.events > 1))
    return found


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
