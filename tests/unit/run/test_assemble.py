"""Offsets of a payload become instants on one clock."""

from __future__ import annotations

from array import array
from struct import pack

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.run.assemble import WallClock, assemble
from loadgen.types import ABSENT, MEASURED, ClockSample, Failure, Timeline, TokenEvents

OFFSET = 1_795_000_000_000_000_000
SECOND = 1_000_000_000


def timeline_of(reads: list[tuple[int, int]], lag: int = 7, **fields: object) -> Timeline:
    """A timeline whose reads are (monotonic instant, payload length after it)."""
    stamps = b"".join(pack("=qq", *divmod(at + OFFSET, SECOND)) for at, _ in reads)
    return Timeline(4, sender=1, due=3, sent=1005, sent_end=1006, end=9999, stamps=stamps,
                    reads=array("q", [at + OFFSET + lag for at, _ in reads]).tobytes(),
                    offsets=array("q", [length for _, length in reads]).tobytes(), complete=True, **fields)  # type: ignore[arg-type]


def test_a_token_has_the_instant_of_the_read_that_completed_it() -> None:
    timeline = timeline_of([(2000, 0), (2010, 15), (2020, 22), (2030, 40)])
    row = assemble(timeline, TokenEvents(ends=[10, 20, 40], counts=[1, 1, 2], first_answer=1),
                   WallClock(ClockSample(0, OFFSET)), 1000, MEASURED, 4)
    assert row.token_at == [1010, 1020, 1030]
    assert row.token_lag == [7, 7, 7]
    assert (row.due, row.sent, row.sent_end, row.first_byte, row.end) == (3, 5, 6, 1000, 1030)
    assert row.first_answer == 1020
    assert (row.coalesced, row.reads, row.asked_tokens) == (0, 4, 4)


def test_tokens_that_share_a_read_are_counted() -> None:
    timeline = timeline_of([(2000, 30), (2010, 40)])
    row = assemble(timeline, TokenEvents(ends=[10, 20, 30, 40], counts=[1] * 4), WallClock(ClockSample(0, OFFSET)),
                   0, MEASURED, ABSENT)
    assert row.coalesced == 2
    assert row.token_at == [2000, 2000, 2000, 2010]


def test_a_request_without_an_answer_keeps_its_failure() -> None:
    timeline = Timeline(0, due=500, failure=Failure("connect", "refused", "ECONNREFUSED"))
    row = assemble(timeline, TokenEvents(failure=timeline.failure), WallClock(ClockSample(0, OFFSET)), 100, MEASURED, 9)
    assert (row.failure, row.failure_type, row.detail) == ("connect", "ECONNREFUSED", "refused")
    assert (row.sent, row.end, row.first_byte, row.token_at) == (ABSENT, ABSENT, ABSENT, [])


@given(st.integers(-500, 500), st.lists(st.integers(0, 10**12), min_size=1, max_size=20))
def test_a_steady_drift_is_undone_everywhere(parts_per_million: int, instants: list[int]) -> None:
    def offset(at: int) -> int:
        return OFFSET + at * parts_per_million // 1_000_000

    clock = WallClock(ClockSample(0, offset(0)))
    for second in range(1, 1002, 10):
        clock.add(ClockSample(second * SECOND, offset(second * SECOND)))
    wall = np.array([at + offset(at) for at in instants], dtype=np.int64)
    assert clock.to_monotonic(wall) == pytest.approx(np.array(instants), abs=2_000)


def test_a_step_of_the_wall_clock_between_samples_bends_no_more_than_that_interval() -> None:
    clock = WallClock(ClockSample(0, OFFSET))
    clock.add(ClockSample(SECOND, OFFSET))
    clock.add(ClockSample(2 * SECOND, OFFSET + 3 * SECOND))
    clock.add(ClockSample(3 * SECOND, OFFSET + 3 * SECOND))
    wall = np.array([OFFSET + SECOND // 2, OFFSET + 2 * SECOND + SECOND // 2 + 3 * SECOND], dtype=np.int64)
    assert clock.to_monotonic(wall).tolist() == [SECOND // 2, 2 * SECOND + SECOND // 2]


@given(st.integers(0, 10**15), st.integers(0, 10**12))
def test_due_is_recorded_as_it_was_scheduled_and_instants_count_from_the_start(start: int, due: int) -> None:
    timeline = Timeline(0, due=due, sent=start + due + 5, end=start + due + 9, failure=Failure("truncated"))
    row = assemble(timeline, TokenEvents(failure=timeline.failure), WallClock(ClockSample(0, OFFSET)), start, MEASURED,
                   ABSENT)
    assert (row.due, row.sent, row.end) == (due, due + 5, due + 9)
