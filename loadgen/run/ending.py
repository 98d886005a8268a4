"""The end of a run: its report, and the files that are written then, from one reading of its rows."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from loadgen.exit_codes import INVALID
from loadgen.figures import Figures, Sketch, draw
from loadgen.metrics import names
from loadgen.outcomes.run_record import RunRecord
from loadgen.recorder import Recorder
from loadgen.recorder.batch import Batch
from loadgen.recorder.looks import InterimLook, LookIntervals, cut
from loadgen.run_files import RunReader, RunWriter, StorageFull
from loadgen.run_files.read_back import data_of, report_of
from loadgen.run_files.record import to_json
from loadgen.summary.run_data import RunData
from loadgen.types import UsageError


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended; `look` is the one that closed a window which could be extended."""

    interrupted: bool = False
    aborted: str = ""
    full: bool = False  # the disk
    server: Mapping[str, Any] | None = None  # what the server itself counted
    look: InterimLook | None = None


def end_run(writer: RunWriter, record: RunRecord, recorder: Recorder, end: RunEnd,
            warn: Callable[[str], None]) -> RunData:
    """Write what is known at the end, and return the run as renderers take it. `recorder` holds all its rows.

    A disk that is full only now is a warning: the report can still be shown. Ctrl-C leaves out what the page shows.
    """
    try:
        _write_events(writer, record, end)
    except StorageFull as error:
        warn(str(error))
    report = report_of(recorder, record, to_json(record), end.interrupted, end.server or {}, end.aborted)
    if end.full:
        report = replace(report, verdict=replace(report.verdict, exit_code=INVALID, interrupted=False))
    logs = LookIntervals(end.look, record, names(lambda one: one.logged)) if end.look else None
    sketch = Sketch(recorder, record.plan.target.stream, end.interrupted) if record.plan.out.page else None
    last = _LastReading(writer, end.look, logs, sketch)
    try:
        with last.stoppable():
            writer.finish(report.to_json(), last.see if logs or sketch else None, last.end)
    except StorageFull as error:
        warn(str(error))

    def figures() -> Figures:
        if last.stopped:
            raise UsageError("it was interrupted")
        rows = RunReader(writer.dir).rows
        return sketch.figures() if sketch else draw(recorder, rows(), record.plan.target.stream, end.interrupted)

    return data_of(writer.dir, report, recorder, record, figures)


def _write_events(writer: RunWriter, record: RunRecord, end: RunEnd) -> None:
    if end.server:
        writer.write_health({"event": "server", "facts": end.server})
    closed = {"look": asdict(end.look), "schedule": record.resolved.schedule} if end.look else {}
    writer.write_health({"event": "end", "interrupted": end.interrupted, "aborted": end.aborted, **closed})


class _LastReading:
    """What is done with each batch when the rows are read: the window is cut, logs and charts are made."""

    def __init__(self, writer: RunWriter, look: InterimLook | None, logs: LookIntervals | None,
                 sketch: Sketch | None) -> None:
        self._writer = writer
        self._look = look
        self._logs = logs
        self._sketch = sketch
        self.stopped = False

    def see(self, batch: Batch) -> Batch:
        """Take a batch; return it as it is to be stored. Where a look closed the window, later rows are no part of it.

        Raises StorageFull.
        """
        if self._look:
            batch = cut(batch, self._look.last)
        if self._sketch and not self.stopped:
            self._sketch.fold(batch)
        if self._logs:
            self._write(list(self._logs.fold(batch)))
        return batch

    def end(self) -> None:
        """Write what is left when all batches were seen. Raises StorageFull."""
        if self._logs:
            self._write(list(self._logs.rest()))

    def _write(self, intervals: Sequence[Any]) -> None:
        for interval in intervals:
            self._writer.rewrite_interval(*interval)

    @contextlib.contextmanager
    def stoppable(self) -> Iterator[None]:
        """Let Ctrl-C leave out the charts, which take the longest, while the files are written as ever."""
        before = signal.signal(signal.SIGINT, lambda *_: setattr(self, "stopped", True))
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
