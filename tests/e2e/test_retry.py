"""Failed requests are sent again, each attempt is a row, and a run still ends with its last measured request."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from loadgen.engine.dispatch import Dispatch, Policy
from loadgen.engine.messages import Item
from loadgen.mock.process import MockProcess
from loadgen.run.retry import RETRIED, is_retried
from loadgen.types import FAILURES, Failure, Timeline
from support.dispatch_bench import Bench, items
from support.flights import flight_of
from support.runs import run


def test_a_call_is_sent_again_up_to_the_limit() -> None:
    flight, items = flight_of(7, 5, retries=2), []
    while is_retried(flight, Failure("http_503")):
        flight.retry(9)
        items.append(flight.hand_over(1))
    assert items == [Item(7, 9, 0, b"x", 1), Item(7, 9, 0, b"x", 2)]


def test_a_success_is_not_sent_again() -> None:
    assert not is_retried(flight_of(7, retries=2), None)


@pytest.mark.parametrize("kind", [*FAILURES, "censored"])
def test_only_what_another_attempt_may_not_meet_is_sent_again(kind: str) -> None:
    assert is_retried(flight_of(7, retries=1), Failure(kind)) == (kind in RETRIED)


def test_nothing_is_sent_again_without_a_limit() -> None:
    assert not is_retried(flight_of(7), Failure("connect"))


def test_another_attempt_is_due_at_once_and_before_what_is_due_later() -> None:
    bench = Bench()
    bench.dispatch.add(items(0, 50))
    bench.dispatch.begin(100, bench.alarm)
    assert bench.at(100) == [0]
    bench.clock.now = 120
    bench.dispatch.add_again(Item(0, 0, 0, b"x", 1))
    assert [(t.index, t.attempt, t.due, t.held) for t in bench.launched] == [(0, 0, 0, False), (0, 1, 20, False)]
    assert bench.alarm.at[-1] == 150
    assert bench.at(150) == [0, 0, 1]
    assert bench.dispatch.starved == 0


def test_another_attempt_waits_for_a_slot_like_the_others() -> None:
    bench = Bench(limit=1)
    bench.dispatch.add(items(0, 10, 500))
    bench.dispatch.begin(0, bench.alarm)
    bench.at(0)
    bench.at(10)
    bench.end(0, 20)
    bench.dispatch.add_again(Item(0, 0, 0, b"x", 1))
    bench.end(1, 40)
    assert [(t.index, t.attempt, t.due, t.held) for t in bench.launched[2:]] == [(0, 1, 20, True)]


def test_in_a_closed_loop_another_attempt_is_due_when_it_comes_to_a_free_slot() -> None:
    bench = Bench(limit=1, closed=True)
    bench.dispatch.add(items(0))
    bench.dispatch.begin(0, bench.alarm)
    bench.at(0)
    bench.end(0, 20)
    bench.clock.now = 90
    bench.dispatch.add_again(Item(0, 0, 0, b"x", 1))
    assert [(t.attempt, t.due) for t in bench.launched] == [(0, 0), (1, 90)]


def test_no_other_attempt_before_the_start_or_after_the_stop() -> None:
    launched: list[Timeline] = []
    dispatch = Dispatch(Policy(), lambda timeline, data: launched.append(timeline), lambda: 0)
    dispatch.add_again(Item(0, 0, 0, b"x", 1))
    bench = Bench()
    bench.dispatch.begin(0, bench.alarm)
    bench.dispatch.stop()
    bench.dispatch.add_again(Item(0, 0, 0, b"x", 1))
    assert launched == bench.launched == []


@pytest.mark.parametrize("load", [("--rate", "50"), ("--concurrency", "4")])
def test_a_request_that_fails_once_succeeds_at_its_second_attempt(load: tuple[str, ...], tmp_path: Path) -> None:
    with MockProcess(["--ttft", "5ms", "--itl", "1ms", "--fault", "503:1/4"]) as mock:
        result = run(mock.url, tmp_path / "run", "--requests", "40", "--retry", "5", *load)
        injected = mock.truth()["faults"]["503"]
    rows = result.rows
    assert sum(row["failure"] == "http_503" for row in rows) == injected
    assert len(rows) == 40 + injected
    assert {row["index"] for row in rows if not row["failure"]} == set(range(40))
    attempts = Counter(row["index"] for row in rows)
    assert all(row["attempt"] < attempts[row["index"]] for row in rows)
    assert sorted(row["attempt"] for row in rows if row["failure"]) != []
    requests = result.summary["requests"]
    assert (requests["succeeded"], requests["failed"], requests["retried"]) == (40, injected, injected)
    assert "schedule" not in result.failing


def test_attempts_end_at_the_limit(tmp_path: Path) -> None:
    with MockProcess(["--ttft", "5ms", "--itl", "1ms", "--fault", "429:1.0"]) as mock:
        result = run(mock.url, tmp_path / "run", "--requests", "5", "--retry", "2")
    assert Counter((row["index"], row["attempt"]) for row in result.rows) == {
        (index, attempt): 1 for index in range(5) for attempt in range(3)}
    assert result.summary["requests"]["failures"] == {"http_429": 15}
