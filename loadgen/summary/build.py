"""Making the Report of a run from what was recorded: a pure function, so that a replay of the files gives it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loadgen.checks import evidence, judge, span
from loadgen.outcomes.report import Report
from loadgen.recorder import Recorder
from loadgen.summary import numbers
from loadgen.summary.notes import notes


def build(recorder: Recorder, plan: Mapping[str, Any], schedule: Mapping[str, Any] | None = None,
          provenance: Mapping[str, Any] | None = None, interrupted: bool = False,
          aborted: str = "") -> Report:
    """Build the Report. `plan` is the Plan as plan.json holds it; `schedule` and `provenance` are passed on.

    The same rows and health lines give the same Report, however the rows were divided into batches.
    """
    seen = evidence(recorder, plan, interrupted, aborted=aborted)
    begin, end = span(recorder, interrupted or bool(aborted))
    return Report(
        verdict=judge(seen, notes(recorder, seen, end)), requests=numbers.requests(recorder),
        rates=numbers.rates(recorder, begin, end), metrics=numbers.metrics(recorder, seen.stream),
        client=numbers.client(recorder, plan.get("resolved", {}).get("stamps", "")), schedule=dict(schedule or {}),
        window=numbers.window(recorder, interrupted or bool(aborted)), provenance=dict(provenance or {}),
        plan=dict(plan))
