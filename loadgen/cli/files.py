"""Writes whole files for the commands, so that a reader never sees a part of one."""

from __future__ import annotations

import contextlib
from pathlib import Path


def write_whole(path: Path, text: str, instead: str = "; --no-write prints the report without it") -> None:
    """Write a file so that a reader sees the old content or the new, never a part. Raise UsageError if it can't be."""
    from loadgen.types import UsageError

    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise UsageError(f"can't write {path}: {error.strerror}{instead}") from None
