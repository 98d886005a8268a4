"""Assembles a RequestRow from a Timeline and its token events: all instants on one clock, from the start on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loadgen.types import ABSENT, SECOND, ClockSample, RequestRow, Timeline, TokenEvents

Instants = NDArray[np.int64]


class WallClock:
    """Turns CLOCK_REALTIME into CLOCK_MONOTONIC by the offsets measured during the run, linear between them."""

    def __init__(self, first: ClockSample) -> None:
        self._base = first.offset
        self._first = first.at + first.offset
        self._since = np.zeros(1)  # float64 ns of wall time since the first sample
        self._drift = np.zeros(1)

    def add(self, sample: ClockSample) -> None:
        """Take a later sample."""
        self._since = np.append(self._since, float(sample.at + sample.offset - self._first))
        self._drift = np.append(self._drift, float(sample.offset - self._base))

    def to_monotonic(self, wall: Instants) -> Instants:
        """int64[n] of CLOCK_REALTIME ns to the same of CLOCK_MONOTONIC ns."""
        drift = np.interp((wall - self._first).astype(np.float64), self._since, self._drift)
        return wall - self._base - drift.astype(np.int64)


def reads_of(timeline: Timeline) -> tuple[Instants, Instants, Instants]:
    """Stamps, read times (both CLOCK_REALTIME ns) and payload offsets, int64[reads] each."""
    pairs = np.frombuffer(timeline.stamps, dtype=np.int64).reshape(-1, 2)
    return (pairs[:, 0] * SECOND + pairs[:, 1], np.frombuffer(timeline.reads, dtype=np.int64),
            np.frombuffer(timeline.offsets, dtype=np.int64))


def assemble(timeline: Timeline, events: TokenEvents, clock: WallClock, start: int, phase: int,
             asked: int) -> RequestRow:
    """Make the row of one request attempt. `start` is that of the schedule, CLOCK_MONOTONIC ns."""
    row = RequestRow(timeline.index, phase, timeline.due, sender=timeline.sender, target=timeline.target,
              attempt=timeline.attempt, held=timeline.held, reconnects=timeline.reconnects, status=timeline.status,
              connect=timeline.connect, tls=timeline.tls, unstamped=timeline.unstamped, asked_tokens=asked)
    row.sent = timeline.sent - start if timeline.sent >= 0 else ABSENT
    row.sent_end = timeline.sent_end - start if timeline.sent_end >= 0 else ABSENT
    row.end = timeline.end - start if timeline.end >= 0 else ABSENT
    _put_events(row, events)
    if timeline.stamps:
        _put_instants(row, timeline, events, clock, start)
    return row


def _put_events(row: RequestRow, events: TokenEvents) -> None:
    row.input_tokens, row.input_source = events.input_tokens, events.input_source
    row.output_tokens, row.output_source = events.output_tokens, events.output_source
    row.usage_tokens = events.usage_tokens
    row.finish_reason = events.finish_reason
    row.server = events.server
    if events.failure is not None:
        row.failure, row.failure_type = events.failure.kind, events.failure.type
        row.detail = events.failure.detail[:500]


def _put_instants(row: RequestRow, timeline: Timeline, events: TokenEvents, clock: WallClock, start: int) -> None:
    stamps, reads, offsets = reads_of(timeline)
    at = clock.to_monotonic(stamps) - start
    row.reads = len(at)
    row.first_byte = int(at[0])
    if timeline.complete:
        row.end = int(at[-1])
    if events.ends:
        which = np.searchsorted(offsets, events.ends, side="left")
        np.minimum(which, len(at) - 1, out=which)
        row.token_at = at[which].tolist()
        row.token_count = events.counts
        row.token_lag = (reads - stamps)[which].tolist()
        late = np.append(which[1:] == which[:-1], False)
        if timeline.shared:
            late |= np.isin(which, np.frombuffer(timeline.shared, dtype=np.int64))
        row.coalesced = int(np.count_nonzero(late))
        if events.first_answer >= 0:
            row.first_answer = row.token_at[events.first_answer]
