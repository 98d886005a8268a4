"""Meeting who is to be measured before the clock starts: a server, or a model in a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from loadgen.backends import registry
from loadgen.backends.errors import one_line
from loadgen.backends.hooks import Connected
from loadgen.plan import Plan
from loadgen.preflight.server import PlanServer
from loadgen.types import UsageError

__all__ = ["Connected", "connect"]
MODEL_LOG = "model.log"
"""What the process of a local model printed, in the directory of its run."""

Warn = Callable[[str], None]


@asynccontextmanager
async def connect(plan: Plan, warn: Warn) -> AsyncIterator[Connected]:
    """Meet whom the plan names, for as long as this is open. Raises UsageError if nobody is there or can answer."""
    if not registry.is_local(plan.target.backend):
        yield _ask(plan, warn)
        return
    from loadgen import local  # only for who loads a model here

    backend = registry.make_local(plan.target)
    addresses, plan, watch = await local.connect(plan, backend, warn)

    def keep(directory: Path) -> None:
        watch.keep = directory / MODEL_LOG

    try:
        yield Connected(backend, addresses, plan, watch, {"model": watch.loaded}, watch.alive, keep)
    finally:
        watch.close()


def _ask(plan: Plan, warn: Warn) -> Connected:
    """Let the backend ask its server; what a hook raises but a UsageError becomes one, with the line it came from."""
    backend = registry.make(plan.target)
    try:
        connected = backend.connect(plan, PlanServer(plan, warn))
    except UsageError:
        raise
    except Exception as error:
        if plan.target.backend in registry.BUILT_IN:
            raise  # a bug of ours
        raise UsageError(f"connect of the backend {plan.target.backend} failed: {one_line(error)}") from error
    if isinstance(connected, Connected):
        return connected
    raise UsageError(f"connect of the backend {plan.target.backend} returns {type(connected).__name__}: return "
                     "server.connect(self), or dataclasses.replace of it")
