"""Cells of a sweep that are there already, made of rows that never were: a SweepRunner reads them and runs nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from loadgen.capacity import Sweep, SweepCell
from loadgen.capacity.model import Value
from loadgen.config import plan_file
from loadgen.plan import Criteria, Duration, Load, Plan, Target
from loadgen.sweep.cells import wanted
from loadgen.sweep.runner import SweepEvents, SweepRunner
from loadgen.sweep.spec import Spec
from loadgen.sweep.steps import steps
from loadgen.types import SECOND
from support.made_runs import MS, S, report_of, run_of, window_of

SLO = "ttft.p99<500ms"
PLAN = Plan(target=Target(url=("http://127.0.0.1:9",)), load=Load(duration=Duration(10 * SECOND)),
            judgement=Criteria(slo=(SLO,)))


def store_cell(spec: Spec, dir: Path, number: int, coordinates: Mapping[str, Value], ttft: int = 50 * MS) -> None:
    """Write what a run of 10 s at 100/s leaves of a cell; ttft is that of each request."""
    one = wanted(spec, dir, number, coordinates)
    place = dir / one.name
    place.mkdir(parents=True)
    rows = run_of(100, 10 * S, ttft=ttft)
    report = report_of(rows, window_of(rows, 10 * S), (SLO,), rate=100)
    (place / "plan.json").write_text(json.dumps({"schema": 1, **plan_file.to_dict(one.plan)}))
    (place / "summary.json").write_text(json.dumps(report.to_json()))


def campaign_over(spec: Spec, dir: Path, ended: Callable[[SweepCell], None] = lambda cell: None,
                  says: Callable[[str], None] = lambda text: None) -> Sweep:
    """Take the steps of a sweep."""
    return SweepRunner(spec, dir, SweepEvents(lambda number, of, at: None, lambda cell, again: ended(cell),
                                              says)).run(steps)
