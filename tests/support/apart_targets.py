"""What the processes of test_apart do; they import it, so that it imports nothing heavy."""

from __future__ import annotations

import os
import time
from pathlib import Path

from loadgen.types import UsageError


def give(code: int) -> int:
    return code


def refuse(text: str) -> int:
    raise UsageError(text)


def wait(place: str) -> int:
    """Say in a file who this is, and go on until a signal comes."""
    Path(f"{place}.part").write_text(f"{os.getpid()} {os.getpgrp()}")
    Path(f"{place}.part").rename(place)
    time.sleep(100)
    return 0


def begin_and_die(place: str) -> int:
    """Be a program that begins a run and is killed."""
    from threading import Thread

    from loadgen.run.subprocess import RunProcess

    Thread(target=RunProcess(wait, place).run, daemon=True).start()
    while not Path(place).exists():
        time.sleep(0.01)
    os._exit(9)
