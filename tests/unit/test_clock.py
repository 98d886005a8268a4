"""Clocks and the timer."""

import select
import sys
import time

import pytest

from loadgen.clock import TimerFd, sample_offset


def test_the_offset_turns_one_clock_into_the_other() -> None:
    sample = sample_offset()
    assert sample.at <= time.monotonic_ns()
    assert abs(sample.at + sample.offset - time.time_ns()) < 10**9


@pytest.mark.skipif(sys.platform != "linux", reason="timerfd is Linux's")
def test_the_timer_is_readable_at_its_instant_and_not_before() -> None:
    timer = TimerFd()
    try:
        at = time.monotonic_ns() + 5_000_000
        timer.arm(at)
        assert select.select([timer], [], [], 5)[0]
        assert time.monotonic_ns() >= at
        timer.drain()
        assert not select.select([timer], [], [], 0)[0]
        timer.drain()
        timer.arm(1)  # long ago: at once
        assert select.select([timer], [], [], 5)[0]
    finally:
        timer.close()
        timer.close()
