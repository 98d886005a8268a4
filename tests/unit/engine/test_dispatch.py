"""The sending policy with the clock as a parameter: nothing here waits."""

from __future__ import annotations

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
    assert [(t.due, t.sent) for t in bench.launched] == [(100, 100), (110, 112), (110, 112), (125, 500)]
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
    assert [(t.due, t.sent, t.held) for t in bench.launched[2:]] == [(130, 130, False), (170, 170, False)]


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
    assert bench.dispatch.sent == [(0, 10, 15), (1, 15, 15)]
    assert {t.sender for t in bench.launched} == {3}
