"""A run from a Plan to a Report, and a Report again from the files of a run."""

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
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from loadgen import control, local, planfile, preflight, prepare, slo, triton, workload
from loadgen.backends import registry
from loadgen.backends.contract import Backend
from loadgen.backends.triton import Triton
from loadgen.conductor import Conductor, View
from loadgen.engine.desk import Desk
from loadgen.exposition import Page, serving
from loadgen.figures import curves, draw
from loadgen.ledger import Ledger
from loadgen.looks import Look, Looking, cut, recorded
from loadgen.plan import Plan
from loadgen.prepare import Calls, Course
from loadgen.protocols.http.address import Address
from loadgen.recorder import Recorder
from loadgen.recorder.estimate import CONFIDENCE
from loadgen.report import SCHEMA, Report
from loadgen.result import Requests, Result
from loadgen.retry import Retries
from loadgen.secrets import secrets_of
from loadgen.store import RunReader, RunWriter, StorageFull
from loadgen.summary import build
from loadgen.types import UsageError, Window
from loadgen.workload import Source

LOGGED = ("ttft", "ttft_scheduled", "itl", "tpot", "e2e", "e2e_scheduled", "lag")
"""Metrics with an interval histogram log."""
MODEL_LOG = "model.log"
"""What the process of a local model printed, in the directory of its run."""


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


@dataclass(frozen=True, slots=True)
class _Met:
    """Who is measured, as known before the clock starts. `watch` asks it what it counted meanwhile."""

    backend: Backend
    addresses: tuple[Address, ...]
    plan: Plan
    watch: triton.Watch | local.Watch | None = None
    told: Mapping[str, Any] = field(default_factory=dict)

    def served(self) -> bool:
        """Say whether who answers is still there, as far as that can be known."""
        return not isinstance(self.watch, local.Watch) or self.watch.alive()


async def _run(plan: Plan, view: View) -> tuple[Report, Path]:
    async with serving(plan.out, view) as page:
        if not registry.is_local(plan.target.backend):
            return await _measure(_meet(plan, page), page)
        backend = registry.make_local(plan.target)
        addresses, plan, watch = await local.meet(plan, backend, page.warn)
        try:
            return await _measure(_Met(backend, addresses, plan, watch, {"model": watch.loaded}), page)
        finally:
            watch.close()


async def _measure(met: _Met, view: Page) -> tuple[Report, Path]:
    backend, addresses, plan, watch = met.backend, met.addresses, met.plan, met.watch
    source = _source(plan, backend)
    backend.tokenizer = source.count_tokens
    told = _limits(met, source, view)
    plan = prepare.with_count(plan, source)
    course = prepare.chart(plan.load)
    setups = prepare.setups(plan, addresses, backend.protocol)
    gates = slo.expand(plan.judgement.slo)
    writer = RunWriter(_directory(plan), secrets_of(plan))
    if isinstance(watch, local.Watch):
        watch.keep = writer.dir / MODEL_LOG
    resolved = _resolved(plan, course, source, backend, told)
    record = {"schema": SCHEMA, **planfile.to_dict(plan), "resolved": resolved}
    writer.write_plan(record)

    phases, recorder = course.phases(), Recorder(course.window, gates, _fresh(record))
    retries = Retries(plan.load.retry)
    ledger = Ledger(backend, phases, recorder, writer, LOGGED, plan.out.outputs, retries)
    desk = Desk(setups, ledger, prepare.allowance_of(plan))
    looking = Looking(course.looks, phases, record, RunReader(writer.dir).rows) if course.looks else None
    conductor = Conductor(plan.load, record, desk, ledger, phases, recorder, view, looking, met.served)
    writer.epoch = time.time_ns()
    view.begin(recorder, record)
    try:
        calls = Calls(course, source, backend, addresses, ledger.note, ledger.reject, plan.timeouts.total)
        await conductor.run(retries.keep(calls, desk.again))
        server = watch.facts() if watch else {}
        with _telling(view):
            if server:
                writer.write_health({"event": "server", "facts": server})
            look = looking.close() if looking and not (conductor.interrupted or conductor.aborted) else None
            writer.write_health({"event": "end", "interrupted": conductor.interrupted, "aborted": conductor.aborted,
                                 **_closed(look, course, plan)})
        report = replay(writer.dir) if look else _report(recorder, record, conductor.interrupted, server,
                                                         conductor.aborted)
        if conductor.full:
            report = replace(report, verdict=replace(report.verdict, exit_code=3, interrupted=False))
        with _telling(view):
            writer.finish(report.to_json(), partial(cut, last=look.last) if look else None)
    finally:
        writer.close()
    return report, writer.dir


@contextlib.contextmanager
def _telling(view: View) -> Iterator[None]:
    """Let a disk that is full only now be a warning: the report can still be shown."""
    try:
        yield
    except StorageFull as error:
        view.warn(str(error))


