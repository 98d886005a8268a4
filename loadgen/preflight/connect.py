"""Meeting who is to be measured before the clock starts: a server, or a model in a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from loadgen import workload
from loadgen.backends import registry
from loadgen.backends.interface import Backend, ServiceBackend
from loadgen.plan import Plan
from loadgen.preflight import fit, http
from loadgen.protocols.http.address import Address
from loadgen.types import UsageError
from loadgen.workload import Source

if TYPE_CHECKING:
    from loadgen.backends.triton.backend import Triton
    from loadgen.local import ModelWatch
    from loadgen.preflight.triton_statistics import TritonCounters

MODEL_LOG = "model.log"
"""What the process of a local model printed, in the directory of its run."""

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Connected:
    """Who is measured, as known before the clock starts. `watch` asks it what it counted meanwhile."""

    backend: Backend
    addresses: tuple[Address, ...]
    plan: Plan
    watch: TritonCounters | ModelWatch | None = None
    told: Mapping[str, Any] = field(default_factory=dict)

    def served(self) -> bool:
        """Say whether who answers is still there, as far as that can be known."""
        return self._model is None or self._model.alive()

    def keep(self, directory: Path) -> None:
        """Let what the process of a local model prints be kept in the directory of the run."""
        if self._model is not None:
            self._model.keep = directory / MODEL_LOG

    @property
    def _model(self) -> ModelWatch | None:
        return cast("ModelWatch", self.watch) if self.backend.protocol == "local" else None

    def source(self) -> Source:
        """Make the source of what is asked: tensors, if the backend was given any, else prompts."""
        work, name = self.plan.workload, self.plan.target.backend
        triton = _triton(self.backend)
        if triton is not None:
            if triton.inputs is not None:
                return triton.inputs
        elif work.input_data or work.shapes:
            raise UsageError(f"--input-data and --shape fill the tensors of --backend triton: {name} takes prompts, "
                             "leave them out")
        return workload.make(work, self.plan.load.seed, chat=self.backend.endpoint == "chat")


@asynccontextmanager
async def connect(plan: Plan, warn: Warn) -> AsyncIterator[Connected]:
    """Meet whom the plan names, for as long as this is open. Raises UsageError if nobody is there or can answer."""
    if not registry.is_local(plan.target.backend):
        yield _meet(plan, warn)
        return
    from loadgen import local  # only for who loads a model here

    backend = registry.make_local(plan.target)
    addresses, plan, watch = await local.connect(plan, backend, warn)
    try:
        yield Connected(backend, addresses, plan, watch, {"model": watch.loaded})
    finally:
        watch.close()


def _meet(plan: Plan, warn: Warn) -> Connected:
    """Wait for the server, ask what it serves, and try one request; the Watch knows what the server counts from then.
    """
    backend = registry.make(plan.target)
    triton = _triton(backend)
    if triton is not None:
        from loadgen.preflight.triton import connect

        return Connected(triton, *connect(plan, triton, warn))
    addresses = http.wait_ready(plan, backend)
    if not plan.target.model and backend.models_path:
        model, note = http.discover_model(plan, backend, addresses[0])
        if note:
            warn(note)
        plan = replace(plan, target=replace(plan.target, model=model))
        backend = registry.make(plan.target)
    told: dict[str, Any] = {}
    if plan.target.probe:
        odd = http.probe(plan, backend, addresses[0])
        if odd:
            warn(odd)
        if backend.protocol == "http":
            told = fit.facts(backend, partial(http.look, plan, addresses[0]))
    return Connected(backend, addresses, plan, told=told)


def _triton(backend: Backend) -> Triton | None:
    """Return the backend if it is Triton's, whose module no other run imports."""
    if not isinstance(backend, ServiceBackend) or not backend.control_plane:
        return None
    from loadgen.backends.triton.backend import Triton

    return backend if isinstance(backend, Triton) else None
