"""Reads and waits for the machine's clocks; standard library only, since senders import it."""

from __future__ import annotations

import ctypes
import os
import sys
import time

from loadgen.types import SECOND, ClockSample

_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1


def sample_offset(tries: int = 5) -> ClockSample:
    """Measure CLOCK_REALTIME - CLOCK_MONOTONIC, keeping the try with the narrowest bracket (ns)."""
    best: tuple[int, int, int] | None = None
    for _ in range(tries):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        middle = (before + after) // 2
        if best is None or after - before < best[0]:
            best = (after - before, middle, wall - middle)
    assert best is not None
    return ClockSample(at=best[1], offset=best[2])


def has_timerfd() -> bool:
    return sys.platform == "linux"


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class TimerFd:
    """A Linux timer on CLOCK_MONOTONIC that an event loop can watch: readable at the armed instant, never before.

    os.timerfd_create exists from Python 3.13; ctypes serves the versions before it alike.
    Raises OSError where the system has no timerfd.
    """

    def __init__(self) -> None:
        if not has_timerfd():
            raise OSError(f"timerfd is Linux's; this is {sys.platform}")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._spec = _Itimerspec()
        self._reference = ctypes.byref(self._spec)
        self._fd: int = self._libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def fileno(self) -> int:
        return self._fd

    def arm(self, at: int) -> None:
        """Become readable at `at` (ns of CLOCK_MONOTONIC); at once if it has passed."""
        value = self._spec.value
        value.seconds, value.nanoseconds = divmod(max(at, 1), SECOND)
        self._set(_TFD_TIMER_ABSTIME)

    def repeat(self, interval: int) -> None:
        """Become readable every `interval` ns from now on; 0 stops that."""
        value, again = self._spec.value, self._spec.interval
        value.seconds, value.nanoseconds = again.seconds, again.nanoseconds = divmod(interval, SECOND)
        self._set(0)

    def _set(self, flags: int) -> None:
        if self._libc.timerfd_settime(self._fd, flags, self._reference, None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def drain(self) -> None:
        """Stop being readable until armed again."""
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            pass

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
