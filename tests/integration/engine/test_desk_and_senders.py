"""A desk with real senders and a collector: whatever ends a run, each request has ended once and none is left."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from time import monotonic_ns
from typing import Any

import pytest

from loadgen import workload
from loadgen.backends.openai import OpenAI
from loadgen.engine.desk import Desk
from loadgen.mock.process import MockProcess
from loadgen.plan import Duration, Load, Plan, Target, Tls, Workload
from loadgen.protocols.http.address import Address, resolve
from loadgen.recorder import Recorder
from loadgen.recorder.batch import Batch
from loadgen.run import setup
from loadgen.run.collector import Collector
from loadgen.types import CENSORED, MS, Failure, RequestRow
from support.stored_runs import as_rows

COUNT = 60
OPEN = Load(rate=200, requests=COUNT, warmup=Duration(0), cooldown=False, senders=2, retry=2)
CLOSED = Load(concurrency=8, requests=COUNT, warmup=Duration(0), senders=2, retry=2)  # calls go on to the end
CANCELLED = Failure(CENSORED, "still running at the drain limit (--drain)")


class Written:
    """A writer that keeps rows."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def write_rows(self, batch: Batch) -> None:
        self.batches.append(batch)

    def write_health(self, line: object) -> None:
        pass


class Run:
    """One run without its loop, which would lower the priority of the tests."""

    def __init__(self, load: Load, address: Address, url: str) -> None:
        schedule = setup.make_schedule(load)
        plan = Plan(target=Target(backend="openai", url=(url,)), load=load)
        backend = OpenAI(model="mock", url=url)
        self.cancelled = False
        self.phases = schedule.phases()
        self.writer: Any = Written()
        self.collector = Collector(backend, self.phases, Recorder(schedule.window), self.writer, (), False)
        self.desk = Desk(setup.setups(plan, (address,)), self.collector, setup.allowance_of(plan))
        source = workload.make(Workload(input_tokens="8", output_tokens="4"), 1)
        self._calls = setup.CallSource(schedule, source, backend, (address,), self.collector.reject, 0, load.retry)

    async def play(self, disturb: Callable[[Run], None]) -> None:
        """Run until the measured requests have ended; `disturb` is called once half of them have been sent."""
        desk, collector = self.desk, self.collector
        assert await desk.open() is None
        feeding = asyncio.create_task(desk.feed(iter(self._calls)))
        await desk.primed()
        start = monotonic_ns() + 50 * MS
        collector.begin(start)
        desk.start(start)
        while collector.offered < COUNT // 2:
            await asyncio.sleep(0.005)
        disturb(self)
        while not (self.cancelled or desk.deserted or self.phases.complete(monotonic_ns() - start)):
            await asyncio.sleep(0.005)
        desk.stop()
        await asyncio.wait_for(desk.finished(), 10)
        await feeding
        await desk.close()

    def rows(self) -> list[RequestRow]:
        self.collector.flush()
        return as_rows(self.writer.batches)


def nothing(run: Run) -> None:
    pass


def kill_one(run: Run) -> None:
    os.kill(run.desk.processes[0], signal.SIGKILL)


def kill_all(run: Run) -> None:
    for number in run.desk.processes:
        os.kill(number, signal.SIGKILL)


def cancel(run: Run) -> None:
    run.cancelled = True
    run.desk.cancel(CANCELLED)


@pytest.fixture(scope="module")
def server() -> Iterator[MockProcess]:
    with MockProcess(["--ttft", "20ms", "--itl", "2ms", "--output-tokens", "4", "--fault", "503:1/5"]) as mock:
        yield mock


@pytest.mark.parametrize("disturb", [nothing, kill_one, kill_all])
@pytest.mark.parametrize("load", [OPEN, CLOSED], ids=["open", "closed"])
def test_none_is_left_and_each_attempt_ended_once(server: MockProcess, load: Load,
                                                  disturb: Callable[[Run], None]) -> None:
    run = Run(load, resolve(server.url, Tls(), 5), server.url)
    asyncio.run(asyncio.wait_for(run.play(disturb), 30))
    rows = run.rows()
    attempts = Counter(row.index for row in rows)
    assert (run.desk.in_flight, run.collector.in_flight) == ({}, 0)
    assert {(row.index, row.attempt) for row in rows} == {(i, n) for i in attempts for n in range(attempts[i])}
    assert len(rows) == sum(attempts.values()) == run.collector.offered
    if load is OPEN:
        assert attempts.keys() == set(range(COUNT))
        offsets = setup.make_schedule(load).offsets
        assert offsets is not None
        assert all(row.due == offsets[row.index] for row in rows if row.attempt == 0)
    assert any(row.failure == "sender_lost" for row in rows) == (disturb is not nothing)
    assert all(row.sent >= row.due >= 0 for row in rows if row.sent >= 0)


@pytest.mark.parametrize("load", [OPEN, CLOSED], ids=["open", "closed"])
def test_none_is_left_after_a_cancel(server: MockProcess, load: Load) -> None:
    run = Run(load, resolve(server.url, Tls(), 5), server.url)
    asyncio.run(asyncio.wait_for(run.play(cancel), 30))
    assert (run.desk.in_flight, run.collector.in_flight) == ({}, 0)
    assert any(row.failure == CENSORED for row in run.rows())
