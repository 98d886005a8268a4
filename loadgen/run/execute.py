"""A run from a Plan to a Report."""

from __future__ import annotations

import asyncio
import datetime
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadgen import __version__, slo
from loadgen.backends.interface import Backend
from loadgen.engine.desk import Desk
from loadgen.metrics import names
from loadgen.outcomes.run_record import Resolved, RunRecord
from loadgen.plan import Plan
from loadgen.preflight import fit
from loadgen.preflight.connect import Connected, connect
from loadgen.recorder import Recorder
from loadgen.redact import secrets_of
from loadgen.run import setup
from loadgen.run.collector import Collector
from loadgen.run.loop import RunLoop, View
from loadgen.run.metrics_server import MetricsServer, serving
from loadgen.run.sequential import SequentialStop
from loadgen.run.setup import CallSource, RunSchedule
from loadgen.run_files import RunReader, RunWriter
from loadgen.run_files.record import to_json
from loadgen.workload import Source

if TYPE_CHECKING:
    from loadgen.summary.run_data import RunData


def execute(plan: Plan, view: View) -> RunData:
    """Run a plan. Return what came out; its page is not written yet.

    Raises UsageError for everything that can be seen to be wrong before the clock starts.
    """
    view.start(f"{plan.target.backend}   {'  '.join(plan.target.url) or plan.model.path}")
    try:
        result: RunData = _runner()(_run(plan, view))
        return result
    finally:
        view.stop()


def _runner() -> Callable[[Any], Any]:
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


async def _run(plan: Plan, view: View) -> RunData:
    async with serving(plan.out, view) as page, connect(plan, page.warn) as connected:
        return await _measure(connected, page)


async def _measure(connected: Connected, view: MetricsServer) -> RunData:
    backend, source = connected.backend, _source(connected, view)
    plan = setup.with_count(connected.plan, source)
    schedule = setup.make_schedule(plan.load)
    setups = setup.setups(plan, connected.addresses, backend.protocol)
    gates = slo.expand(plan.judgement.slo)
    writer = RunWriter(_directory(plan), secrets_of(plan))
    connected.keep(writer.dir)
    record = RunRecord(plan, _resolve(plan, schedule, source, backend, connected.told))
    writer.write_plan(to_json(record))

    phases, recorder = schedule.phases(), Recorder(schedule.window, gates, record.opens_each)
    collector = Collector(backend, phases, recorder, writer, names(lambda one: one.logged), plan.out.outputs)
    desk = Desk(setups, collector, setup.allowance_of(plan))
    looks = SequentialStop(schedule.looks, phases, record, RunReader(writer.dir).rows) if schedule.looks else None
    writer.on_rows = looks.fold if looks else None
    loop = RunLoop(record, desk, collector, phases, recorder, view, looks, connected.served)
    calls = CallSource(schedule, source, backend, connected.addresses, collector.reject, plan.timeouts.total,
                       plan.load.retry)
    writer.epoch = time.time_ns()
    view.begin(recorder, record)
    try:
        await loop.run(calls)
        look = looks.close() if looks and not (loop.interrupted or loop.aborted) else None
        if looks and look:
            recorder = looks.recorder(recorder)
            closed = schedule.describe(plan.load, look.last)
            record = replace(record, resolved=replace(record.resolved, schedule=closed))
        server = connected.watch.facts() if connected.watch else {}
        from loadgen.run.ending import RunEnd, end_run  # brings all figures, for the end of a run

        end = RunEnd(loop.interrupted, loop.aborted, loop.full, server, look)
        return end_run(writer, record, recorder, end, view.warn)
    finally:
        writer.close()


def _source(connected: Connected, view: MetricsServer) -> Source:
    """Make the source of requests, and warn if they don't fit the server."""
    source = connected.source()
    connected.backend.tokenizer = source.count_tokens
    note = fit.check_fit(connected.told, source)
    if note:
        view.warn(note)
    return source


def _directory(plan: Plan) -> Path:
    if plan.out.dir:
        return Path(plan.out.dir)
    name = re.sub(r"[^\w.-]", "_", Path(plan.target.backend).name)
    load = plan.load.load_shape or f"{plan.load.rate:g}"
    if plan.load.concurrency:
        load = f"c{plan.load.concurrency}"
    load = re.sub(r"[^\w.-]", "_", load)
    return Path("runs") / f"{datetime.datetime.now():%Y-%m-%dT%H-%M-%S}-{name}-{load}"


def _resolve(plan: Plan, schedule: RunSchedule, source: Source, backend: Backend,
             server: Mapping[str, Any]) -> Resolved:
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
            "workload": source.describe(), "server": dict(server)})
