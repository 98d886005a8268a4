"""The record of a request in flight, from its call to the end of its last attempt."""

from __future__ import annotations

import pytest

from loadgen.engine.messages import Item
from loadgen.types import ABSENT, MEASURED, Failure, Timeline
from support.flights import flight_of

LOST = Failure("sender_lost", "sender 2 died")


@pytest.mark.parametrize(("retries", "kept"), [(0, b""), (1, b"x")])
def test_the_call_is_kept_only_while_another_attempt_may_need_it(retries: int, kept: bytes) -> None:
    flight = flight_of(4, 70, target=1, retries=retries)
    assert flight.hand_over(2) == Item(4, 70, 1, b"x")
    assert (flight.sender, flight.data) == (2, kept)


def test_another_attempt_begins_afresh_in_the_same_phase() -> None:
    flight = flight_of(4, 70, retries=2, phase=MEASURED)
    flight.hand_over(0)
    flight.launch(75, 1080)
    flight.retry(90)
    assert (flight.due, flight.sent, flight.launched, flight.phase) == (90, ABSENT, False, MEASURED)
    assert flight.hand_over(0) == Item(4, 90, 0, b"x", 1)
    flight.retry(120)
    assert flight.hand_over(0) == Item(4, 120, 0, b"x", 2)
    assert (flight.retries, flight.data) == (0, b"")


def test_parts_of_a_long_answer_come_before_its_end_and_are_not_those_of_the_next_attempt() -> None:
    flight, timeline = flight_of(4), Timeline(4, payload=b"end")
    flight.parts += [bytearray(b"one "), bytearray(b"two ")]
    flight.take_parts(timeline)
    assert timeline.payload == b"one two end"
    again = Timeline(4, payload=b"whole")
    flight.take_parts(again)
    assert again.payload == b"whole"


def test_what_a_lost_sender_had_keeps_what_is_known_of_it() -> None:
    flight = flight_of(4, 70, target=1, attempt=1)
    flight.hand_over(2)
    assert flight.give_up(LOST) == Timeline(4, 2, 1, 70, failure=LOST, attempt=1)
    flight.launch(75, 1080)
    flight.parts.append(bytearray(b"cut"))
    assert flight.give_up(LOST) == Timeline(4, 2, 1, 75, 1080, failure=LOST, attempt=1)
    assert flight.parts == []
