"""A run from a Plan to a Report."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from loadgen import __version__, slo
from loadgen.backends.interface import Backend
from loadgen.engine.desk import Desk
from loadgen.outcomes.report import Report
from loadgen.outcomes.run_record import Resolved, RunRecord
from loadgen.plan import Plan
from loadgen.preflight import fit
from loadgen.preflight.connect import Connected, connect
from loadgen.recorder import Recorder
from loadgen.recorder.looks import InterimLook, cut, intervals
from loadgen.redact import secrets_of
from loadgen.run import setup
from loadgen.run.collector import Collector
from loadgen.run.loop import RunLoop, View
from loadgen.run.metrics_server import MetricsServer, serving
from loadgen.run.sequential import SequentialStop
from loadgen.run.setup import CallSource, RunSchedule
from loadgen.run_files import RunReader, RunWriter, StorageFull
from loadgen.run_files.record import to_json
from loadgen.workload import Source

LOGGED = ("ttft", "ttft_scheduled", "itl", "tpot", "e2e", "e2e_scheduled", "lag")
"""Metrics with an interval histogram log."""


def execute(plan: Plan, view: View) -> tuple[Report, Path]:
    """Run a plan. Returns its report and the run directory.

    Raises UsageError for everything that can be seen to be wrong before the clock starts.
    """
    view.start(f"{plan.target.backend}   {'  '.join(plan.target.url) or plan.model.path}")
    try:
        result: tuple[Report, Path] = _runner()(_run(plan, view))
        return result
    finally:
        view.stop()


def _runner() -> Callable[[Any], Any]:
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


async def _run(plan: Plan, view: View) -> tuple[Report, Path]:
    async with serving(plan.out, view) as page, connect(plan, page.warn) as connected:
        return await _measure(connected, page)


async def _measure(connected: Connected, view: MetricsServer) -> tuple[Report, Path]:
    backend, source = connected.backend, connected.source()
    backend.tokenizer = source.count_tokens
    note = fit.check_fit(connected.told, source)
    if note:
        view.warn(note)
    plan = setup.with_count(connected.plan, source)
    schedule = setup.make_schedule(plan.load)
    setups = setup.setups(plan, connected.addresses, backend.protocol)
    gates = slo.expand(plan.judgement.slo)
    writer = RunWriter(_directory(plan), secrets_of(plan))
    connected.keep(writer.dir)
    record = RunRecord(plan, _resolve(plan, schedule, source, backend, connected.told))
    writer.write_plan(to_json(record))

    phases, recorder = schedule.phases(), Recorder(schedule.window, gates, record.opens_each)
    collector = Collector(backend, phases, recorder, writer, LOGGED, plan.out.outputs)
    desk = Desk(setups, collector, setup.allowance_of(plan))
    looks = SequentialStop(schedule.looks, phases, record, RunReader(writer.dir).rows) if schedule.looks else None
    loop = RunLoop(record, desk, collector, phases, recorder, view, looks, connected.served)
    calls = CallSource(schedule, source, backend, connected.addresses, collector.reject, plan.timeouts.total,
                       plan.load.retry)
    writer.epoch = time.time_ns()
    view.begin(recorder, record)
    try:
        await loop.run(calls)
        server = connected.watch.facts() if connected.watch else {}
        look = looks.close() if looks and not (loop.interrupted or loop.aborted) else None
        with _telling(view):
            _write_events(writer, loop, server, _closed(look, schedule, plan))
        from loadgen.run_files.read_back import replay, report_of  # brings all figures, for the end of a run

        report = replay(writer.dir) if look else report_of(recorder, record, to_json(record), loop.interrupted, server,
                                                           loop.aborted)
        if loop.full:
            report = replace(report, verdict=replace(report.verdict, exit_code=3, interrupted=False))
        with _telling(view):
            _finish(writer, report, record, look)
    finally:
        writer.close()
    return report, writer.dir


def _write_events(writer: RunWriter, loop: RunLoop, server: Mapping[str, Any], closed: Mapping[str, Any]) -> None:
    if server:
        writer.write_health({"event": "server", "facts": server})
    writer.write_health({"event": "end", "interrupted": loop.interrupted, "aborted": loop.aborted, **closed})


def _finish(writer: RunWriter, report: Report, record: RunRecord, look: InterimLook | None) -> None:
    """Write what is known at the end. Where a look closed the window, what was sent after it is measured in no file."""
    if look is None:
        writer.finish(report.to_json())
        return
    try:
        writer.rewrite_intervals(intervals(look, record, RunReader(writer.dir).rows(), LOGGED))
    finally:
        writer.finish(report.to_json(), partial(cut, last=look.last))


@contextlib.contextmanager
def _telling(view: View) -> Iterator[None]:
    """Let a disk that is full only now be a warning: the report can still be shown."""
    try:
        yield
    except StorageFull as error:
        view.warn(str(error))


def _directory(plan: Plan) -> Path:
    if plan.out.dir:
        return Path(plan.out.dir)
    name = re.sub(r"[^\w.-]", "_", Path(plan.target.backend).name)
    load = f"c{plan.load.concurrency}" if plan.load.concurrency else f"{plan.load.rate:g}"
    return Path("runs") / f"{datetime.datetime.now():%Y-%m-%dT%H-%M-%S}-{name}-{load}"


def _resolve(plan: Plan, schedule: RunSchedule, source: Source, backend: Backend, told: Mapping[str, Any]) -> Resolved:
    """Say what the plan left open and was decided for this run."""
    return Resolved(
        schedule.window, schedule.describe(plan.load), stamps="model" if backend.protocol == "local" else "",
        length="forced" if backend.forces_length else "asked" if backend.takes_ignore_eos else "not forcible",
        provenance={
            "loadgen": __version__, "python": platform.python_version(),
            "platform": platform.platform(), "cores": os.cpu_count(),
            "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "pacing": "timerfd" if sys.platform == "linux" else "loop timer and spin",
            "model": plan.target.model, "senders": setup.senders_of(plan.load),
            "workload": source.describe(), "server": dict(told)})


def _closed(look: InterimLook | None, schedule: RunSchedule, plan: Plan) -> dict[str, Any]:
    """Say which look closed the window of a run that could be extended, for health.jsonl."""
    return {"look": asdict(look), "schedule": schedule.describe(plan.load, look.last)} if look else {}
