"""Sorting requests into phases."""

from loadgen.run.phases import Phases
from loadgen.types import COOLDOWN, MEASURED, WARMUP, Window


def test_open_loop_goes_by_index() -> None:
    phases = Phases(Window(100, 200, 3), first=2, last=5)
    assert [phases.begin(i, 0) for i in range(7)] == [WARMUP, WARMUP, MEASURED, MEASURED, MEASURED, COOLDOWN, COOLDOWN]
    assert not phases.complete(10**9)
    for index in (2, 3, 4):
        assert phases.end(index, 0) == MEASURED
    assert phases.complete(0)


def test_a_request_that_was_never_reported_sent_counts_when_it_ends() -> None:
    phases = Phases(Window(0, 10, 1), first=0, last=1)
    assert phases.end(0, 0) == MEASURED
    assert phases.complete(0)


def test_closed_loop_by_duration_goes_by_the_instant_a_slot_got_free() -> None:
    phases = Phases(Window(100, 200))
    assert [phases.begin(i, due) for i, due in enumerate((99, 100, 299, 300))] == [WARMUP, MEASURED, MEASURED, COOLDOWN]
    assert not phases.complete(10**12)
    phases.end(1, 100)
    phases.end(2, 299)
    assert not phases.complete(300)  # a sender may still report what was due inside the window
    assert phases.complete(300 + 10**9)


def test_closed_loop_by_count_takes_the_first_after_the_warmup() -> None:
    phases = Phases(Window(100, count=2))
    found = [phases.begin(i, due) for i, due in enumerate((0, 50, 120, 130, 140))]
    assert found == [WARMUP, WARMUP, MEASURED, MEASURED, COOLDOWN]
    phases.end(2, 120)
    assert not phases.complete(0)
    phases.end(3, 130)
    assert phases.complete(0)
