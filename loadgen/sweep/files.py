"""The directory of a sweep: sweep.json, written whole each time, and a directory for each cell."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from loadgen.capacity.model import Sweep
from loadgen.outcomes.report import PAGE
from loadgen.sweep.spec import Spec, differences
from loadgen.types import UsageError

SWEEP: Final = "sweep.json"
_OURS: Final = (f"{SWEEP}.part", PAGE)
_CELL: Final = re.compile(r"\d{3,}-")


def load(directory: Path) -> Sweep:
    """Read the sweep of a directory. Raise UsageError if there is none, or it can't be read."""
    path = directory / SWEEP
    if not path.exists():
        raise UsageError(f"{directory} is not a sweep directory: it has no {SWEEP}")
    try:
        return Sweep.from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path} is damaged ({error}): {_AGAIN}") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    except AttributeError:
        raise UsageError(f"{path} holds no sweep: {_AGAIN}") from None


_AGAIN: Final = ("move it away and give the whole command again with the same --out, which keeps the cells that are "
                 "there")


def store(directory: Path, sweep: Sweep) -> None:
    """Write sweep.json: a reader sees the old one or the new, never a part. Raise UsageError if it can't be written."""
    part = directory / f"{SWEEP}.part"
    try:
        part.write_text(json.dumps(sweep.to_json(), indent=1) + "\n", encoding="utf-8")
        part.replace(directory / SWEEP)
    except OSError as error:
        raise UsageError(f"can't write {directory / SWEEP}: {error.strerror}") from None


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Make the directory and keep every other sweep out of it. Raise UsageError if one is in it, or it can't be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UsageError(f"can't use {directory} for a sweep: {error.strerror}") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if isinstance(error, BlockingIOError):  # else a network file system without locks
                raise UsageError(f"another sweep is running in {directory}: wait for its end, or give another "
                                 "--out") from None
        yield
    finally:
        os.close(lock)


def claim(directory: Path, spec: Spec) -> bool:
    """Look whether a sweep can begin or go on in a directory; says whether it was empty.

    Raise UsageError if it holds another sweep, or something else.
    """
    try:
        inside = list(directory.iterdir())
    except OSError as error:
        raise UsageError(f"can't use {directory} for a sweep: {error.strerror}") from None
    if (directory / SWEEP).exists():
        other = differences(spec, load(directory))
        if other:
            raise UsageError("\n".join([f"{directory} holds another sweep: give another --out, or the same flags",
                                        *other]))
    elif any(not (path.is_dir() and _CELL.match(path.name)) and path.name not in _OURS for path in inside):
        raise UsageError(f"{directory} has files of something else: choose another --out")
    return not inside


def forget(directory: Path) -> None:
    """Remove the directory of a sweep that could not begin, if nothing else is in it."""
    (directory / SWEEP).unlink(missing_ok=True)
    with suppress(OSError):
        directory.rmdir()


def set_aside(place: Path, why: str) -> Path | None:
    """Move what a cell that did not end well has left out of the way; nothing is deleted. None if there is nothing."""
    if not place.exists():
        return None
    number = 1
    while (aside := place.with_name(f"{place.name}.{why}-{number}")).exists():
        number += 1
    place.rename(aside)
    return aside
