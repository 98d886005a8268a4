"""The runs of a side, from directories: found, read, and cut into blocks where the rows themselves are needed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from loadgen.compare import Measured
from loadgen.compare.blocks import Blocks, count_for, cut
from loadgen.compare.load_identity import of
from loadgen.outcomes.report import Report
from loadgen.run_files import RunReader, names
from loadgen.run_files.read_back import replay
from loadgen.run_files.record import from_json, to_json
from loadgen.types import UsageError

_DEEPEST: Final = 3
"""Folders between a directory that was named and the runs in it: a sweep has a folder for each cell."""

_ASIDE: Final = re.compile(r"\.(broken|interrupted|gone)-\d+$")
"""What a sweep calls the run of a cell that did not end well and was moved out of the way of the next."""

_OF_A_PAIR: Final = re.compile(r"(base|new)-\d+")
"""What `loadgen ab` calls its runs."""


def read_sides(base: Sequence[str], new: Sequence[str]) -> tuple[list[Measured], list[Measured]]:
    """Read the runs of both sides; each path is a run or a directory with runs in it, as of a sweep.

    Raises UsageError for a path without runs, a run of a newer schema, files that can't be read, or a run named twice.
    """
    seen: dict[Path, int] = {}
    sides: tuple[list[Measured], list[Measured]] = ([], [])
    for side, paths in enumerate((base, new)):
        for directory in (each for path in paths for each in runs_in(Path(path))):
            other = seen.setdefault(directory.resolve(), side)
            if other != side:
                raise UsageError(f"{directory} is on both sides: a run can't be compared with itself")
            if len(seen) == sum(map(len, sides)):
                raise UsageError(f"{directory} is on one side twice: name it once")
            sides[side].append(Measured(str(directory), _report(directory)))
    return sides


def runs_in(path: Path) -> list[Path]:
    """Return the run directories at or below `path`, in order of their names (2 before 10).

    Raises UsageError if there are none, if they are those of both sides, or if they can't be looked for.
    """
    try:
        if not path.is_dir():
            raise UsageError(f"{path} is not a directory: give that of a run, or one with runs in it")
        found = [path] if is_run(path) else sorted(_below(path, _DEEPEST), key=_natural)
    except OSError as error:
        raise UsageError(f"{error.filename or path} can't be read: {error.strerror}") from None
    if not found:
        raise UsageError(f"{path} has no runs: there is no {names.PLAN} and no {names.ROWS} in it or below it")
    for folder in dict.fromkeys(each.parent for each in found):
        of_folder = (_OF_A_PAIR.fullmatch(each.name) for each in found if each.parent == folder)
        if len({match[1] for match in of_folder if match}) > 1:
            raise UsageError(f"{folder} holds both sides of a comparison: write --base {folder}/base-* --new "
                             f"{folder}/new-*")
    return found


def is_run(path: Path) -> bool:
    """Say whether a directory is that of a run, be it a broken one. Raises OSError if it can't be looked into."""
    return any((path / name).is_file() for name in (names.PLAN, names.ROWS, names.ROWS_SO_FAR))


def _below(path: Path, depth: int) -> Iterator[Path]:
    for each in path.iterdir():
        if each.is_dir() and not each.is_symlink() and not _ASIDE.search(each.name):
            if is_run(each):
                yield each
            elif depth > 1:
                yield from _below(each, depth - 1)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key in which numbers in a name count as numbers."""
    digits = "".join(c if c.isdigit() else f" {c} " for c in str(path)).split()
    return [(int(part), "") if part.isdigit() else (-1, part) for part in digits]


def _report(directory: Path) -> Report:
    """Return the report of a run as it was written; that of a run that did not live to write it is made again.

    Its plan is that of plan.json, which knows what was planned for a window that was then closed earlier; what a plan
    of an older loadgen does not know has its default, and what that of a newer one knows besides is kept.
    """
    reader = RunReader(directory)
    written = reader.plan()
    known = to_json(from_json(written, directory / names.PLAN))
    plan = written | {name: {**table, **of(written, name)} for name, table in known.items() if isinstance(table, dict)}
    summary = reader.summary()
    if summary is None:
        return replace(replay(directory), plan=plan)
    try:
        return replace(Report.from_json(summary), plan=plan)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{directory / names.SUMMARY} is not a complete summary ({error!r}): "
                         f"loadgen report {directory} makes it again") from None


def read_blocks(run: Measured) -> Blocks:
    """Read the rows of a run and cut them into blocks of time. Raises UsageError for rows that can't be read."""
    window, e2e = run.report.window, run.report.metrics.get("e2e")
    length = int(window["length"])
    count = count_for(length, (e2e.mean if e2e else None) or 0.0)
    reader = RunReader(Path(run.dir))
    record = from_json(reader.plan(), reader.dir / names.PLAN)
    return cut(reader.rows(), int(window["start"]), length, count, record.opens_each)
