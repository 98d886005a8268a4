"""Everything that is decided before the clock starts: schedule, window, calls, sender setups."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from loadgen import schedule
from loadgen.arrivals.shapes import length_of
from loadgen.backends.errors import one_line
from loadgen.backends.interface import Backend
from loadgen.engine.in_flight import InFlight
from loadgen.engine.messages import Setup
from loadgen.engine.process_stats import raise_file_limit
from loadgen.plan import Load, Plan
from loadgen.protocols.http import request as http_request
from loadgen.protocols.http.address import Address
from loadgen.protocols.http.limits import Limits
from loadgen.recorder.looks import InterimLook, looks_of
from loadgen.run.phases import Phases
from loadgen.schedule import Offsets
from loadgen.types import ABSENT, SECOND, Call, UsageError, Window
from loadgen.workload import Source

_SPARE_FILES = 64  # descriptors that are not connections
_MOST_AHEAD = 1024  # connections that are opened before the start, for each sender
_MOST_REJECTED = 1000  # requests in succession that a backend may fail to make in a closed loop, which never ends


@dataclass(frozen=True, slots=True)
class RunSchedule:
    """The schedule of a run. `offsets` is None in a closed loop, which has none.

    `exact`: a closed loop offers what is measured and nothing else, so that its calls end. `looks` are those of a
    window that may be extended; it has the longest length then.
    """

    window: Window
    offsets: Offsets | None = None
    first: int = ABSENT
    last: int = ABSENT
    exact: bool = False
    looks: tuple[InterimLook, ...] = ()

    def phases(self) -> Phases:
        return Phases(self.window, self.first, self.last)

    def describe(self, load: Load, last: int = ABSENT) -> dict[str, Any]:
        """Say what was planned, for plan.json and the report; `last` is where the window was closed, if before."""
        last = self.last if last == ABSENT else last
        if self.offsets is None:
            return {"law": "closed", "concurrency": load.concurrency}
        count = last - self.first
        rate = count * SECOND / self.window.length if load.load_shape else load.rate
        return {"law": load.arrivals, "rate": rate, "burstiness": load.burstiness, "seed": load.seed, "count": count,
                **({"shape": str(load.shape)} if load.load_shape else {}),
                "sha256": schedule.digest(self.offsets[self.first:last])}


def warmup_of(load: Load) -> int:
    """The warm-up in ns: as asked, else a tenth of the window, 1 s to 30 s."""
    if load.warmup >= 0:
        return load.warmup
    return min(max(load.window // 10, SECOND), 30 * SECOND)


def make_schedule(load: Load) -> RunSchedule:
    """Make the schedule of a load. Raises UsageError if it can't be made."""
    warmup = warmup_of(load)
    if load.concurrency:
        if load.duration:
            return RunSchedule(Window(warmup, load.duration))
        return RunSchedule(Window(warmup, ABSENT, load.requests), exact=not (warmup or load.cooldown))
    tail = load.drain if load.cooldown else 0
    offsets, first, last = schedule.plan_offsets(load, warmup, tail)
    count = last - first
    window, counts = Window(warmup, round(length_of(load.shape, count)), count), schedule.look_counts(load)
    looks = looks_of(window, first, counts) if load.max_duration else ()
    return RunSchedule(window, offsets, first, last, looks=looks)


def with_count(plan: Plan, source: Source) -> Plan:
    """Let a run of a prompts file that names no length ask each prompt once; no more run at a time than are asked."""
    load = plan.load
    if load.duration:
        return plan
    count = load.requests or source.count
    if count is None:
        raise UsageError("how long? write --duration 60s or --requests 600")
    return replace(plan, load=replace(load, requests=count, concurrency=min(load.concurrency, count)))


