"""`loadgen report --format`: reads runs back and writes them in a format of FORMATS, to a file or standard output."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from loadgen.cli.formats import BINARY, BY_NAME, FILES, FORMATS, Format
from loadgen.suggest import did_you_mean
from loadgen.types import UsageError

if TYPE_CHECKING:
    from loadgen.summary.run_data import RunData

HELP = "formats:\n" + "\n".join(f"  {format.name:<20} {format.about}" for format in FORMATS) + "\n"


def format_of(name: str) -> Format:
    """Find a format by its name. Raises UsageError that names the nearest."""
    if name not in BY_NAME:
        raise UsageError(f"--format: unknown format {name!r}{did_you_mean(name, BY_NAME)}; there are "
                         f"{', '.join(BY_NAME)}")
    return BY_NAME[name]


def export(dirs: Sequence[Path], format: Format, out: Path | None) -> None:
    """Write the runs in `dirs` in `format` to the file `out` (a directory if the format has several files), or stdout.

    Raises UsageError before anything is read if the format and the place don't fit, and for a directory without a run.
    """
    _check(dirs, format, out)
    from loadgen.run_files.read_back import read_back

    results = [read_back(dir, name) for dir, name in zip(dirs, names_of(dirs), strict=True)]
    if format.form == FILES:
        assert out is not None
        _write_files(format.renderer()(results), out)
    elif out is None:
        _print(format, results)
    else:
        _write_file(out, lambda file: _write(format, results, file))


def names_of(dirs: Sequence[Path]) -> list[str]:
    """Name runs after their directories: the last part of the path, or all of it where two would be called alike."""
    short = [dir.resolve().name for dir in dirs]
    return short if len(set(short)) == len(short) else [str(dir).replace("/", "_") for dir in dirs]


def _check(dirs: Sequence[Path], format: Format, out: Path | None) -> None:
    twice = [dir for place, dir in enumerate(dirs) if dir.resolve() in [one.resolve() for one in dirs[:place]]]
    if twice:
        raise UsageError(f"{twice[0]} is named twice: name each run once")
    if format.single and len(dirs) > 1:
        raise UsageError(f"the format {format.name} holds one run: name one directory, not {len(dirs)}")
    if format.form == FILES and out is None:
        raise UsageError(f"the format {format.name} is several files: add --out DIR")
    if format.form == FILES and out is not None and out.exists() and not out.is_dir():
        raise UsageError(f"the format {format.name} is several files and {out} is one: write --out DIR")
    if format.form != FILES and out is not None and out.is_dir():
        raise UsageError(f"{out} is a directory: write the name of a file, as in --out {out}/report")
    if format.form == BINARY and out is None and sys.stdout.isatty():
        raise UsageError(f"the format {format.name} is binary: add --out FILE, or redirect standard output")


def _write(format: Format, results: Sequence[RunData], file: BinaryIO) -> None:
    if format.form == BINARY:
        format.renderer()(results, file)
    else:
        for piece in format.renderer()(results):
            file.write(piece.encode("utf-8", "replace"))


def _print(format: Format, results: Sequence[RunData]) -> None:
    """Write to standard output as bytes, so that what comes out does not depend on the terminal's encoding."""
    sys.stdout.flush()
    _write(format, results, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _write_files(texts: dict[str, str], out: Path) -> None:
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        data = text.encode("utf-8", "replace")
        _write_file(out / name, lambda file, data=data: file.write(data))  # type: ignore[misc]


def _write_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that nobody sees a part of it; what is no file, as /dev/stdout, is written to as it is."""
    part = path if path.exists() and not path.is_file() else path.with_name(path.name + ".part")
    with _writing(path):
        try:
            with open(part, "wb") as file:
                write(file)
            if part != path:
                part.replace(path)
        except BaseException:
            if part != path:
                part.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"can't write {path}: {error.strerror}; write another --out") from None
