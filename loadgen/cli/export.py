"""`loadgen report --format`: reads results back and writes them in a format, to a file or standard output."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from loadgen.cli.formats import BINARY, FILES, RUN, Format, names
from loadgen.cli.kinds import kind_of, load
from loadgen.types import UsageError

if TYPE_CHECKING:
    from loadgen.summary.run_data import RunData


def export(dirs: Sequence[Path], format: Format, out: Path | None) -> None:
    """Write what is in `dirs` in `format` to the file `out` (a directory if the format has several files), or stdout.

    Several runs go into one output; a sweep or a comparison goes alone. Raises UsageError before anything is read if
    the format doesn't fit the place or the kind of result, and for a directory without a result.
    """
    kind = _kind(dirs, format)
    _check(dirs, format, out)
    if format.form == BINARY:
        results = _runs(dirs)
        _write(out, lambda file: format.renderer(kind)(results, file))
    elif format.form == FILES:
        assert out is not None
        _write_files(format.renderer(kind)(_runs(dirs)), out)
    else:
        pieces = format.renderer(kind)(_runs(dirs)) if kind == RUN else [format.renderer(kind)(load(dirs[0], kind))]
        _write(out, lambda file: _write_text(file, pieces))


def _kind(dirs: Sequence[Path], format: Format) -> str:
    """Return the kind of result in `dirs`, of which only runs can be several."""
    kinds = {dir: kind_of(dir) for dir in dirs}
    for dir, kind in kinds.items():
        if not format.holds(kind):
            raise UsageError(f"{dir} holds a {kind}, and the format {format.name} holds none: write one of "
                             f"{', '.join(names(kind))}, or name the directory of a run")
        if kind != RUN and len(dirs) > 1:
            raise UsageError(f"{dir} holds a {kind}, which is exported alone: name no other directory")
    return kinds[dirs[0]]


def _runs(dirs: Sequence[Path]) -> list[RunData]:
    from loadgen.run_files.read_back import read_back

    return [read_back(dir, name) for dir, name in zip(dirs, names_of(dirs), strict=True)]


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


def _write(out: Path | None, write: Callable[[BinaryIO], object]) -> None:
    """Write to a file, or to standard output as bytes, so that they don't depend on the terminal's encoding."""
    if out is not None:
        _write_file(out, write)
        return
    sys.stdout.flush()
    write(sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _write_text(file: BinaryIO, pieces: Iterable[str]) -> None:
    for piece in pieces:
        file.write(piece.encode("utf-8", "replace"))


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
