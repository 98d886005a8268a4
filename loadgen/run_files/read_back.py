"""Makes everything of a run again from its files: the Report, and what renderers need beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from loadgen.figures import Figures, curves, draw
from loadgen.outcomes.report import Report
from loadgen.outcomes.run_record import RunRecord
from loadgen.recorder import Recorder
from loadgen.recorder.estimate import CONFIDENCE
from loadgen.recorder.looks import InterimLook, recorded
from loadgen.run_files import RunReader, names
from loadgen.run_files.record import from_json
from loadgen.summary import build
from loadgen.summary.run_data import RequestColumns, RunData
from loadgen.types import Window


def report_of(recorder: Recorder, record: RunRecord, plan: Mapping[str, Any], interrupted: bool,
              server: Mapping[str, Any], aborted: str = "") -> Report:
    """Make the Report of what was recorded; `plan` is what plan.json holds, `server` what the server itself counted."""
    return replace(build(recorder, record, interrupted, aborted), plan=dict(plan), server=server)


def replay(directory: Path) -> Report:
    """Make the report of a run from its files alone, also of a run that was killed.

    Raises UsageError if the directory holds no run that can be read.
    """
    return read_back(directory).report


def read_back(directory: Path, name: str = "") -> RunData:
    """Read a run back from its files alone, as `replay` does. `name` tells it from others (that of the directory)."""
    reader = RunReader(directory)
    plan = reader.plan()
    record = from_json(plan, directory / names.PLAN)
    lines = list(reader.health())
    events = {str(line.get("event")): line for line in lines if isinstance(line, dict)}
    end = events.get("end", {"interrupted": True})  # a run that did not live to say how it ended
    look = InterimLook(record.resolved.window, 1 << 62, CONFIDENCE)
    if "look" in end:
        look = InterimLook(Window(**end["look"]["window"]), end["look"]["last"], end["look"]["confidence"])
        record = replace(record, resolved=replace(record.resolved, schedule=end["schedule"]))
        plan = {**plan, "resolved": {**plan["resolved"], "schedule": end["schedule"]}}
    recorder = recorded(look, record, reader.rows(), (line for line in lines if not isinstance(line, dict)))
    interrupted, server = bool(end["interrupted"]), events.get("server", {}).get("facts", {})
    report = report_of(recorder, record, plan, interrupted, server, str(end.get("aborted", "")))
    return data_of(directory, report, recorder, record,
                   lambda: draw(recorder, reader.rows(), record.plan.target.stream, interrupted), name)


def data_of(directory: Path, report: Report, recorder: Recorder, record: RunRecord, figures: Callable[[], Figures],
            name: str = "") -> RunData:
    """Return a run as renderers take it; nothing is read before it is asked for."""
    reader = RunReader(directory)
    histograms = {metric: recorder.metrics[metric] for metric in report.metrics}
    return RunData(name or directory.resolve().name, directory, report, histograms,
                   lambda: (RequestColumns.of(batch, record.opens_each) for batch in reader.rows()), reader.logs,
                   partial(curves, recorder, record.plan.target.stream), figures)
