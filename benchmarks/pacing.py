"""How late is a request sent? The engine's pacing against the event loop's own timer, sending nothing."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from time import monotonic_ns
from typing import Any

import numpy as np
import numpy.typing as npt
import uvloop

from benchmarks import table
from benchmarks.arguments import duration, numbers
from benchmarks.truth import quantile
from loadgen import schedule
from loadgen.engine import pacer
from loadgen.engine.dispatch import Dispatch, Policy
from loadgen.engine.messages import Item
from loadgen.plan import Duration, Load
from loadgen.types import Timeline

Integers = npt.NDArray[np.int64]
Pacing = Callable[[list[int]], Coroutine[Any, Any, Integers]]
RATES = "20,200,2000"
LEAD = 100_000_000
COLUMNS = ("requests/s, pacing", "sends", "lag min us", "p50 us", "p90 us", "p99 us", "max us", "CPU")


async def by_engine(offsets: list[int]) -> Integers:
    """Launch by the engine's dispatch and timer; returns the lags, ns."""
    loop = asyncio.get_running_loop()
    finished = loop.create_future()
    start = monotonic_ns() + LEAD
    lags = []

    def launch(timeline: Timeline, data: bytes) -> None:
        timeline.sent = monotonic_ns()
        lags.append(timeline.sent - start - timeline.due)
        if len(lags) == len(offsets):
            finished.set_result(None)

    dispatch = Dispatch(Policy(), launch, monotonic_ns)
    dispatch.add([Item(index, offset, 0, b"") for index, offset in enumerate(offsets)])
    timer = pacer.make(loop, dispatch.wake)
    dispatch.begin(start, timer)
    await finished
    timer.close()
    return np.asarray(lags, np.int64)


async def by_loop(offsets: list[int]) -> Integers:
    """Launch by the loop's call_at; returns the lags, ns."""
    loop = asyncio.get_running_loop()
    finished = loop.create_future()
    start = monotonic_ns() + LEAD
    begin = loop.time() + (start - monotonic_ns()) / 1e9
    lags: list[int] = []

    def launch(index: int) -> None:
        lags.append(monotonic_ns() - start - offsets[index])
        if index + 1 < len(offsets):
            loop.call_at(begin + offsets[index + 1] / 1e9, launch, index + 1)
        else:
            finished.set_result(None)

    loop.call_at(begin + offsets[0] / 1e9, launch, 0)
    await finished
    return np.asarray(lags, np.int64)


PACINGS: dict[str, Pacing] = {"engine": by_engine, "call_at": by_loop}


def measure(args: argparse.Namespace) -> table.Table:
    """Pace the same Poisson arrivals each way."""
    kind = "timerfd" if isinstance(_timer_kind(), pacer.TimerFdPacer) else "loop timer and spin"
    shown = table.Table("Pacing: lag of sends, sent - due, Poisson arrivals", COLUMNS, notes=[
        f"engine: loadgen's dispatch, by {kind}; call_at: uvloop's own timer. CPU: share of one core, timers included.",
        "A minimum below 0 was sent before it was due."])
    for rate in args.rates:
        load = Load(rate=rate, duration=Duration(args.duration), seed=args.seed)
        offsets = schedule.plan_offsets(load, 0, 0)[0].tolist()
        for name, pacing in PACINGS.items():
            cpu, wall = time.process_time_ns(), monotonic_ns()
            lags = uvloop.run(pacing(offsets))
            share = (time.process_time_ns() - cpu) / (monotonic_ns() - wall)
            _add(shown, rate, name, lags, share)
    return shown


def _timer_kind() -> pacer.Pacer:
    loop = asyncio.new_event_loop()
    try:
        timer = pacer.make(loop, lambda: None)
        timer.close()
        return timer
    finally:
        loop.close()


def _add(shown: table.Table, rate: float, name: str, lags: Integers, share: float) -> None:
    values = [quantile(lags, p) for p in (0.5, 0.9, 0.99)]
    shown.rows.append((f"{rate:,g} {name}", str(lags.size), *(f"{value / 1e3:.0f}" for value in
                                                              (lags.min(), *values, lags.max())), f"{share:.1%}"))
    shown.data.append({"rate": rate, "pacing": name, "sends": lags.size, "min": int(lags.min()), "p50": values[0],
                       "p90": values[1], "p99": values[2], "max": int(lags.max()), "cpu": share})


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=numbers, default=numbers(RATES), metavar="N,N", help=f"requests/s ({RATES})")
    parser.add_argument("--duration", type=duration, default=duration("5s"), metavar="TIME", help="for each (5s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of arrivals (0)")
    table.add_arguments(parser)
    args = parser.parse_args()
    table.show(measure(args), args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
