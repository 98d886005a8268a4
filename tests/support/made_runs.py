"""Rows of runs that never were, with known numbers: for tests of everything behind the decoder."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from loadgen.outcomes.report import Report
from loadgen.outcomes.run_record import Resolved, RunRecord
from loadgen.plan import Criteria, Load, Plan, Target
from loadgen.recorder import Recorder
from loadgen.recorder.batch import Batch
from loadgen.run_files.record import to_json
from loadgen.slo import expand
from loadgen.summary import build
from loadgen.types import COOLDOWN, MEASURED, WARMUP, ClockSample, Health, RequestRow, Window

MS = 1_000_000
S = 1_000_000_000


def row(index: int = 0, due: int = 0, ttft: int = 50 * MS, itl: int = 10 * MS, tokens: int = 10,
        **changes: Any) -> RequestRow:
    """Return a success that was sent 20 us after it was due and ends 1 us after its last token."""
    sent = due + 20_000
    at = [sent + ttft + itl * i for i in range(tokens)]
    facts: dict[str, Any] = {
        "phase": MEASURED, "sent": sent, "sent_end": sent + 1000, "first_byte": sent + ttft, "end": at[-1] + 1000 if at
        else sent, "token_at": at, "token_count": [1] * tokens, "token_lag": [30_000] * tokens, "reads": tokens + 1,
        "input_tokens": 100, "input_source": "usage", "output_tokens": tokens, "output_source": "usage",
        "usage_tokens": tokens, "asked_tokens": tokens, "finish_reason": "length", "status": 200}
    return RequestRow(index=index, due=due, **{**facts, **changes})


def run_of(rate: float, length: int, warmup: int = 2 * S, tail: int = 3 * S, seed: int = 0, slots: int = 0,
           ttft: int = 50 * MS, itl: int = 10 * MS, tokens: int = 20, jitter: float = 0.05) -> list[RequestRow]:
    """Return the rows of a Poisson run against a server that serves at most `slots` requests at once (0: any number).

    Each request takes a slot, waits for ttft and streams its tokens; `jitter` is the relative deviation of both times.
    """
    rng = np.random.default_rng(seed)
    whole = warmup + length + tail
    dues = np.sort(rng.integers(0, whole, round(rate * whole / S)))
    free: list[int] = [0] * slots
    rows = []
    for index, due in enumerate(dues.tolist()):
        slow = max(0.2, 1 + jitter * rng.standard_normal())
        begin = max(due, free[0]) if slots else due
        phase = WARMUP if due < warmup else MEASURED if due < warmup + length else COOLDOWN
        one = row(index, due, begin - due + round(ttft * slow), round(itl * slow), tokens, phase=phase)
        if slots:
            heapq.heapreplace(free, one.end)
        rows.append(one)
    return sorted(rows, key=lambda one: one.end)


def window_of(rows: Sequence[RequestRow], length: int, warmup: int = 2 * S) -> Window:
    """Return the open-loop window that `run_of` was asked for."""
    return Window(warmup, length, sum(one.phase == MEASURED for one in rows))


def recorded(rows: Sequence[RequestRow], window: Window, slo: Sequence[str] = (), size: int = 1000) -> Recorder:
    """Fold rows in batches of `size`, and the health of one undisturbed sender."""
    recorder = Recorder(window, expand(slo))
    for first in range(0, len(rows), size):
        recorder.fold(Batch.of(rows[first : first + size]))
    seconds = max((one.end for one in rows), default=0) // S + 1
    for second in range(seconds):
        recorder.observe(Health(second * S, 0, cpu=second * 10 * MS, rss=50_000_000, stall=200_000))
        recorder.observe(Health(second * S, -1, cpu=second * 50 * MS, rss=90_000_000, stall=30 * MS))
        recorder.observe(ClockSample(second * S, 1_700_000_000 * S + second * 50))
    return recorder


def record_of(rate: float = 50.0, slo: Sequence[str] = (), stream: bool = True, concurrency: int = 0,
              resolved: Resolved | None = None, **judgement: Any) -> RunRecord:
    """Return the RunRecord of a run of which only this matters."""
    return RunRecord(Plan(target=Target(stream=stream), load=Load(rate=rate, concurrency=concurrency),
                          judgement=Criteria(slo=tuple(slo), **judgement)),
                     resolved or Resolved(Window(0)))


def report_of(rows: Sequence[RequestRow], window: Window, slo: Sequence[str] = (), rate: float = 50.0, size: int = 1000,
              **judgement: Any) -> Report:
    """Return the Report of rows."""
    record = record_of(rate, slo, **judgement)
    return replace(build(recorded(rows, window, slo, size), record), plan=to_json(record))
