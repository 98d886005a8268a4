"""The RunLoop: takes one run from the first sender to the last flush: warm-up, measured window, cool-down, signals."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterable
from time import monotonic_ns
from typing import Protocol

from loadgen.checks import certain
from loadgen.engine.desk import Desk
from loadgen.engine.in_flight import InFlight
from loadgen.engine.process_stats import cpu_time, max_rss
from loadgen.outcomes.run_record import RunRecord
from loadgen.recorder import Recorder
from loadgen.run.collector import Collector
from loadgen.run.phases import Phases
from loadgen.run.progress import Pace, describe
from loadgen.run_files import StorageFull
from loadgen.types import ABSENT, CENSORED, Failure, Health, Progress, UsageError

_TICK = 0.05  # s between looks at whether the run is over
_FLUSH_EVERY = 5  # ticks
_PREPARE_AT = 4  # ticks; the schedule has begun by then
_SECOND_EVERY = 20  # ticks
_LEAD = 100_000_000  # ns from the order to start until the schedule begins
_NICE = 10  # the desk gives way to the senders


class View(Protocol):
    """Who shows how a run goes."""

    def start(self, title: str) -> None: ...
    def update(self, progress: Progress) -> None: ...
    def warn(self, text: str) -> None: ...
    def stop(self) -> None: ...


class Looks(Protocol):
    """Who decides whether a window that may be extended is precise enough."""

    def due(self, elapsed: int) -> bool: ...
    def enough(self) -> bool: ...


class RunLoop:
    """Runs senders over a schedule. After `run`, `interrupted` says whether it was cut short, and `ended` when.

    `served` says whether who answers is still there, as far as that can be known.
    """

    def __init__(self, record: RunRecord, desk: Desk, collector: Collector, phases: Phases,
                 recorder: Recorder, view: View, looks: Looks | None = None,
                 served: Callable[[], bool] = lambda: True) -> None:
        self._record = record
        self._load = record.plan.load
        self._desk = desk
        self._collector = collector
        self._phases = phases
        self._recorder = recorder
        self._view = view
        self._looks = looks
        self._served = served
        self._pace = Pace()
        self._start = 0
        self._stopping = False
        self._signals = 0
        self.full = False  # the disk
        self.interrupted = False
        self.aborted = ""  # why it was given up
        self.ended = ABSENT

    async def run(self, calls: Iterable[InFlight]) -> None:
        """Run to the end. Raises UsageError if the connections can't be opened."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        try:
            failure = await self._desk.open()
            if failure is not None:
                raise UsageError(f"can't open connections ({failure.kind}): {failure.detail}")
            os.nice(_NICE)
            feeding = asyncio.create_task(self._desk.feed(iter(calls)))
            await self._primed(feeding)
            if not self._phases.window.start:  # else there is time for it in the warm-up
                self._collector.prepare()
            self._begin()
            await self._go(feeding)
        finally:
            await self._desk.close()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
            self._save(self._last_lines)

    async def _primed(self, feeding: asyncio.Task[None]) -> None:
        """Wait until senders hold the first calls; what went wrong in making them is raised here."""
        primed = asyncio.create_task(self._desk.primed())
        await asyncio.wait((primed, feeding), return_when=asyncio.FIRST_COMPLETED)
        primed.cancel()
        if feeding.done():
            feeding.result()

    def _begin(self) -> None:
        self._start = monotonic_ns() + _LEAD
        self._collector.begin(self._start)
        self._desk.start(self._start)

    @property
    def _elapsed(self) -> int:
        return monotonic_ns() - self._start

    async def _go(self, feeding: asyncio.Task[None]) -> None:
        ending: asyncio.Task[None] | None = None
        tick = 0
        while ending is None or not ending.done():
            await asyncio.sleep(_TICK)
            tick += 1
            if feeding.done() and feeding.exception() is not None:
                feeding.result()
            if tick == _PREPARE_AT:
                asyncio.get_running_loop().run_in_executor(None, self._collector.prepare)
            if tick % _FLUSH_EVERY == 0:
                self._save(self._collector.flush)
                self._show()
            if tick % _SECOND_EVERY == 0:
                self._save(self._second)
            self._decide(feeding.done())
            if self._stopping and ending is None:
                ending = asyncio.create_task(self._desk.finished())
        feeding.cancel()

    def _decide(self, fed: bool) -> None:
        """Stop when everything measured has ended or the drain limit has passed. `fed`: all calls were handed over."""
        elapsed = self._elapsed
        if self._desk.deserted:
            self._stop()
        elif not self._stopping and not self._served():
            self._view.warn("the process of the model ended: stopping")
            self._stop()
        elif self._phases.complete(elapsed):
            if not self._stopping:
                self._stop()
                self._desk.cancel(Failure(CENSORED, "cool-down: the measured requests had ended"))
        elif elapsed > self._drain_limit():
            self._stop()
            self._desk.cancel(Failure(CENSORED, "still running at the drain limit (--drain)"))
        elif self._looks is not None and not self._stopping and self._looks.due(elapsed):
            self._look(self._looks)
        elif self._load.concurrency and not self._load.cooldown and not fed and self._window_over():
            self._stop()

    def _look(self, looks: Looks) -> None:
        """Close the window if it is precise enough, else let it go on to twice its length."""
        self._save(self._collector.flush)
        if not self._stopping and looks.enough():
            self._stop()
            self._desk.cancel(Failure(CENSORED, "cool-down: the measured requests had ended"))

    def _window_over(self) -> bool:
        """In a closed loop, which does not run out of calls: whether all that is measured has been sent."""
        window = self._phases.window
        if window.length != ABSENT:
            return self._elapsed > window.start + window.length
        return self._phases.measured_seen >= window.count

    def _drain_limit(self) -> int:
        window = self._phases.window
        if self._stopping and self.interrupted:
            return self.ended + self._load.drain
        if window.length == ABSENT:
            return 1 << 62
        return window.start + window.length + self._load.drain

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._desk.stop()

    def _on_signal(self) -> None:
        """First: offer nothing new and drain. Second: cancel what is in flight. Third: out."""
        self._signals += 1
        if self._signals == 1:
            self.interrupted = True
            self.ended = self._elapsed if self._start else 0
            self._view.warn("stopping: waiting for what is in flight; Ctrl-C again cancels it")
            self._stop()
        elif self._signals == 2:
            self._view.warn("cancelling what is in flight; Ctrl-C again kills")
            self._desk.cancel(Failure(CENSORED, "cancelled by Ctrl-C"))
        else:
            self._desk.kill()
            self._view.stop()
            os._exit(130)

    # As the run goes.

    def _save(self, step: Callable[[], None]) -> None:
        """Do something that writes; a full disk ends the run in order, once."""
        try:
            step()
        except StorageFull as error:
            self.full = True
            self.interrupted = True
            self.ended = self._elapsed
            self._view.warn(f"{error}: stopping; what was written can be reported with `loadgen report`")
            self._stop()
            self._desk.cancel(Failure(CENSORED, "the disk was full"))

    def _second(self) -> None:
        self._collector.sample_clock()
        self._collector.log(self._elapsed)
        self._collector.health(self._own_health())
        self._give_up()

    def _give_up(self) -> None:
        """End a run that is certain to fail, if that is wanted: what is in flight is cancelled."""
        if self._stopping or not self._record.plan.judgement.abort_on_fail:
            return
        self.aborted = certain(self._recorder)
        if self.aborted:
            self._view.warn(f"giving up: {self.aborted}")
            self._stop()
            self._desk.cancel(Failure(CENSORED, "given up (--abort-on-fail)"))

    def _last_lines(self) -> None:
        if self._start:
            self._collector.flush()
            self._second()
            self._collector.flush()  # the health line of that second

    def _own_health(self) -> Health:
        return Health(at=self._elapsed, sender=ABSENT, cpu=cpu_time(), rss=max_rss(),
                      in_flight=self._collector.in_flight)

    def _show(self) -> None:
        collector = self._collector
        counts = (collector.offered, collector.completed, collector.in_flight, collector.tokens)
        self._view.update(describe(self._recorder, self._record, self._elapsed, counts, self._pace, self._stopping))
