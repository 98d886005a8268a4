"""Meeting who is to be measured before the clock starts: a server, or a model in a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from loadgen.backends import registry
from loadgen.backends.errors import one_line
from loadgen.backends.hooks import Connected, Counters
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


class HookCounters:
    """Counters of a backend of the user's own: what goes wrong with them is kept instead, and spoils no run."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def facts(self) -> Mapping[str, Any]:
        """Return the facts as JSON values, or {"error": why there are none}."""
        try:
            return _as_json(self._counters.facts())
        except Exception as error:
            return {"error": f"no facts after the run: {one_line(error)}"}


def _as_json(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts as they are read back. Raises what msgspec does for what is no table of JSON values."""
    return msgspec.json.decode(msgspec.json.encode(facts), type=dict[str, Any])


def _ask(plan: Plan, warn: Warn) -> Connected:
    """Let the backend ask its server; what a hook raises but a UsageError becomes one, with the line it came from."""
    if plan.target.backend in registry.BUILT_IN:
        return registry.make(plan.target).connect(plan, PlanServer(plan, warn))
    backend = registry.make(plan.target)
    try:
        connected = backend.connect(plan, PlanServer(plan, warn))
        if isinstance(connected, Connected):
            watch = HookCounters(connected.watch) if connected.watch is not None else None
            return replace(connected, told=_as_json(connected.told), watch=watch)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"connect of the backend {plan.target.backend} failed: {one_line(error)}") from error
    raise UsageError(f"connect of the backend {plan.target.backend} returns {type(connected).__name__}: return "
                     "server.connect(self), or dataclasses.replace of it")