class CallSource:
    """Make the calls of a run, in the order of the schedule, each when it is asked for.

    `reject(flight, error)` is called for each request that the backend could not encode; a closed loop in which it can
    encode none raises UsageError. `deadline` (ns, 0 for none) goes with the calls whose protocol has one. A call may be
    sent again `retries` times.
    """

    def __init__(self, schedule: RunSchedule, source: Source, backend: Backend, addresses: tuple[Address, ...],
                 reject: Callable[[InFlight, Exception], None], deadline: int = 0, retries: int = 0) -> None:
        self._schedule = schedule
        self._source = source
        self._backend = backend
        self._addresses = addresses
        self._reject = reject
        self._deadline = deadline
        self._retries = retries

    def __iter__(self) -> Iterator[InFlight]:
        rejected = 0
        for index, due in self._due():
            request = self._source.request(self._prompt_of(index))
            target = index % len(self._addresses)
            flight = InFlight(index, due, target, b"", request, self._retries)
            try:
                flight.data = self._encode(self._backend.encode(request), self._addresses[target])
            except UsageError:
                raise
            except Exception as error:
                self._reject(flight, error)
                rejected += 1
                if self._schedule.offsets is None and rejected >= _MOST_REJECTED:
                    raise UsageError(f"the backend made none of {rejected} requests: {one_line(error)}") from error
                continue
            rejected = 0
            yield flight

    def _encode(self, call: Call, address: Address) -> bytes:
        if self._backend.protocol == "local":
            return call.body
        if self._backend.protocol == "grpc":
            from loadgen.protocols.grpc import request as grpc_request  # brings hpack and HTTP/2

            return grpc_request.encode(call, address.authority, address.prefix, secure=bool(address.server_name),
                                       timeout=self._deadline)
        return http_request.encode(call, address.authority, address.prefix)

    def _due(self) -> Iterator[tuple[int, int]]:
        if self._schedule.offsets is None:
            return ((index, 0) for index in (range(self._schedule.window.count) if self._schedule.exact
                                             else itertools.count()))
        return enumerate(map(int, self._schedule.offsets))

    def _prompt_of(self, index: int) -> int:
        """The measured requests ask the prompts from 0 on, whatever the warm-up; it asks the last of a file."""
        place = index - max(self._schedule.first, 0)
        if place >= 0:
            return place
        return place % self._source.count if self._source.count else (1 << 40) - place


def senders_of(load: Load) -> int:
    """How many senders: as asked, else one for each core but one; never more than requests in flight."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = load.senders or max(1, cores - 1)
    limit = load.concurrency or load.max_in_flight
    return min(wanted, limit) if limit else wanted


def setups(plan: Plan, addresses: tuple[Address, ...], protocol: str = "http") -> list[Setup]:
    """Make the setup of each sender; `protocol` is that of the backend.

    Raises UsageError if there are too few file descriptors.
    """
    load, count = plan.load, senders_of(plan.load)
    limits = Limits(plan.timeouts.connect, plan.timeouts.first_token, plan.timeouts.idle, plan.timeouts.total)
    limit = load.concurrency or load.max_in_flight
    files = raise_file_limit()
    if protocol == "http" and limit // count + _SPARE_FILES > files:
        raise UsageError(f"{limit} requests in flight need {limit // count + _SPARE_FILES} file descriptors in a "
                         f"sender, and the limit is {files}: run `ulimit -n {2 * limit}` first, or add --senders")
    made = []
    for number in range(count):
        share = limit // count + (number < limit % count)
        if load.concurrency:
            ahead, reserve = math.ceil(share / len(addresses)), 0
        else:
            per_second = math.ceil(load.shape.peak / count / len(addresses))
            ahead, reserve = min(max(8, per_second), _MOST_AHEAD, files // 2), max(8, per_second // 20)
        if share:
            ahead = min(ahead, share)
        made.append(Setup(number, list(addresses), limits, ahead, reserve, load.connections == "new", share,
                          bool(load.concurrency), transport_of(plan, protocol), load.channels,
                          plan.timeouts.keep_alive))
    return made


def transport_of(plan: Plan, protocol: str) -> str:
    """Name the transport of a protocol: the protocol itself, or grpcio if that was asked for."""
    return "grpcio" if protocol == "grpc" and plan.target.grpc_client == "grpcio" else protocol


def allowance_of(plan: Plan) -> int:
    """The most calls that one sender may hold or have in flight, so that bodies don't pile up there."""
    load, count = plan.load, senders_of(plan.load)
    if load.concurrency:
        return 2 * math.ceil(load.concurrency / count) + 8
    if load.max_in_flight:
        return math.ceil(load.max_in_flight / count) + max(64, math.ceil(3 * load.shape.peak / count))
    return 1 << 40