def _meet(plan: Plan, view: View) -> _Met:
    """Wait for the server, ask what it serves, and try one request; the Watch knows what the server counts from then.
    """
    backend = registry.make(plan.target)
    if isinstance(backend, Triton):
        return _Met(backend, *triton.meet(plan, backend, view.warn))
    addresses = control.wait_ready(plan, backend)
    if not plan.target.model and backend.models_path:
        model, note = control.discover_model(plan, backend, addresses[0])
        if note:
            view.warn(note)
        plan = replace(plan, target=replace(plan.target, model=model))
        backend = registry.make(plan.target)
    told: dict[str, Any] = {}
    if plan.target.probe:
        odd = control.probe(plan, backend, addresses[0])
        if odd:
            view.warn(odd)
        if backend.protocol == "http":
            told = preflight.facts(backend, partial(control.look, plan, addresses[0]))
    return _Met(backend, addresses, plan, told=told)


def _source(plan: Plan, backend: Backend) -> Source:
    """Make the source of what is asked: tensors, if the backend was given any, else prompts."""
    if isinstance(backend, Triton):
        if backend.inputs is not None:
            return backend.inputs
    elif plan.workload.input_data or plan.workload.shapes:
        raise UsageError(f"--input-data and --shape fill the tensors of --backend triton: {plan.target.backend} takes "
                         "prompts, leave them out")
    return workload.make(plan.workload, plan.load.seed, chat=backend.endpoint == "chat")


def _limits(met: _Met, source: Source, view: View) -> Mapping[str, Any]:
    """Hold the first requests against the limits that the server told; returns what it told of itself."""
    note = preflight.check_fit(met.told, source)
    if note:
        view.warn(note)
    return met.told


def _directory(plan: Plan) -> Path:
    if plan.out.dir:
        return Path(plan.out.dir)
    name = re.sub(r"[^\w.-]", "_", Path(plan.target.backend).name)
    load = f"c{plan.load.concurrency}" if plan.load.concurrency else f"{plan.load.rate:g}"
    return Path("runs") / f"{datetime.datetime.now():%Y-%m-%dT%H-%M-%S}-{name}-{load}"


def _resolved(plan: Plan, course: Course, source: Source, backend: Backend,
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
                "model": plan.target.model, "senders": prepare.senders_of(plan.load),
                "workload": source.describe(), "server": dict(told)}}


def _closed(look: Look | None, course: Course, plan: Plan) -> dict[str, Any]:
    """Say which look closed the window of a run that could be extended, for health.jsonl."""
    return {"look": asdict(look), "schedule": course.describe(plan.load, look.last)} if look else {}


def _fresh(record: Mapping[str, Any]) -> bool:
    return bool(record["load"]["connections"] == "new")


def _report(recorder: Recorder, record: Mapping[str, Any], interrupted: bool, server: Mapping[str, Any],
            aborted: str = "") -> Report:
    resolved = record["resolved"]
    report = build(recorder, record, resolved["schedule"], resolved["provenance"], interrupted, aborted)
    return replace(report, server=server)


def replay(directory: Path) -> Report:
    """Make the report of a run from its files alone, also of a run that was killed.

    Raises UsageError if the directory holds no run that can be read.
    """
    return read_back(directory).report


def read_back(directory: Path, name: str = "") -> Result:
    """Read a run back from its files alone, as `replay` does. `name` tells it from others (that of the directory)."""
    reader = RunReader(directory)
    record = reader.plan()
    lines = list(reader.health())
    events = {str(line.get("event")): line for line in lines if isinstance(line, dict)}
    end = events.get("end", {"interrupted": True})  # a run that did not live to say how it ended
    look = Look(Window(**record["resolved"]["window"]), 1 << 62, CONFIDENCE)
    if "look" in end:
        look = Look(Window(**end["look"]["window"]), end["look"]["last"], end["look"]["confidence"])
        record = {**record, "resolved": {**record["resolved"], "schedule": end["schedule"]}}
    recorder = recorded(look, record, reader.rows(), (line for line in lines if not isinstance(line, dict)))
    interrupted, server = bool(end["interrupted"]), events.get("server", {}).get("facts", {})
    report = _report(recorder, record, interrupted, server, str(end.get("aborted", "")))
    stream, fresh = bool(record["target"]["stream"]), _fresh(record)
    histograms = {metric: recorder.metrics[metric] for metric in report.metrics}
    return Result(name or directory.resolve().name, directory, report, histograms,
                  lambda: (Requests.of(batch, fresh) for batch in reader.rows()), reader.logs,
                  partial(curves, recorder, stream), lambda: draw(recorder, reader.rows(), stream, interrupted))
