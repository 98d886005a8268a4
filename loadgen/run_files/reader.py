"""The RunReader: reads the files of a run, also of one that was killed while it wrote them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from loadgen.outcomes.report import SCHEMA
from loadgen.recorder.batch import Batch
from loadgen.run_files import names
from loadgen.types import ClockSample, Health, UsageError

_KINDS: Final[Mapping[str, type[Health] | type[ClockSample]]] = {"health": Health, "clock": ClockSample}


class RunReader:
    """Reads a run directory; of a file that was cut off in the middle of a write, everything before that."""

    def __init__(self, dir: Path) -> None:
        """Open the directory. Raises UsageError if it holds no run, or one of a newer schema.

        A damaged summary is no error here: everything in it can be made again from the rest.
        """
        self.dir = dir
        _look_into(dir)
        self._check_schema(names.PLAN, self._json(names.PLAN))
        try:
            summary = self._json(names.SUMMARY)
        except UsageError:
            return
        self._check_schema(names.SUMMARY, summary)

    def plan(self) -> dict[str, Any]:
        """Return plan.json. Raises UsageError if there is none."""
        plan = self._json(names.PLAN)
        if plan is None:
            raise UsageError(f"{self.dir} has no {names.PLAN}: the run ended before it was written")
        return plan

    def summary(self) -> dict[str, Any] | None:
        """Return summary.json, or None if the run did not live to write it. Raises UsageError if it is damaged."""
        try:
            return self._json(names.SUMMARY)
        except UsageError as error:
            raise UsageError(f"{error}: loadgen report {self.dir} makes it again") from error

    def rows(self) -> Iterator[Batch]:
        """Yield all rows in the order in which they were written, some thousands in memory at a time.

        Raises UsageError if the file is damaged or of a newer schema.
        """
        from loadgen.run_files import arrow  # brings pyarrow, which a run that begins need not wait for

        if (self.dir / names.ROWS).exists():
            records = arrow.read_parquet(self.dir / names.ROWS)
        elif (self.dir / names.ROWS_SO_FAR).exists():
            records = arrow.read_stream(self.dir / names.ROWS_SO_FAR)
        else:
            return
        for record in records:
            yield arrow.from_arrow(record)

    def logs(self) -> dict[str, str]:
        """Return the interval logs as text, by metric; of one that was cut off, the lines that are whole."""
        texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(self.dir.glob("*.hlog"))}
        return {metric: text[: text.rfind("\n") + 1] for metric, text in texts.items()}

    def health(self) -> Iterator[Health | ClockSample | dict[str, Any]]:
        """Yield the lines of health.jsonl: how the client was, its clock samples, and events as mappings.

        Raises UsageError for a broken line; a half last line is no error.
        """
        path = self.dir / names.HEALTH
        if not path.exists():
            return
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield _health(msgspec.json.decode(line, type=dict[str, Any]))
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    raise UsageError(f"{path}, line {number} is damaged: {error}") from error

    def _check_schema(self, name: str, data: Mapping[str, Any] | None) -> None:
        version = (data or {}).get("schema", SCHEMA)
        if not isinstance(version, int) or version > SCHEMA:
            raise UsageError(f"{self.dir / name} was written by a newer loadgen (schema {version}, known is {SCHEMA}): "
                             "upgrade loadgen to read it")

    def _json(self, name: str) -> dict[str, Any] | None:
        path = self.dir / name
        try:
            return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageError(f"{path} can't be read: {error.strerror}") from error
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} is damaged: {error}") from error


def _look_into(dir: Path) -> None:
    try:
        if not dir.is_dir():
            raise UsageError(f"{dir} is not a directory: give the directory of a run (what --out named)")
        if not any((dir / name).exists() for name in (names.PLAN, names.ROWS, names.ROWS_SO_FAR)):
            raise UsageError(f"{dir} has no run: there is no {names.PLAN} and no {names.ROWS} in it")
    except OSError as error:
        raise UsageError(f"{error.filename or dir} can't be read: {error.strerror}") from None


def _health(data: dict[str, Any]) -> Health | ClockSample | dict[str, Any]:
    kind = data.pop("kind", "")
    if kind in _KINDS:
        return msgspec.convert(data, _KINDS[kind])
    event = data.get(names.EVENT)
    return event if isinstance(event, dict) else data
