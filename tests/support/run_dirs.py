"""Whole run directories without a server: made rows, written as a run writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadgen.outcomes.run_record import Resolved, RunRecord
from loadgen.plan import Duration, Load, Plan, Target, Workload
from loadgen.recorder.batch import Batch
from loadgen.run_files import RunWriter
from loadgen.run_files.record import to_json
from loadgen.summary import build
from loadgen.types import SECOND, Health, RequestRow, Window
from support.made_runs import recorded, run_of, window_of

PLAN = Plan(Target("vllm", ("http://127.0.0.1:8000",), "m"),
            load=Load(rate=60.0, duration=Duration(6 * SECOND), warmup=Duration(2 * SECOND)),
            workload=Workload("100", "20"))


def with_(plan: Plan, **tables: dict[str, Any]) -> Plan:
    """Change fields of a plan, by table."""
    return replace(plan, **{name: replace(getattr(plan, name), **changes) for name, changes in tables.items()})


def write_rows(path: Path, rows: Sequence[RequestRow], window: Window, plan: Plan = PLAN, summary: bool = True,
               **provenance: Any) -> Path:
    """Write the directory of a run with these rows; without `summary`, of one that was killed before its end."""
    load = plan.load
    facts = {"loadgen": "0.1.0", "model": plan.target.model, "senders": 1, **provenance}
    schedule = {"law": load.arrivals, "rate": load.rate, "seed": load.seed, "sha256": f"{load.seed:06x}".ljust(64, "0")}
    record = RunRecord(plan, Resolved(window, schedule, facts))
    writer = RunWriter(path)
    writer.write_plan(to_json(record))
    writer.write_rows(Batch.of(rows))
    writer.write_health(Health(5 * SECOND, 0, cpu=10, rss=50_000_000, stall=200_000))
    if summary:
        writer.write_health({"event": "end", "interrupted": False})
        recorder = recorded(rows, window, plan.judgement.slo)
        writer.finish(replace(build(recorder, record), plan=to_json(record)).to_json())
    writer.close()
    return path


def write_run(path: Path, seed: int = 0, plan: Plan = PLAN, summary: bool = True, **times: Any) -> Path:
    """Write the directory of a made run; `times` are those of made_runs.run_of."""
    length = 6 * int(SECOND)
    rows = run_of(60, length, seed=seed, **times)
    plan = with_(plan, load={"seed": seed})
    return write_rows(path, rows, window_of(rows, length), plan, summary)


def write_side(path: Path, runs: int = 5, first: int = 0, plan: Plan = PLAN, **times: Any) -> Path:
    """Write a directory with runs in it, each with a seed of its own."""
    for seed in range(first, first + runs):
        write_run(path / f"run-{seed}", seed, plan, **times)
    return path
