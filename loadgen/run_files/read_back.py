"""Makes everything of a run again from its files: the Report, and what renderers need beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from loadgen.figures import curves, draw
from loadgen.outcomes.report import Report
from loadgen.recorder import Recorder
from loadgen.recorder.estimate import CONFIDENCE
from loadgen.recorder.looks import InterimLook, recorded
from loadgen.run_files import RunReader, names
from loadgen.summary import build
from loadgen.summary.run_data import RequestColumns, RunData
from loadgen.types import UsageError, Window

_NEEDED: Final = (("target", "stream"), ("load", "connections"), ("judgement", "slo"), ("resolved", "schedule"),
                  ("resolved", "provenance"), ("resolved", "window", "start"), ("resolved", "window", "length"),
                  ("resolved", "window", "count"))
"""What plan.json says of every run that began."""


def opens_each(record: Mapping[str, Any]) -> bool:
    """Say whether each request of a run opened a connection of its own, on purpose; `record` is its plan.json."""
    return bool(record["load"]["connections"] == "new")


def record_of(reader: RunReader) -> dict[str, Any]:
    """Return plan.json of a run. Raises UsageError if there is none, or one that no run wrote."""
    record = reader.plan()
    for path in _NEEDED:
        found: Any = record
        for key in path:
            if not isinstance(found, Mapping) or key not in found:
                raise UsageError(f"{reader.dir / names.PLAN} is no whole plan of a run, it lacks {'.'.join(path)}: it "
                                 "was written by hand, or the run ended before it began")
            found = found[key]
    return record


def report_of(recorder: Recorder, record: Mapping[str, Any], interrupted: bool, server: Mapping[str, Any],
              aborted: str = "") -> Report:
    """Make the Report of what was recorded; `record` is plan.json, `server` what the server itself counted."""
    resolved = record["resolved"]
    report = build(recorder, record, resolved["schedule"], resolved["provenance"], interrupted, aborted)
    return replace(report, server=server)


def replay(directory: Path) -> Report:
    """Make the report of a run from its files alone, also of a run that was killed.

    Raises UsageError if the directory holds no run that can be read.
    """
    return read_back(directory).report


def read_back(directory: Path, name: str = "") -> RunData:
    """Read a run back from its files alone, as `replay` does. `name` tells it from others (that of the directory)."""
    reader = RunReader(directory)
    record = record_of(reader)
    lines = list(reader.health())
    events = {str(line.get("event")): line for line in lines if isinstance(line, dict)}
    end = events.get("end", {"interrupted": True})  # a run that did not live to say how it ended
    look = InterimLook(Window(**record["resolved"]["window"]), 1 << 62, CONFIDENCE)
    if "look" in end:
        look = InterimLook(Window(**end["look"]["window"]), end["look"]["last"], end["look"]["confidence"])
        record = {**record, "resolved": {**record["resolved"], "schedule": end["schedule"]}}
    recorder = recorded(look, record, reader.rows(), (line for line in lines if not isinstance(line, dict)))
    interrupted, server = bool(end["interrupted"]), events.get("server", {}).get("facts", {})
    report = report_of(recorder, record, interrupted, server, str(end.get("aborted", "")))
    stream, fresh = bool(record["target"]["stream"]), opens_each(record)
    histograms = {metric: recorder.metrics[metric] for metric in report.metrics}
    return RunData(name or directory.resolve().name, directory, report, histograms,
                  lambda: (RequestColumns.of(batch, fresh) for batch in reader.rows()), reader.logs,
                  partial(curves, recorder, stream), lambda: draw(recorder, reader.rows(), stream, interrupted))
