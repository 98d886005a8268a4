"""What the machine is that a benchmark ran on, and what its processes use; nothing that names it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")


def describe() -> str:
    """Return processor, cores, kernel and Python in one line, and how busy the machine was with other things."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (f"{_processor()}, {cores} cores, {platform.system()} {platform.release()}, "
            f"{platform.python_implementation()} {platform.python_version()}{load}")


def _processor() -> str:
    try:
        lines = (_PROC / "cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def children(pid: int) -> Iterator[tuple[int, str]]:
    """Yield process id and command line of each child of a process; none where there is no /proc."""
    for path in _PROC.glob(f"{pid}/task/*/children"):
        try:
            found = path.read_text().split()
        except OSError:
            continue
        for child in found:
            try:
                yield int(child), (_PROC / child / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue


def resident(pid: int) -> int:
    """Return the memory that a process holds now, in bytes; 0 if it is gone."""
    try:
        pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
