"""Meeting a local model before the clock starts: load it, try it, and see what it tells of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from loadgen.backends.local.answers import Local
from loadgen.config import plan_file
from loadgen.local.control import Loaded, LoadModel
from loadgen.local.process import ModelProcess
from loadgen.plan import Plan
from loadgen.protocols.http.address import Address
from loadgen.types import Request, UsageError
from loadgen.workload import tokens
from loadgen.workload.images import alike

Connected = tuple[tuple[Address, ...], Plan, "ModelWatch"]
TOKENIZER: Final = "tokenizer.json"
FIRST: Final = "Hello from loadgen."
_FIRST_LIMIT: Final = 4


class ModelWatch:
    """Looks after the process of the model while it is used. `keep` is where its output goes when it ends."""

    def __init__(self, process: ModelProcess, loaded: Loaded) -> None:
        self._process = process
        self.loaded = loaded.facts
        self.keep: Path | None = None

    def facts(self) -> dict[str, Any]:
        """Return what to keep with the run: as it is now, or as it was when it was loaded if it has died."""
        return {"model": {**self.loaded, **self._process.facts()}}

    def alive(self) -> bool:
        """Say whether the process is there."""
        return self._process.alive

    def close(self) -> None:
        """End the process."""
        self._process.end(self.keep)


async def connect(plan: Plan, backend: Local, warn: Callable[[str], None]) -> Connected:
    """Start the process of the model and wait until it is loaded, warm and tried.

    Returns where senders reach it, the plan with what was decided here (name, stream, tokenizer, one sender), and the
    watch over the process, which has to be closed. Raises UsageError if the model can't be loaded or can't answer.
    """
    if plan.model.path.startswith("~/"):  # from a file: no shell was there to do it
        plan = replace(plan, model=replace(plan.model, path=str(Path(plan.model.path).expanduser())))
    tables, first = plan_file.to_dict(plan), _first_request(plan)
    order = LoadModel(tables["target"], tables["model"], backend.encode(first).body if plan.target.probe else b"")
    process = ModelProcess()
    try:
        loaded = await asyncio.get_running_loop().run_in_executor(None, process.load, order)
        if loaded.tried:
            raise UsageError(f"the model is loaded, and a first request failed: {loaded.tried}")
        plan = _decided(plan, backend, loaded, warn)
    except BaseException:
        process.interrupt()
        process.end()
        raise
    return (process.address,), plan, ModelWatch(process, loaded)


def _first_request(plan: Plan) -> Request:
    """Return the small request that tries and warms a model, with images if those of the run have any."""
    work = plan.workload
    images = alike(work.images, plan.load.seed, work.images_per_request) if work.images else ()
    return Request(-1, prompt=FIRST, images=images, max_output_tokens=_FIRST_LIMIT)


def _decided(plan: Plan, backend: Local, loaded: Loaded, warn: Callable[[str], None]) -> Plan:
    """Fill in what the plan left open, now that the model is known."""
    stream = plan.target.stream and bool(loaded.facts.get("streams", True))
    if plan.target.stream and not stream:
        known = "" if plan.target.probe else ", as far as its form shows (--no-probe)"
        warn(f"generate returns whole answers{known}: they are measured end to end, without ttft and itl")
    backend.stream = stream
    name = plan.target.model or Path(plan.model.path).name
    work, tokenizer = plan.workload, Path(plan.model.path) / TOKENIZER
    if not work.tokenizer and plan.model.path and tokenizer.is_file():
        work = replace(work, tokenizer=plan.model.path)
    if plan.out.outputs and work.tokenizer:
        backend.detokenize = tokens.load(work.tokenizer).decode
    load = plan.load if plan.load.senders else replace(plan.load, senders=1)
    return replace(plan, target=replace(plan.target, model=name, stream=stream), workload=work, load=load)
