"""The RunWriter: writes the files of a run as it goes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import msgspec

from loadgen.recorder.batch import Batch
from loadgen.redact import MASK
from loadgen.run_files import names
from loadgen.run_files.disk import (
    NO_SPACE,
    Opener,
    Sink,
    StorageFull,
    make_directory,
    open_unbuffered,
    replace_whole,
    write_whole,
)
from loadgen.stats.histogram import Histogram
from loadgen.types import ClockSample, Health, UsageError

_SHORTEST_SECRET: Final = 8
_LOG_IN_PART: Final = ".hlog.part"
_STREAM_MARK: Final = b"\xff\xff\xff\xff"
"""The first bytes of every Arrow IPC stream; the rest of its head comes with the first rows."""


class RunWriter:
    """Writes a run directory. Not for several threads.

    Every write reaches the operating system before it returns. The first write that finds the disk full raises
    StorageFull; later ones do nothing, so that the run can end in order. Any of `secrets` (8 characters or more) is
    masked wherever it turns up in text.
    """

    def __init__(self, dir: Path, secrets: Sequence[str] = (), open: Opener = open_unbuffered) -> None:
        """Create the directory. Raises UsageError if it holds files already, can't be written or has no space."""
        self.dir = dir
        self.epoch = 0  # CLOCK_REALTIME ns of the start of the schedule; set it before the first interval
        self.full: Path | None = None
        self.on_rows: Callable[[Batch], object] | None = None  # is given the rows as they were written
        self._secrets = tuple(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)
        self._open = open
        self._files: dict[str, BinaryIO] = {}
        self._begun = False  # whether the head of the rows is written
        make_directory(dir)
        try:
            self._append(names.ROWS_SO_FAR, _STREAM_MARK)
        except StorageFull as error:
            self.close()
            raise UsageError(f"no space left for {dir}: free some, or choose another --out") from error

    def write_plan(self, plan: Mapping[str, Any]) -> None:
        """Write plan.json."""
        self._write_json(names.PLAN, plan)

    def prepare(self) -> None:
        """Import what writing rows needs, so that the first rows don't wait for it. May be called from any thread."""
        from loadgen.run_files import arrow, hlog  # noqa: F401

    def write_rows(self, batch: Batch) -> None:
        """Append rows to requests.arrows."""
        if len(batch) == 0:
            return
        if self._secrets:
            detail, failure_type = [[self._mask(text) for text in c] for c in (batch.detail, batch.failure_type)]
            batch = replace(batch, detail=detail, failure_type=failure_type)
        from loadgen.run_files import arrow  # brings pyarrow, which the first request need not wait for

        head = b"" if self._begun else arrow.stream_head()[len(_STREAM_MARK):]
        self._begun = True
        self._append(names.ROWS_SO_FAR, head + arrow.stream_part(batch))
        if self.on_rows:
            self.on_rows(batch)

    def write_health(self, line: Health | ClockSample | Mapping[str, Any]) -> None:
        """Append to health.jsonl; a mapping is an event of the run, such as an interrupt or a lost sender."""
        if isinstance(line, Mapping):
            data = {"kind": names.EVENT, names.EVENT: line}
        else:
            kind = "health" if isinstance(line, Health) else "clock"
            data = {"kind": kind, **msgspec.to_builtins(line)}
        self._append(names.HEALTH, self._encode(data) + b"\n")

    def write_interval(self, metric: str, histogram: Histogram, start: int, end: int) -> None:
        """Append the values of one interval, ns since the start of the schedule, to <metric>.hlog."""
        self._write_interval(metric, histogram, start, end, ".hlog")

    def rewrite_interval(self, metric: str, histogram: Histogram, start: int, end: int) -> None:
        """Append to the log that `finish` puts in the place of what write_interval wrote; without space that stays.

        Where one log is written again, all are: a metric without one has no log then.
        """
        self._write_interval(metric, histogram, start, end, _LOG_IN_PART)

    def _write_interval(self, metric: str, histogram: Histogram, start: int, end: int, suffix: str) -> None:
        from loadgen.run_files import hlog  # brings ctypes and zlib by its package

        name = re.sub(r"[^\w.-]", "_", metric)
        if name + suffix not in self._files:
            self._append(name + suffix, hlog.header(self.epoch).encode())
        self._append(name + suffix, hlog.line(name, start, end, histogram).encode())

    def write_outputs(self, outputs: Iterable[Mapping[str, Any]]) -> None:
        """Append generated texts to outputs.jsonl, a line each."""
        self._append(names.OUTPUTS, b"".join([self._encode(output) + b"\n" for output in outputs]))

    def finish(self, report: Mapping[str, Any], see: Callable[[Batch], Batch] | None = None,
               seen: Callable[[], None] = lambda: None) -> None:
        """Turn requests.arrows into requests.parquet, write summary.json and close.

        The rows are read once, in order: `see` is given each batch and returns the one to store, and `seen` is called
        after the last. They get all rows also where there is no space, and may call rewrite_interval. Without space the
        rows stay in requests.arrows, which RunReader reads too. Raises StorageFull if it was not raised before.
        """
        known_full = self.full is not None
        self.close()
        self._store_rows(see, seen)
        self.close()
        self._replace_logs()
        self.full, before = None, self.full  # the summary is small: try, whatever happened to the rows
        with suppress(StorageFull):
            self._write_json(names.SUMMARY, report)
        self.full = before or self.full
        if self.full and not known_full:
            raise StorageFull(self.full)

    def close(self) -> None:
        """Close the files as they are; a run that ends here can still be read."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _append(self, name: str, data: bytes) -> None:
        if self.full is not None or not data:
            return
        with self._storing(self.dir / name) as path:
            if name not in self._files:
                self._files[name] = self._open(path, "ab")
            write_whole(self._files[name], data)

    def _write_json(self, name: str, data: Mapping[str, Any]) -> None:
        if self.full is not None:
            return
        text = msgspec.json.format(self._encode(data), indent=2) + b"\n"
        with self._storing(self.dir / name) as path:
            replace_whole(path, self._open, lambda file: write_whole(file, text))

    def _store_rows(self, see: Callable[[Batch], Batch] | None, seen: Callable[[], None]) -> None:
        from loadgen.run_files import arrow

        source = self.dir / names.ROWS_SO_FAR
        records = arrow.read_stream(source)

        def copy(file: BinaryIO) -> None:
            arrow.rows_to_parquet(records, cast(BinaryIO, Sink(file)), see)
            seen()

        with suppress(StorageFull):
            if self.full is None:
                with self._storing(self.dir / names.ROWS) as path:
                    replace_whole(path, self._open, copy)
                source.unlink()
        if see:
            for record in records:  # those that could not be stored
                see(arrow.from_arrow(record))

    def _replace_logs(self) -> None:
        parts = list(self.dir.glob(f"*{_LOG_IN_PART}"))
        if self.full is not None:
            for part in parts:
                part.unlink()
        elif parts:
            for old in self.dir.glob("*.hlog"):
                old.unlink()
            for part in parts:
                part.replace(part.with_suffix(""))

    @contextmanager
    def _storing(self, path: Path) -> Iterator[Path]:
        try:
            yield path
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            self.full = path
            raise StorageFull(path) from error

    def _encode(self, data: Any) -> bytes:
        if self._secrets:
            data = _change_texts(data, self._mask)
        try:
            return msgspec.json.encode(data)
        except UnicodeEncodeError:  # JSON can hold half a surrogate pair, and UTF-8 can not
            return msgspec.json.encode(_change_texts(data, lambda text: text.encode("utf-8", "replace").decode()))

    def _mask(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


def _change_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return `value` with each text in it changed, all the way down."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {_change_texts(key, change): _change_texts(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_change_texts(item, change) for item in value]
    return value
