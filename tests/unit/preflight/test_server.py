"""What the `connect` of a backend can ask for, on a clock of the test."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadgen.plan import Plan, Target
from loadgen.preflight.server import PlanServer
from loadgen.types import SECOND, UsageError


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_waiting_ends_with_an_answer_or_with_the_last_reason() -> None:
    plan = Plan(target=replace(Target(url=("http://host",)), wait_ready=SECOND))
    for ready_after, calls in ((3, 3), (99, 5)):  # a try at once, and one each quarter of a second
        time, tries = Time(), 0
        server = PlanServer(plan, lambda text: None, clock=time.clock, sleep=time.sleep)

        def attempt(least: int = ready_after) -> str:
            nonlocal tries
            tries += 1
            if tries < least:
                raise UsageError(f"not ready {tries}")
            return "ready"

        if ready_after == 3:
            assert server.wait_for(attempt) == "ready"
        else:
            with pytest.raises(UsageError, match="not ready 5"):
                server.wait_for(attempt)
        assert tries == calls


def test_a_bug_in_an_attempt_is_not_waited_for() -> None:
    time = Time()
    server = PlanServer(Plan(target=Target(wait_ready=SECOND)), lambda text: None, clock=time.clock, sleep=time.sleep)
    with pytest.raises(ZeroDivisionError):
        server.wait_for(lambda: 1 // 0)
    assert time.now == 100.0
