"""Jobs: what a model is asked in its own process, the queue in which it waits, and the instants of its tokens."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping
from itertools import accumulate
from time import monotonic_ns, time_ns
from typing import Any

import msgspec

from loadgen.protocols.local.messages import LocalAnswer
from loadgen.types import ABSENT, SECOND, Failure


class LocalJob:
    """One request, from its arrival to its end. Not for several threads, but for `drop` and `answer_so_far`.

    `input` is a text, a list of token ids, or a list of messages; `limit` the most tokens to make; `options` are
    generation options of this request alone. A token event is noted by `token` or `piece`, which stamp it, or by
    `whole` for an answer that came in one piece; then `end` or `fail`, once.
    """

    __slots__ = ("_ended", "began", "counts", "dropped", "ids", "input", "input_tokens", "limit", "number", "on_drop",
                 "options", "pieces", "received", "server", "stamps", "text", "usage")

    def __init__(self, number: int, input: Any, limit: int, options: Mapping[str, Any],
                 ended: Callable[[LocalJob, str, Failure | None], None]) -> None:
        self.number = number
        self.input = input
        self.limit = limit
        self.options = options
        self.received = monotonic_ns()
        self.began = ABSENT  # when the model took it up
        self.dropped = False  # nobody waits for it any more
        self.on_drop: Callable[[], None] | None = None  # called then, from another thread
        self.stamps = array("q")  # CLOCK_REALTIME ns
        self.counts = array("q")  # tokens of each event, where not every event has one
        self.ids: list[int] = []
        self.pieces: list[str] = []
        self.text: str | None = None
        self.input_tokens = ABSENT
        self.usage = ABSENT  # output tokens as the model itself counts them
        self.server: dict[str, int] = {}  # times of the model in ns, by the name of their metric
        self._ended: Callable[[LocalJob, str, Failure | None], None] | None = ended

    def drop(self) -> None:
        """Say, from any thread, that nobody waits for it any more."""
        self.dropped = True
        if (on_drop := self.on_drop) is not None:
            on_drop()

    def begin(self) -> None:
        """Note that the model takes the job up: its time in the queue is over."""
        self.began = monotonic_ns()
        self.server["server_queue"] = self.began - self.received

    def token(self, token_id: int, at: int = 0) -> None:
        """Note one token; `at` is when it was there, CLOCK_REALTIME ns, now if not given."""
        number = int(token_id)  # a number of a library is no JSON; of a device's, this waits for it
        self.stamps.append(at or time_ns())
        self.ids.append(number)
        if self.counts:
            self.counts.append(1)

    def tokens(self, token_ids: list[int], at: int = 0) -> None:
        """Note an event of several tokens."""
        numbers = [int(token_id) for token_id in token_ids]
        if not self.counts:
            self.counts.extend([1] * len(self.stamps))
        self.stamps.append(at or time_ns())
        self.counts.append(len(numbers))
        self.ids += numbers

    def piece(self, text: str) -> None:
        """Note a token event of which only the text is known."""
        self.stamps.append(time_ns())
        self.pieces.append(text)

    def whole(self, text: str) -> None:
        """Note an answer that came in one piece, now."""
        self.stamps.append(time_ns())
        self.text = text

    def end(self, reason: str) -> None:
        """End with a finish reason; what comes after the first end is nothing."""
        self._end(reason, None)

    def fail(self, kind: str, detail: str, type: str = "") -> None:
        """End with a failure of one of the classes of loadgen.types.FAILURES."""
        self._end("", Failure(kind, detail, type))

    def _end(self, reason: str, failure: Failure | None) -> None:
        if self._ended is not None:
            ended, self._ended = self._ended, None
            ended(self, reason, failure)


def job_of(number: int, body: bytes, ended: Callable[[LocalJob, str, Failure | None], None]) -> LocalJob:
    """Make the job that the body of a Call asks for."""
    asked = msgspec.json.decode(body)
    return LocalJob(number, asked["input"], asked["limit"], asked["options"], ended)


def answer_of(job: LocalJob, reason: str, failure: Failure | None) -> LocalAnswer:
    """Put an ended job into the form in which its sender and the desk read it."""
    return _answer(job, job.stamps, {"ids": job.ids, "counts": job.counts.tolist(), "pieces": job.pieces,
                                     "text": job.text, "reason": reason}, failure)


def answer_so_far(job: LocalJob) -> LocalAnswer:
    """Do the same with what a job has by now, whose model goes on with it in another thread: its whole events."""
    stamps, counts, ids, pieces = job.stamps[:], job.counts[:], job.ids[:], job.pieces[:]
    known = len(ids or pieces)
    ends = list(accumulate(counts)) if counts else range(1, known + 1)
    events = min(len(stamps), bisect_right(ends, known))
    made = ends[events - 1] if events else 0
    return _answer(job, stamps[:events], {"ids": ids[:made], "counts": counts[:events].tolist(),
                                          "pieces": pieces[:made], "text": None, "reason": ""}, None)


def _answer(job: LocalJob, at: array[int], said: dict[str, Any], failure: Failure | None) -> LocalAnswer:
    stamps = array("q", bytes(16 * len(at)))
    stamps[::2] = array("q", (one // SECOND for one in at))
    stamps[1::2] = array("q", (one % SECOND for one in at))
    said |= {"input_tokens": job.input_tokens, "usage": job.usage, "server": dict(job.server)}
    return LocalAnswer(job.number, monotonic_ns(), stamps.tobytes(), at.tobytes(),
                  array("q", range(1, len(at) + 1)).tobytes(), msgspec.json.encode(said), failure)


class Jobs:
    """The queue between the thread that reads the socket and the model. `wake` is called after each change."""

    def __init__(self) -> None:
        self._queue: deque[LocalJob] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._wake: Callable[[], None] | None = None

    def put(self, job: LocalJob) -> None:
        """Add a job."""
        with self._changed:
            self._queue.append(job)
            self._changed.notify()
        if self._wake is not None:
            self._wake()

    def take(self, most: int, wait: bool = True) -> list[LocalJob]:
        """Take from 1 to `most` jobs that somebody waits for, oldest first; [] once the queue is closed.

        Without `wait`, [] also if there is none now.
        """
        with self._changed:
            while True:
                found: list[LocalJob] = []
                while self._queue and len(found) < most and not self._closed:
                    job = self._queue.popleft()
                    if job.dropped:
                        job.end("dropped")
                    else:
                        found.append(job)
                if found or self._closed or not wait:
                    break
                self._changed.wait()
        for job in found:
            job.begin()
        return found

    def listen(self, wake: Callable[[], None]) -> None:
        """Let `wake` be called, from another thread, whenever there may be something to take, and on closing."""
        self._wake = wake

    @property
    def closed(self) -> bool:
        """Whether nothing is wanted any more."""
        return self._closed

    def close(self) -> None:
        """Give nothing out any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._wake is not None:
            self._wake()
