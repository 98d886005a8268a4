"""Statistics of this process: CPU time, memory, stalls of its event loop."""

from __future__ import annotations

import resource
import sys
from asyncio import AbstractEventLoop
from time import monotonic_ns, process_time_ns

from loadgen.engine import pacer

_BEAT = 10_000_000


class StallWatch:
    """Wake up every 10 ms and keep the longest delay: for that long the loop could not read its sockets."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._longest = 0
        self._due_at = monotonic_ns() + _BEAT
        self._pacer = pacer.make(loop, self._beat)
        self._pacer.arm(self._due_at)

    def _beat(self) -> None:
        now = monotonic_ns()
        self._longest = max(self._longest, now - self._due_at)
        self._due_at = now + _BEAT
        self._pacer.arm(self._due_at)

    def take(self) -> int:
        """The longest stall since the last call, in ns, a running one included."""
        longest = max(self._longest, monotonic_ns() - self._due_at)
        self._longest = 0
        return max(longest, 0)

    def close(self) -> None:
        self._pacer.close()


def cpu_time() -> int:
    """User and system time of this process, ns."""
    return process_time_ns()


def max_rss() -> int:
    """The largest resident set of this process so far, bytes.

    getrusage counts what the parent held before exec; /proc, where there is one, counts this program alone.
    """
    try:
        with open("/proc/self/status", "rb") as file:
            for line in file:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def raise_file_limit() -> int:
    """Raise the soft limit on open files to the hard one; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 1 << 20
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
