"""Making the Report of a run from what was recorded: a pure function, so that a replay of the files gives it again."""

from __future__ import annotations

from loadgen.checks import evidence, judge, span
from loadgen.outcomes.report import Report
from loadgen.outcomes.run_record import RunRecord
from loadgen.recorder import Recorder
from loadgen.summary import numbers
from loadgen.summary.notes import notes


def build(recorder: Recorder, record: RunRecord, interrupted: bool = False, aborted: str = "") -> Report:
    """Build the Report, but for its `plan` and `server`, which are files of their own.

    The same rows and health lines give the same Report, however the rows were divided into batches.
    """
    seen = evidence(recorder, record, interrupted, aborted=aborted)
    begin, end = span(recorder, interrupted or bool(aborted))
    return Report(
        verdict=judge(seen, notes(recorder, seen, end)), requests=numbers.requests(recorder),
        rates=numbers.rates(recorder, begin, end), metrics=numbers.metrics(recorder, seen.stream),
        client=numbers.client(recorder, record.resolved.stamps), schedule=dict(record.resolved.schedule),
        window=numbers.window(recorder, interrupted or bool(aborted)), provenance=dict(record.resolved.provenance))
