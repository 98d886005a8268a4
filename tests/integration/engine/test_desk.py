"""The desk over scripted senders: each request has one record, from when it is handed over until it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic_ns
from typing import Any

from loadgen.engine.in_flight import InFlight
from loadgen.engine.messages import Cancel, Finished, Fragment, Item
from loadgen.types import ABSENT, CENSORED, SECOND, Failure, Timeline
from support.flights import flight_of
from support.scripted_sender import DeskBench, settle

CENSOR = Failure(CENSORED, "still running at the drain limit (--drain)")


def played(bench: Callable[[], DeskBench], script: Callable[[DeskBench], Coroutine[Any, Any, None]]) -> DeskBench:
    """Open a desk, play the script, close it; at the end of each nothing is left in flight."""
    async def main() -> DeskBench:
        made = bench()
        assert await made.desk.open() is None
        await script(made)
        await made.desk.close()
        return made
    found = asyncio.run(main())
    assert found.desk.in_flight == {}
    return found


async def feed(bench: DeskBench, *flights: InFlight) -> None:
    """Hand requests over and start."""
    await bench.desk.feed(iter(flights))
    bench.desk.start(monotonic_ns())
    await settle()


async def finish(bench: DeskBench) -> None:
    """Let the senders have nothing left to do."""
    for sender in bench.senders:
        sender.link.send(Finished())
    await asyncio.wait_for(bench.desk.finished(), 5)


def test_a_record_is_kept_from_the_hand_over_until_the_end() -> None:
    flights = [flight_of(index, 10 * index) for index in range(4)]

    async def script(bench: DeskBench) -> None:
        await feed(bench, *flights)
        left, right = bench.senders
        assert list(bench.desk.in_flight.values()) == flights
        assert [flight.sender for flight in flights] == [0, 1, 0, 1]
        assert left.items == [Item(0, 0, 0, b"x"), Item(2, 20, 0, b"x")]
        left.launch((0, 0, 1005), (2, 20, ABSENT))
        right.launch((1, 10, 1015))
        left.link.send(Fragment(0, bytearray(b"a long ")))
        left.end(0, payload=b"answer")
        await settle()
        assert list(bench.desk.in_flight) == [1, 2, 3]
        assert [(each.launched, each.sent) for each in flights] == [(True, 1005), (True, 1015), (True, ABSENT),
                                                                    (False, ABSENT)]
        right.launch((3, 30, 1035))
        for sender, index in ((left, 2), (right, 1), (right, 3)):
            sender.end(index)
        await settle()

    found = played(lambda: DeskBench(2), script)
    assert sorted(flight.index for flight, _ in found.ended) == [0, 1, 2, 3]
    assert found.ended[0] == (flights[0], Timeline(0, payload=b"a long answer"))
    assert sorted(found.launched) == [0, 1, 2, 3]


def test_a_closed_loop_deals_by_what_each_sender_has_in_flight() -> None:
    async def script(bench: DeskBench) -> None:
        right = bench.senders[1]
        feeding = asyncio.create_task(bench.desk.feed(flight_of(index) for index in range(6)))
        await settle()
        assert [[item.index for item in sender.items] for sender in bench.senders] == [[0, 2], [1, 3]]
        for index in (1, 3):  # whoever has room takes the next
            right.launch((index, 0, 7))
            right.end(index)
            await settle()
        assert [item.index for item in right.items] == [1, 3, 4, 5]
        await feeding
        bench.desk.start(monotonic_ns())
        bench.desk.stop()
        await finish(bench)  # what was never due is forgotten

    assert [flight.index for flight, _ in played(lambda: DeskBench(2, True, 2), script).ended] == [1, 3]


def test_a_request_that_is_sent_again_stays_the_same_record() -> None:
    flight = flight_of(0, 3, retries=2)

    async def script(bench: DeskBench) -> None:
        bench.again = {0}
        await feed(bench, flight)
        (sender,) = bench.senders
        for attempt in range(3):
            assert bench.desk.in_flight == {0: flight}
            assert (flight.attempt, flight.launched) == (attempt, False)
            sender.launch((0, 3 + attempt, 9))
            sender.end(0, Failure("connect"))
            await settle()
        assert [(item.attempt, item.data) for item in sender.items] == [(0, b"x"), (1, b"x"), (2, b"x")]

    found = played(DeskBench, script)
    assert all(each is flight for each, _ in found.ended)
    assert len(found.ended) == 3


def test_nothing_is_sent_again_after_the_stop() -> None:
    async def script(bench: DeskBench) -> None:
        bench.again = {0}
        await feed(bench, flight_of(0, retries=5))
        (sender,) = bench.senders
        sender.launch((0, 0, 9))
        bench.desk.stop()
        sender.end(0, Failure("connect"))
        await settle()
        assert len(sender.items) == 1
        await finish(bench)

    assert len(played(DeskBench, script).ended) == 1


def test_what_a_lost_sender_had_ends_with_what_was_known_of_it() -> None:
    async def script(bench: DeskBench) -> None:
        await feed(bench, *(flight_of(index, 10 * index, retries=1) for index in range(4)))
        left, right = bench.senders
        left.launch((0, 0, 1005))
        left.link.send(Fragment(0, bytearray(b"cut off")))
        await settle()
        left.die()
        await settle()
        assert list(bench.desk.in_flight) == [1, 3]
        await bench.desk.feed(iter([flight_of(4, 40), flight_of(5, 50)]))  # its share of what follows ends at once
        for index in (1, 3, 5):
            right.launch((index, 10 * index, 2000))
            right.end(index)
        await settle()

    found = played(lambda: DeskBench(2), script)
    lost = Failure("sender_lost", "sender 0 died")
    assert found.gone == [0]
    assert [timeline for _, timeline in found.ended[:3]] == [
        Timeline(0, 0, 0, 0, 1005, failure=lost), Timeline(2, 0, 0, 20, failure=lost),
        Timeline(4, 0, 0, 40, failure=lost)]
    assert [timeline.index for _, timeline in found.ended[3:]] == [1, 3, 5]


def test_a_cancel_at_the_drain_limit_ends_what_runs_and_reports_what_was_held_back() -> None:
    async def script(bench: DeskBench) -> None:
        await feed(bench, flight_of(0), flight_of(1, 1), flight_of(2, 2 * SECOND))
        (sender,) = bench.senders
        sender.launch((0, 0, 9))
        bench.desk.cancel(CENSOR)
        await settle()
        assert sender.orders[-1] == Cancel(CENSOR)
        sender.end(0, CENSOR)
        await finish(bench)

    found = played(DeskBench, script)
    held_back = Failure(CENSORED, "held back by --max-in-flight until the run ended")
    assert [(timeline.index, timeline.due, timeline.failure) for _, timeline in found.ended] == [
        (0, ABSENT, CENSOR), (1, 1, held_back)]  # 2 was not due yet: it is forgotten


def test_a_sender_that_dies_before_the_start_leaves_requests_due_when_they_were_to_be() -> None:
    async def script(bench: DeskBench) -> None:
        await bench.desk.feed(iter([flight_of(0, 70)]))
        bench.senders[0].die()
        await settle()

    assert [timeline.due for _, timeline in played(DeskBench, script).ended] == [70]
