"""The verbs that the `connect` of a backend can use, over the sockets and the clock of this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from loadgen.backends import registry
from loadgen.backends.hooks import Connected, HttpAnswer
from loadgen.backends.interface import ServiceBackend
from loadgen.plan import Plan
from loadgen.preflight import fit, http
from loadgen.protocols.http.address import Address, resolve
from loadgen.protocols.http.limits import Limits
from loadgen.types import SECOND, Call, Timeline, UsageError

T = TypeVar("T")
_PATIENCE: Final = 10 * SECOND
"""ns for a connection."""
_BETWEEN: Final = 0.25
"""s between two attempts."""


class PlanServer:
    """The servers of a plan, as a loadgen.backends.hooks.Server."""

    def __init__(self, plan: Plan, warn: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic,
                 sleep: Callable[[float], None] = time.sleep) -> None:
        self._plan, self.warn, self._clock, self.sleep = plan, warn, clock, sleep
        self._until = clock() + plan.target.wait_ready / SECOND

    def connect(self, backend: ServiceBackend) -> Connected:
        """Wait for the server, ask what it serves, and try one request."""
        plan = self._plan
        addresses = http.wait_ready(plan, backend, clock=self._clock, sleep=self.sleep)
        if not plan.target.model and backend.models_path:
            model, note = http.discover_model(plan, backend, addresses[0])
            if note:
                self.warn(note)
            plan = replace(plan, target=replace(plan.target, model=model))
            backend = registry.make(plan.target)
        told: dict[str, Any] = {}
        if plan.target.probe:
            self.probe(backend, plan, addresses[0])
            if backend.protocol == "http":
                told = fit.facts(backend, partial(http.look, plan, addresses[0]))
        return Connected(backend, addresses, plan, told=told)

    def get(self, path: str) -> Any:
        return http.look(self._plan, self.resolve(self._plan.target.url[0]), path)

    def fetch(self, url: str) -> str:
        return http.fetch(url)

    def resolve(self, url: str) -> Address:
        return resolve(url, self._plan.tls, min(self._plan.timeouts.connect or _PATIENCE, _PATIENCE) / SECOND)

    def ask(self, address: Address, call: Call, timeout: float) -> HttpAnswer:
        return http.ask(address, call, timeout)

    def ask_grpc(self, address: Address, call: Call, total: int) -> Timeline:
        from loadgen.protocols.grpc.ask import ask as ask_grpc  # brings HTTP/2

        return ask_grpc(address, call, Limits(_PATIENCE, 0, 0, total))

    def wait_for(self, attempt: Callable[[], T]) -> T:
        while True:
            try:
                return attempt()
            except UsageError:
                if self._clock() >= self._until:
                    raise
            self.sleep(_BETWEEN)

    def probe(self, backend: ServiceBackend, plan: Plan, address: Address) -> None:
        odd = http.probe(plan, backend, address)
        if odd:
            self.warn(odd)
