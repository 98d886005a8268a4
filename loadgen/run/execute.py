"""A run from a Plan to a Report."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import importlib.metadata
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

from loadgen import slo
from loadgen.backends.interface import Backend
from loadgen.config import plan_file
from loadgen.engine.desk import Desk
from loadgen.outcomes.report import SCHEMA, Report
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
from loadgen.run.retry import Retries
from loadgen.run.sequential import SequentialStop
from loadgen.run.setup import CallSource, RunSchedule
from loadgen.run_files import RunReader, RunWriter, StorageFull
from loadgen.run_files.read_back import opens_each, replay, report_of
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
    async with serving(plan.out, view) as page, connect(plan, page.warn) as met:
        return await _measure(met, page)


async def _measure(met: Connected, view: MetricsServer) -> tuple[Report, Path]:
    backend, addresses, plan, watch = met.backend, met.addresses, met.plan, met.watch
    source = met.source()
    backend.tokenizer = source.count_tokens
    note = fit.check_fit(met.told, source)
    if note:
        view.warn(note)
    plan = setup.with_count(plan, source)
    course = setup.make_schedule(plan.load)
    setups = setup.setups(plan, addresses, backend.protocol)
    gates = slo.expand(plan.judgement.slo)
    writer = RunWriter(_directory(plan), secrets_of(plan))
    met.keep(writer.dir)
    resolved = _resolved(plan, course, source, backend, met.told)
    record = {"schema": SCHEMA, **plan_file.to_dict(plan), "resolved": resolved}
    writer.write_plan(record)

    phases, recorder = course.phases(), Recorder(course.window, gates, opens_each(record))
    retries = Retries(plan.load.retry)
    ledger = Collector(backend, phases, recorder, writer, LOGGED, plan.out.outputs, retries)
    desk = Desk(setups, ledger, setup.allowance_of(plan))
    looking = SequentialStop(course.looks, phases, record, RunReader(writer.dir).rows) if course.looks else None
    conductor = RunLoop(plan.load, record, desk, ledger, phases, recorder, view, looking, met.served)
    writer.epoch = time.time_ns()
    view.begin(recorder, record)
    try:
        calls = CallSource(course, source, backend, addresses, ledger.note, ledger.reject, plan.timeouts.total)
        await conductor.run(retries.keep(calls, desk.again))
        server = watch.facts() if watch else {}
        with _telling(view):
            if server:
                writer.write_health({"event": "server", "facts": server})
            look = looking.close() if looking and not (conductor.interrupted or conductor.aborted) else None
            writer.write_health({"event": "end", "interrupted": conductor.interrupted, "aborted": conductor.aborted,
                                 **_closed(look, course, plan)})
        report = replay(writer.dir) if look else report_of(recorder, record, conductor.interrupted, server,
                                                           conductor.aborted)
        if conductor.full:
            report = replace(report, verdict=replace(report.verdict, exit_code=3, interrupted=False))
        with _telling(view):
            _finish(writer, report, record, look)
    finally:
        writer.close()
    return report, writer.dir


def _finish(writer: RunWriter, report: Report, record: Mapping[str, Any], look: InterimLook | None) -> None:
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


def _resolved(plan: Plan, course: RunSchedule, source: Source, backend: Backend,
              told: Mapping[str, Any]) -> dict[str, Any]:
    """What the plan left open and was decided for this run; ignored when plan.json runs again."""
    return {"window": asdict(course.window), "schedule": course.describe(plan.load),
            **({"stamps": "model"} if backend.protocol == "local" else {}),
            "length": "forced" if backend.forces_length else "asked" if backend.takes_ignore_eos else "not forcible",
            "provenance": {
                "loadgen": importlib.metadata.version("loadgen"), "python": platform.python_version(),
                "platform": platform.platform(), "cores": os.cpu_count(),
                "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "pacing": "timerfd" if sys.platform == "linux" else "loop timer and spin",
                "model": plan.target.model, "senders": setup.senders_of(plan.load),
                "workload": source.describe(), "server": dict(told)}}


def _closed(look: InterimLook | None, course: RunSchedule, plan: Plan) -> dict[str, Any]:
    """Say which look closed the window of a run that could be extended, for health.jsonl."""
    return {"look": asdict(look), "schedule": course.describe(plan.load, look.last)} if look else {}
