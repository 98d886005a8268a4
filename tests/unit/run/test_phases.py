"""Sorting requests into phases."""

from loadgen.engine.in_flight import InFlight
from loadgen.run.phases import Phases
from loadgen.types import COOLDOWN, MEASURED, WARMUP, Window
from support.flights import flight_of


def begun(phases: Phases, *due: int) -> list[InFlight]:
    """Begin requests that are due then, in this order."""
    flights = [flight_of(index, at) for index, at in enumerate(due)]
    for flight in flights:
        phases.begin(flight)
    return flights


def phases_of(flights: list[InFlight]) -> list[int]:
    return [flight.phase for flight in flights]


def test_open_loop_goes_by_index() -> None:
    phases = Phases(Window(100, 200, 3), first=2, last=5)
    flights = begun(phases, *[0] * 7)
    assert phases_of(flights) == [WARMUP, WARMUP, MEASURED, MEASURED, MEASURED, COOLDOWN, COOLDOWN]
    assert not phases.complete(10**9)
    for flight in flights[2:5]:
        phases.end(flight)
        assert flight.phase == MEASURED
    assert phases.complete(0)


def test_a_request_that_was_never_reported_sent_counts_when_it_ends() -> None:
    phases, flight = Phases(Window(0, 10, 1), first=0, last=1), flight_of(0)
    phases.end(flight)
    assert flight.phase == MEASURED
    assert phases.complete(0)


def test_closed_loop_by_duration_goes_by_the_instant_a_slot_got_free() -> None:
    phases = Phases(Window(100, 200))
    flights = begun(phases, 99, 100, 299, 300)
    assert phases_of(flights) == [WARMUP, MEASURED, MEASURED, COOLDOWN]
    assert not phases.complete(10**12)
    phases.end(flights[1])
    phases.end(flights[2])
    assert not phases.complete(300)  # a sender may still report what was due inside the window
    assert phases.complete(300 + 10**9)


def test_closed_loop_by_count_takes_the_first_after_the_warmup() -> None:
    phases = Phases(Window(100, count=2))
    flights = begun(phases, 0, 50, 120, 130, 140)
    assert phases_of(flights) == [WARMUP, WARMUP, MEASURED, MEASURED, COOLDOWN]
    phases.end(flights[2])
    assert not phases.complete(0)
    phases.end(flights[3])
    assert phases.complete(0)


def test_a_later_attempt_stays_in_the_phase_of_the_first() -> None:
    phases = Phases(Window(100, 200))
    (flight,) = begun(phases, 299)
    flight.retry(350)
    phases.begin(flight)
    assert (flight.phase, phases.measured_seen) == (MEASURED, 1)
    assert not phases.complete(10**12)
    phases.end(flight)
    assert phases.complete(10**12)


def test_a_part_of_a_schedule_has_ended_when_each_of_its_requests_has() -> None:
    phases = Phases(Window(0, 10, 4), first=1, last=5)
    flights = begun(phases, *range(6))
    for flight in (flights[0], flights[2], flights[5]):
        phases.end(flight)
    assert not phases.ended_before(3)  # 1 is running
    phases.end(flights[1])
    assert phases.ended_before(3)
    assert not phases.ended_before(4)
