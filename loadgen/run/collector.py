"""Collects finished requests and writes them down: decodes them into rows, which are folded as the run goes on."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic_ns

from loadgen.backends.errors import one_line
from loadgen.backends.interface import Backend
from loadgen.clock import sample_offset
from loadgen.engine.in_flight import InFlight
from loadgen.recorder import Recorder
from loadgen.recorder.batch import Batch
from loadgen.run.assemble import WallClock, assemble
from loadgen.run.phases import Phases
from loadgen.run.retry import is_retried
from loadgen.run_files import RunWriter
from loadgen.types import ABSENT, CENSORED, ClockSample, Failure, Health, Request, RequestRow, Timeline, TokenEvents


class Collector:
    """Collect what senders report (an engine.desk.Handler); `flush` folds and writes what was added since the last."""

    def __init__(self, backend: Backend, phases: Phases, recorder: Recorder, writer: RunWriter,
                 logs: Sequence[str], outputs: bool) -> None:
        self._backend = backend
        self._phases = phases
        self._recorder = recorder
        self._writer = writer
        self._logs = logs
        self._outputs = outputs
        self._start = 0
        self._rows: list[RequestRow] = []
        self._texts: list[dict[str, object]] = []
        self._lines: list[Health | dict[str, object]] = []  # for health.jsonl
        self._wall = WallClock(sample_offset())
        self._logged = 0
        self.in_flight = 0  # sent and not ended
        self.offered = 0
        self.completed = 0
        self.tokens = 0

    def prepare(self) -> None:
        """Import what `flush` and `log` need. May be called from any thread."""
        self._writer.prepare()

    def begin(self, start: int) -> None:
        """Set the start of the schedule, CLOCK_MONOTONIC ns."""
        self._start = start
        self.sample_clock()

    def reject(self, flight: InFlight, error: Exception) -> None:
        """Record a request that the backend could not encode."""
        failure = Failure("backend", one_line(error), type(error).__name__)
        self.done(flight, Timeline(flight.index, due=flight.due, failure=failure))

    # engine.desk.Handler

    def sent(self, flight: InFlight) -> None:
        self.in_flight += 1
        self._phases.begin(flight)
        self.offered += 1

    def done(self, flight: InFlight, timeline: Timeline) -> bool:
        orphan = timeline.failure is not None and timeline.failure.kind == "sender_lost"
        if flight.launched:
            self.in_flight -= 1
        elif orphan and not flight.attempt and not self._phases.scheduled:
            return False  # no slot of the closed loop had become free for it: it was never due
        else:
            self.offered += 1
        events = self._decode(timeline, flight.request)
        again = is_retried(flight, events.failure)
        if again:  # the request stays open in its phase
            self._phases.begin(flight)
        else:
            self._phases.end(flight)
        self._record(flight, timeline, events)
        return again

    def _record(self, flight: InFlight, timeline: Timeline, events: TokenEvents) -> None:
        most = flight.request.max_output_tokens
        row = assemble(timeline, events, self._wall, self._start, flight.phase, ABSENT if most is None else most)
        self._rows.append(row)
        self.completed += 1
        self.tokens += max(row.output_tokens, 0)
        if self._outputs:
            self._texts.append({"index": row.index, "failure": row.failure, "text": events.text})

    def health(self, health: Health) -> None:
        self._recorder.observe(health)
        self._lines.append(health)

    def lost(self, sender: int) -> None:
        self._lines.append({"event": "sender_lost", "at": monotonic_ns() - self._start, "sender": sender})

    def _decode(self, timeline: Timeline, request: Request) -> TokenEvents:
        if self._backend.protocol == "grpc":
            from loadgen.protocols.grpc import answer  # brings hpack and HTTP/2

            answer.unpack(timeline)
        events = self._backend.decode(timeline, request)
        if timeline.failure is not None and timeline.failure.kind == CENSORED:
            events.failure = timeline.failure
        return events

    # While the run goes on.

    def flush(self) -> None:
        """Fold and write the rows and health lines so far. Raises StorageFull, as everything here that writes does."""
        if self._rows:
            rows, self._rows = self._rows, []
            batch = Batch.of(rows)
            self._recorder.fold(batch)
            self._writer.write_rows(batch)
        lines, self._lines = self._lines, []
        for line in lines:
            self._writer.write_health(line)
        if self._texts:
            self._writer.write_outputs(self._texts)
            self._texts = []

    def log(self, elapsed: int) -> None:
        """Write one line of each interval histogram log."""
        for name in self._logs:
            histogram = self._recorder.interval(name)
            if histogram.count:
                self._writer.write_interval(name, histogram, self._logged, elapsed)
        self._logged = elapsed

    def sample_clock(self) -> None:
        """Measure the offset between the clocks, which stamps and the verdict need."""
        sample = sample_offset()
        self._wall.add(sample)
        line = ClockSample(sample.at - self._start, sample.offset)
        self._recorder.observe(line)
        self._writer.write_health(line)
