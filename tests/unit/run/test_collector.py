"""What the collector makes of the lives of requests: rows, counts, phases."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.backends.openai import OpenAI
from loadgen.engine.in_flight import InFlight
from loadgen.recorder import Recorder
from loadgen.recorder.batch import Batch
from loadgen.run.collector import Collector
from loadgen.run.phases import Phases
from loadgen.types import ABSENT, CENSORED, MEASURED, Failure, RequestRow, Timeline, Window
from support.flights import flight_of
from support.stored_runs import as_rows

KINDS = ("connect", "http_503", "timeout", "parse", "sender_lost", CENSORED)


class Written:
    """A writer that keeps what it is given."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def write_rows(self, batch: Batch) -> None:
        self.batches.append(batch)

    def write_health(self, line: object) -> None:
        pass


class Bench:
    """A collector, its phases and what it wrote."""

    def __init__(self, phases: Phases) -> None:
        self.phases = phases
        self.writer: Any = Written()
        self.collector = Collector(OpenAI(model="m", url="http://127.0.0.1:1"), phases, Recorder(phases.window, ()),
                                   self.writer, (), False)

    def launch(self, flight: InFlight, due: int) -> None:
        flight.hand_over(0)
        flight.launch(due, due + 5)
        self.collector.sent(flight)

    def fail(self, flight: InFlight, kind: str) -> bool:
        """End an attempt as the desk does; returns whether another begins."""
        again = self.collector.done(flight, flight.give_up(Failure(kind)))
        if again:
            flight.retry(flight.due + 10)
        return again

    def rows(self) -> list[RequestRow]:
        self.collector.flush()
        return as_rows(self.writer.batches)


def open_loop(count: int) -> Bench:
    return Bench(Phases(Window(0, 1000, count), 0, count))


@given(st.lists(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4), min_size=1, max_size=12), st.booleans())
def test_each_attempt_is_a_row_and_nothing_stays_open(lives: list[list[str]], closed: bool) -> None:
    bench = Bench(Phases(Window(0, 10**6))) if closed else open_loop(len(lives))
    flights = [flight_of(index, 7 * index, retries=len(kinds) - 1) for index, kinds in enumerate(lives)]
    attempts = 0
    for flight in flights:
        bench.launch(flight, flight.due)
    assert bench.collector.in_flight == len(lives)
    for flight, kinds in zip(flights, lives, strict=True):
        for kind in kinds:
            attempts += 1
            if not bench.fail(flight, kind):
                break
            bench.launch(flight, flight.due)
    rows = bench.rows()
    collector = bench.collector
    assert (collector.in_flight, collector.offered, collector.completed) == (0, attempts, attempts)
    assert len({(row.index, row.attempt) for row in rows}) == len(rows) == attempts
    assert {row.phase for row in rows} == {MEASURED}
    assert bench.phases.complete(10**9)


def test_only_an_attempt_that_was_due_is_recorded_when_a_sender_of_a_closed_loop_is_lost() -> None:
    bench = Bench(Phases(Window(0, 1000)))
    waiting, failed = flight_of(0), flight_of(1, retries=1)
    assert not bench.fail(waiting, "sender_lost")  # no slot got free for it
    bench.launch(failed, 20)
    assert bench.fail(failed, "connect")
    assert not bench.fail(failed, "sender_lost")  # it waited to be sent again
    assert [(row.index, row.attempt, row.failure, row.due) for row in bench.rows()] == [
        (1, 0, "connect", 20), (1, 1, "sender_lost", 30)]
    assert bench.phases.complete(10**9)


def test_a_request_of_an_open_loop_that_never_went_out_is_offered_when_it_ends() -> None:
    bench = open_loop(1)
    assert not bench.fail(flight_of(0, 70), "sender_lost")
    assert (bench.collector.offered, bench.collector.in_flight) == (1, 0)
    assert [(row.due, row.sent, row.phase) for row in bench.rows()] == [(70, ABSENT, MEASURED)]


def test_what_the_backend_could_not_encode_is_a_row_of_its_own_and_not_sent_again() -> None:
    bench = open_loop(1)
    bench.collector.reject(flight_of(0, 70, target=1, retries=3), ValueError("bad mood"))
    assert [(row.failure, row.failure_type, row.detail, row.due, row.attempt) for row in bench.rows()] == [
        ("backend", "ValueError", "ValueError: bad mood", 70, 0)]
    assert bench.phases.complete(0)


@pytest.mark.parametrize(("asked", "recorded"), [(None, ABSENT), (9, 9)])
def test_a_row_says_how_many_tokens_were_asked_for(asked: int | None, recorded: int) -> None:
    bench = open_loop(1)
    flight = flight_of(0)
    flight.request = type(flight.request)(0, prompt="a", max_output_tokens=asked)
    bench.launch(flight, 0)
    bench.collector.done(flight, Timeline(0, due=0, sent=5, failure=Failure("truncated")))
    assert [row.asked_tokens for row in bench.rows()] == [recorded]
