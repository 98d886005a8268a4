"""The SweepRunner: runs the cells of a sweep one after the other, and stores what it has after each."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from loadgen.capacity import SearchResult, Sweep, SweepCell, curves
from loadgen.capacity.model import FAILS, Value
from loadgen.capacity.repetitions import across
from loadgen.capacity.sizing import size
from loadgen.capacity.trial import Seen
from loadgen.exit_codes import INTERRUPTED, INVALID, USAGE
from loadgen.plan import Plan
from loadgen.run.subprocess import ProcessEnd, RunProcess, forward_signals
from loadgen.sweep import cells, files, hooks
from loadgen.sweep.execute import CellJob, execute
from loadgen.sweep.spec import Spec
from loadgen.sweep.verdict import exit_code
from loadgen.types import UsageError


@dataclass(frozen=True, slots=True)
class SweepEvents:
    """Who is told how a sweep goes."""

    begins: Callable[[int, int | None, dict[str, Value], int], None]  # the last: its window, ns; 0 unknown
    ended: Callable[[SweepCell, bool], None]  # the second: it was there already
    says: Callable[[str], None]


_GOING: Final = ("it has not ended: it goes on, or it was killed", INVALID)
"""What sweep.json says until the end, so that one that is killed is not taken for whole."""


class SweepStopped(Exception):  # noqa: N818 - an end before the end, which is no error
    """The sweep ends here with what it has; `code` is its exit code."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class SweepRunner:
    """Runs cells in a directory. `cells` are those that have ended well, in the order in which they were run."""

    def __init__(self, spec: Spec, directory: Path, events: SweepEvents, quiet: bool = False) -> None:
        self.spec = spec
        self.directory = directory
        self.cells: list[SweepCell] = []
        self.answers: list[SearchResult] = []
        self.planned: int | None = None
        self._events = events
        self._quiet = quiet
        self._child: RunProcess | None = None
        self._signals = 0
        self._ran = False

    def run(self, steps: Callable[[SweepRunner], None]) -> Sweep:
        """Take the steps of a grid or a search, and return what came out, whole or not."""
        with files.held(self.directory), forward_signals(self._on_signal):
            fresh = files.claim(self.directory, self.spec)
            if fresh:
                self._save(*_GOING)  # not over cells whose plan has not been looked at
            try:
                steps(self)
                return self._save()
            except SweepStopped as stop:
                return self._save(stop.reason, stop.code)
            except UsageError:
                if fresh and not self.cells:
                    files.forget(self.directory)
                raise

    def cell(self, coordinates: dict[str, Value], attempt: int = 0, stretch: int = 1,
             plan: Plan | None = None) -> Seen:
        """Run one cell, or read it if it is there and whole; returns what it says of its load.

        Raises Stopped if the sweep can't go on, UsageError if the very first cell can't be run.
        """
        number = len(self.cells) + 1
        spec = replace(self.spec, plan=plan) if plan else self.spec
        one = cells.wanted(spec, self.directory, number, coordinates, attempt, stretch)
        found = cells.read(one, self.directory)
        if found is None:
            self._set_aside(one, "broken")
            ended = self._execute(one)
            found = cells.read(one, self.directory)
            if found is None:
                raise self._why(one, ended)
            self._check_server(one, found[0])
            self._ran = True
            self._events.ended(found[0], False)
        else:
            self._events.ended(found[0], True)
        self.cells.append(found[0])
        self._save(*_GOING)
        return found[1]

    def _execute(self, one: cells.Wanted) -> ProcessEnd:
        if self._signals:
            raise SweepStopped("interrupted", INTERRUPTED)
        try:
            hooks.prepare(one.plan, self.spec.settings, not self._ran, lambda: bool(self._signals))
        except UsageError as error:
            if not self.cells:
                raise
            raise SweepStopped(str(error), INVALID) from None
        self._child = RunProcess(execute, CellJob(one.plan, self._quiet))
        try:
            if self._signals:  # before there was a child to end
                raise SweepStopped("interrupted", INTERRUPTED)
            self._events.begins(one.number, self.planned, dict(one.coordinates), one.plan.load.window)
            return self._child.run()
        finally:
            self._child = None

    def _why(self, one: cells.Wanted, ended: ProcessEnd) -> Exception:
        """Say why a cell has no result, with what is left of it moved away so that it is run again."""
        if ended.code == USAGE and not self.cells:
            return UsageError(ended.said or "the first cell could not be run")
        aside = self._set_aside(one, "interrupted" if ended.code == INTERRUPTED else "broken")
        where = f"; what it has left is in {aside}" if aside else ""
        if ended.code == INTERRUPTED:
            return SweepStopped(f"interrupted in cell {one.number}{where}", INTERRUPTED)
        if ended.code == USAGE:
            return SweepStopped(f"cell {one.number} could not be run: {ended.said}{where}", INVALID)
        return SweepStopped(f"the process of cell {one.number} ended with code {ended.code}{where}", INVALID)

    def _check_server(self, one: cells.Wanted, cell: SweepCell) -> None:
        """Stop where the server has gone: what it did not answer says nothing about the load."""
        reason = hooks.gone(one.plan) if cell.requests["failed"] or cell.requests["censored"] else ""
        if reason:
            aside = self._set_aside(one, "gone")
            raise SweepStopped(f"the server went away in cell {one.number}: {reason}; what that cell saw is in {aside}",
                          INVALID)

    def _set_aside(self, one: cells.Wanted, why: str) -> str:
        aside = files.set_aside(self.directory / one.name, why)
        if aside is not None and why == "broken":
            self._events.says(f"cell {one.number} was not whole: it is run again, what it had is in {aside.name}")
        return aside.name if aside else ""

    def stop_if_failed(self, cell: SweepCell) -> None:
        """End the sweep after a cell that failed, if that was asked for."""
        if self.spec.plan.judgement.abort_on_fail and cell.outcome == FAILS:
            raise SweepStopped(f"cell {cell.number} failed (--abort-on-fail): {cell.reason}", 1)

    def _save(self, stopped: str = "", code: int = 0) -> Sweep:
        settings, again = self.spec.settings, f"loadgen sweep --resume {shlex.quote(str(self.directory))}"
        sizes = [size(one, self.cells, settings.target_rate, settings.headroom, settings.price_per_hour)
                 for one in self.answers]
        sweep = replace(
            self.spec.outline(), cells=tuple(self.cells), answers=tuple(self.answers), planned=self.planned,
            sizings=tuple(one for one in sizes if one), curves=curves(self.cells), across=across(self.cells),
            stopped=stopped, resume=again if stopped and code != 1 else "")
        sweep = replace(sweep, exit_code=code or exit_code(sweep))
        files.store(self.directory, sweep)
        return sweep

    def _on_signal(self, number: int) -> None:
        """First Ctrl-C: end after the running cell. Then: let that end early; each further one reaches it as well."""
        self._signals += 1
        if self._child is None:
            return
        if self._signals == 1 and number == signal.SIGINT:
            self._events.says("stopping after this cell; Ctrl-C again ends it early")
        else:
            self._child.stop()
