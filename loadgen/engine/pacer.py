"""Waking up at an exact instant: never early."""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from time import monotonic_ns
from typing import Protocol

from loadgen.clock import TimerFd, has_timerfd
from loadgen.types import SECOND

_SPIN = 2_000_000  # an event loop's own timers have whole milliseconds and fire up to one early


class Pacer(Protocol):
    """Calls back at the armed instant (CLOCK_MONOTONIC ns) or as soon after as the loop can, never before."""

    def arm(self, at: int) -> None: ...
    def close(self) -> None: ...


def make(loop: AbstractEventLoop, wake: Callable[[], None]) -> Pacer:
    return TimerFdPacer(loop, wake) if has_timerfd() else LoopPacer(loop, wake)


class TimerFdPacer:
    """Linux: a timerfd that the loop watches."""

    def __init__(self, loop: AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._loop = loop
        self._wake = wake
        self._timer = TimerFd()
        self.arm = self._timer.arm
        loop.add_reader(self._timer.fileno(), self._fire)

    def _fire(self) -> None:
        self._timer.drain()
        self._wake()

    def close(self) -> None:
        self._loop.remove_reader(self._timer.fileno())
        self._timer.close()


class LoopPacer:
    """Other systems: the loop's own timer until shortly before, then a short spin."""

    def __init__(self, loop: AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._loop = loop
        self._wake = wake
        self._handle: TimerHandle | None = None

    def arm(self, at: int) -> None:
        self.close()
        wait = at - monotonic_ns() - _SPIN
        self._handle = self._loop.call_later(max(wait, 0) / SECOND, self._fire, at)

    def _fire(self, at: int) -> None:
        while monotonic_ns() < at:
            pass
        self._wake()

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
