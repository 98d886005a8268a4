"""Writing to a disk that may be full: nothing is buffered, and a file is replaced by a whole one or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final, cast

from loadgen.types import UsageError

Opener = Callable[[Path, str], BinaryIO]
NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk that takes no more."""


class StorageFull(Exception):  # noqa: N818 - what the run meets is a state of the disk
    """The disk took no more while `path` was written: the run should end in order."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"no space left while writing {path}")
        self.path = path


def open_unbuffered(path: Path, mode: str) -> BinaryIO:
    """Open a file whose every write reaches the operating system at once, so that kill -9 loses none."""
    return cast(BinaryIO, open(path, mode, buffering=0))


def make_directory(dir: Path) -> None:
    """Make an empty directory that can be written. Raises UsageError if that can't be had."""
    try:
        dir.mkdir(parents=True, exist_ok=True)
        used = next(dir.iterdir(), None) is not None
    except OSError as error:
        raise UsageError(f"the output directory {dir} can't be made: {error.strerror}; write another --out") from error
    if used:
        raise UsageError(f"the output directory {dir} exists and is not empty: write another --out, or remove it")
    if not os.access(dir, os.W_OK | os.X_OK):
        raise UsageError(f"the output directory {dir} can't be written: change its rights, or write another --out")


def write_whole(file: BinaryIO, data: bytes) -> None:
    """Write all of `data`; an unbuffered file may take a part at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def replace_whole(path: Path, open: Opener, write: Callable[[BinaryIO], None]) -> None:
    """Write a file beside `path` and put it there when it is whole, so that nobody ever sees half of it."""
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            write(file)
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


class Sink:
    """What pyarrow needs of a file, over one that may take a part of a write at a time."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        write_whole(self._file, data)
        return len(data)
