"""The sending policy with the clock as a parameter: nothing here waits."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from loadgen.engine.messages import Item
from support.dispatch_bench import Bench, items


def test_open_loop_is_never_early_and_arms_for_the_next() -> None:
    bench = Bench()
    bench.dispatch.add(items(0, 10, 10, 25))
    bench.dispatch.begin(100, bench.alarm)
    assert bench.at(99) == []
    assert bench.alarm.at[-1] == 100
    assert bench.at(100) == [0]
    assert bench.alarm.at[-1] == 110
    assert bench.at(112) == [0, 1, 2]
    assert bench.at(124) == [0, 1, 2]
    assert bench.at(500) == [0, 1, 2, 3]
    assert [(t.due, t.sent) for t in bench.launched] == [(0, 100), (10, 112), (10, 112), (25, 500)]
    assert bench.dispatch.starved == 0


def test_open_loop_does_not_wait_for_answers() -> None:
    bench = Bench()
    bench.dispatch.add(items(*range(50)))
    bench.dispatch.begin(0, bench.alarm)
    assert len(bench.at(50)) == 50
    assert bench.dispatch.in_flight == 50


def test_a_guard_holds_arrivals_back_and_says_so() -> None:
    bench = Bench(limit=2)
    bench.dispatch.add(items(0, 1, 2, 3, 90))
    bench.dispatch.begin(0, bench.alarm)
    assert bench.at(10) == [0, 1]
    bench.end(1, 40)
    assert [t.index for t in bench.launched] == [0, 1, 2]
    bench.end(0, 50)
    bench.end(2, 60)
    assert bench.at(100) == [0, 1, 2, 3, 4]
    assert [t.held for t in bench.launched] == [False, False, True, True, False]
    assert [t.due for t in bench.launched] == [0, 1, 2, 3, 90]


def test_closed_loop_sends_when_a_slot_gets_free() -> None:
    bench = Bench(limit=2, closed=True)
    bench.dispatch.add(items(0, 0, 0, 0))
    bench.dispatch.begin(100, bench.alarm)
    assert bench.at(50) == []
    assert bench.at(100) == [0, 1]
    bench.end(0, 130)
    bench.end(1, 170)
    assert [(t.due, t.sent, t.held) for t in bench.launched[2:]] == [(30, 130, False), (70, 170, False)]


def test_a_late_call_in_a_closed_loop_is_due_since_its_slot_was_free() -> None:
    bench = Bench(limit=1, closed=True)
    bench.dispatch.add(items(0))
    bench.dispatch.begin(0, bench.alarm)
    bench.at(0)
    bench.end(0, 20)
    bench.clock.now = 35
    bench.dispatch.add([Item(1, 0, 0, b"")])
    assert (bench.launched[1].due, bench.launched[1].sent) == (20, 35)
    assert bench.dispatch.starved == 1


def test_a_late_call_in_open_loop_is_sent_at_once_and_counted() -> None:
    bench = Bench()
    bench.dispatch.begin(0, bench.alarm)
    bench.at(0)
    bench.clock.now = 35
    bench.dispatch.add(items(30))
    assert (bench.launched[0].due, bench.launched[0].sent) == (30, 35)
    assert bench.dispatch.starved == 1


def test_stop_launches_nothing_more() -> None:
    bench = Bench()
    bench.dispatch.add(items(0, 5))
    bench.dispatch.begin(0, bench.alarm)
    bench.at(0)
    bench.dispatch.stop()
    assert bench.at(10) == [0]
    bench.dispatch.add(items(20))
    assert bench.at(30) == [0]


def test_every_launch_is_reported_once() -> None:
    bench = Bench(sender=3)
    bench.dispatch.add(items(0, 5))
    bench.dispatch.begin(10, bench.alarm)
    bench.at(15)
    assert bench.dispatch.sent == [(0, 0, 15), (1, 5, 15)]
    assert {t.sender for t in bench.launched} == {3}


@given(st.integers(0, 10**18), st.lists(st.integers(0, 50), min_size=1, max_size=20), st.sampled_from([0, 1, 3]))
def test_due_is_the_offset_in_the_schedule_whenever_it_starts(start: int, gaps: list[int], limit: int) -> None:
    bench, offsets = Bench(limit=limit), list(itertools.accumulate(gaps))
    bench.dispatch.add(items(*offsets))
    bench.dispatch.begin(start, bench.alarm)
    while len(bench.launched) < len(offsets):
        bench.at(max(bench.alarm.at[-1], bench.clock.now))
        for timeline in [each for each in bench.launched if each.end < 0]:
            bench.end(timeline.index, bench.clock.now + 3)
    assert [timeline.due for timeline in bench.launched] == offsets
    assert [due for _, due, _ in bench.dispatch.sent] == offsets
    assert all(timeline.sent >= start + timeline.due for timeline in bench.launched)


@given(st.integers(0, 10**18), st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_in_a_closed_loop_due_counts_from_the_start_too(start: int, durations: list[int]) -> None:
    bench = Bench(limit=1, closed=True)
    bench.dispatch.add(items(*[0] * (len(durations) + 1)))
    bench.dispatch.begin(start, bench.alarm)
    bench.at(start)
    for index, duration in enumerate(durations):
        bench.end(index, bench.clock.now + duration)
    assert [timeline.due for timeline in bench.launched] == [0, *itertools.accumulate(durations)]
