"""What is decided before the clock starts."""

from __future__ import annotations

import itertools
import os
import socket

import pytest

from loadgen import workload
from loadgen.backends.openai import OpenAI
from loadgen.plan import Duration, Load, Plan, Workload
from loadgen.protocols.http.address import Address
from loadgen.run import setup
from loadgen.types import ABSENT, SECOND, UsageError, Window

ADDRESS = Address(socket.AF_INET, ("127.0.0.1", 1), "127.0.0.1:1")


def seconds(n: float) -> Duration:
    return Duration(round(n * SECOND))


@pytest.mark.parametrize(("load", "expected"), [
    (Load(rate=10, duration=seconds(60)), 6),
    (Load(rate=10, duration=seconds(2)), 1),
    (Load(rate=10, duration=seconds(3600)), 30),
    (Load(rate=10, requests=400), 4),
    (Load(rate=10, duration=seconds(60), warmup=seconds(0)), 0),
    (Load(concurrency=3, requests=10), 1),
])
def test_the_warmup_is_a_tenth_of_the_window_within_limits(load: Load, expected: int) -> None:
    assert setup.warmup_of(load) == expected * SECOND


def test_open_loop_has_a_schedule_with_a_tail_for_the_cooldown() -> None:
    schedule = setup.make_schedule(Load(rate=10, requests=50, warmup=seconds(2), drain=seconds(3)))
    assert schedule.offsets is not None
    assert (schedule.first, schedule.last) == (20, 70)
    assert schedule.window == Window(2 * SECOND, 5 * SECOND, 50)
    assert len(schedule.offsets) > 70
    without = setup.make_schedule(Load(rate=10, requests=50, warmup=seconds(2), cooldown=False))
    assert without.offsets is not None
    assert len(without.offsets) == 70
    assert (without.offsets == schedule.offsets[:70]).all()
    assert schedule.describe(Load(rate=10))["sha256"] == without.describe(Load(rate=10))["sha256"]


def test_closed_loop_has_a_window_and_no_schedule() -> None:
    assert setup.make_schedule(Load(concurrency=2, requests=9)) == setup.RunSchedule(Window(SECOND, ABSENT, 9))
    by_time = setup.make_schedule(Load(concurrency=2, duration=seconds(20)))
    assert by_time == setup.RunSchedule(Window(2 * SECOND, 20 * SECOND, ABSENT))


def calls(load: Load, **options: object) -> tuple[setup.CallSource, list[tuple[int, str]]]:
    rejected: list[tuple[int, str]] = []
    source = workload.make(Workload(input_tokens="8", output_tokens="4"), 1)
    backend = options.pop("backend", None) or OpenAI(model="m", url="http://127.0.0.1:1")
    made = setup.CallSource(setup.make_schedule(load), source, backend, (ADDRESS, ADDRESS),  # type: ignore[arg-type]
                            lambda flight, error: rejected.append((flight.index, str(error))))
    return made, rejected


def test_measured_prompts_are_the_same_whatever_the_warmup() -> None:
    def bodies(warmup: float) -> list[bytes]:
        load = Load(rate=10, requests=5, warmup=seconds(warmup), cooldown=False)
        made, _ = calls(load)
        return [flight.data.partition(b"\r\n\r\n")[2] for flight in made]

    with_warmup, without = bodies(1), bodies(0)
    assert with_warmup[10:] == without
    assert len(set(with_warmup)) == 15  # and no two prompts are alike


def test_calls_are_dealt_to_the_addresses_in_turn_with_their_requests() -> None:
    load = Load(rate=10, requests=4, warmup=seconds(0), cooldown=False)
    made, _ = calls(load)
    flights = list(made)
    assert [flight.target for flight in flights] == [0, 1, 0, 1]
    assert [(flight.index, flight.request.index) for flight in flights] == [(n, n) for n in range(4)]
    offsets = setup.make_schedule(load).offsets
    assert offsets is not None
    assert [flight.due for flight in flights] == offsets.tolist()
    assert flights[0].data.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:1\r\n")


def test_a_closed_loop_never_runs_out_of_calls() -> None:
    made, _ = calls(Load(concurrency=2, requests=3))
    assert len(list(itertools.islice(made, 500))) == 500


def test_a_backend_that_raises_fails_that_request_alone() -> None:
    class Moody(OpenAI):
        def get_request_body(self, input: object, max_out_len: object, output: object, **args: object) -> dict:  # type: ignore[override, type-arg]
            raise ValueError("bad mood")

    made, rejected = calls(Load(rate=10, requests=3, warmup=seconds(0), cooldown=False),
                              backend=Moody(model="m", url="http://127.0.0.1:1"))
    assert list(made) == []
    assert rejected == [(0, "bad mood"), (1, "bad mood"), (2, "bad mood")]


def test_senders_and_their_shares() -> None:
    assert setup.senders_of(Load(rate=1)) == max(1, len(os.sched_getaffinity(0)) - 1)
    assert setup.senders_of(Load(rate=1, senders=7)) == 7
    assert setup.senders_of(Load(concurrency=2, senders=7)) == 2
    plan = Plan(load=Load(concurrency=7, senders=3))
    assert [setup.limit for setup in setup.setups(plan, (ADDRESS,))] == [3, 2, 2]
    assert all(setup.closed and setup.connections == setup.limit for setup in setup.setups(plan, (ADDRESS,)))
    opened = setup.setups(Plan(load=Load(rate=400, senders=2)), (ADDRESS,))
    assert [(setup.limit, setup.connections, setup.reserve) for setup in opened] == [(0, 200, 10)] * 2


def test_more_in_flight_than_file_descriptors_is_refused() -> None:
    with pytest.raises(UsageError, match="ulimit -n"):
        setup.setups(Plan(load=Load(concurrency=10**8, senders=1)), (ADDRESS,))
