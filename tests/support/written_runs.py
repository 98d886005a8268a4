"""Run directories as a run leaves them, made of rows that never were, for tests of everything that reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadgen.recorder.batch import Batch
from loadgen.run_files import RunWriter
from loadgen.run_files.read_back import read_back
from loadgen.stats.histogram import Histogram
from loadgen.summary.run_data import RequestColumns, RunData
from loadgen.types import ClockSample, Health, RequestRow
from support.made_runs import MS, S, run_of, window_of

EPOCH = 1_700_000_000 * S


def written(dir: Path, rows: Sequence[RequestRow] | None = None, slo: Sequence[str] = (), name: str = "",
            rate: float = 50.0,
            length: int = 5 * S, **target: Any) -> RunData:
    """Write the files of a run (5 s at 50/s, unless rows are given) in two or more parts, and read them back."""
    rows = run_of(rate, length) if rows is None else rows
    writer = RunWriter(dir)
    window = window_of(rows, length)
    writer.write_plan({
        "schema": 1, "target": {"backend": "vllm", "url": ["http://127.0.0.1:8000"], "stream": True, **target},
        "load": {"rate": rate, "concurrency": 0, "duration": f"{length // S}s", "connections": "reuse", "seed": 7},
        "judgement": {"slo": list(slo), "precision": 0.05, "lax": False}, "out": {"outputs": False},
        "resolved": {"window": {"start": window.start, "length": window.length, "count": window.count},
                     "schedule": {"law": "poisson", "rate": rate, "sha256": "3f9a1c77d2"},
                     "provenance": {"loadgen": "0.1.0", "model": "Qwen2.5-7B",
                                    "started": "2026-11-23T07:40:11+00:00"}}})
    writer.epoch = EPOCH
    half = max(1, len(rows) // 2)
    for second, part in enumerate((rows[:half], rows[half:])):
        writer.write_rows(Batch.of(part))
        writer.write_health(Health(second * S, 0, cpu=second * 10 * MS, rss=50_000_000, stall=200_000))
        writer.write_health(ClockSample(second * S, EPOCH + second * 50))
        ttft = RequestColumns.of(Batch.of(part)).metrics["ttft"]
        histogram = Histogram()
        histogram.record(ttft[ttft >= 0])
        writer.write_interval("ttft", histogram, second * S, (second + 1) * S)
    writer.write_health({"event": "end", "interrupted": False})
    writer.close()
    return read_back(dir, name)
