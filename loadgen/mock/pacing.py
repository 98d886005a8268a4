"""When each event is due: laws of delay, the heap of due instants, and the slots that make requests queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from heapq import heappush
from math import exp, log
from random import Random
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from loadgen.types import UsageError
from loadgen.units import parse_duration

if TYPE_CHECKING:
    from loadgen.mock.stream import KeepAlive, Stream
    from loadgen.mock.truth import Record

TABLE: Final = 1 << 14
"""Values a law is sampled to: one from each of 16,384 equal shares, so that a lap of the table has the law exactly."""
_STRIDE: Final = 40_503  # odd, so that streams start at different places of the table

_FORMS: Final = "a duration (20ms), normal:20ms,2ms, lognormal:20ms,0.5, uniform:10ms,30ms or exponential:20ms"


class Delay:
    """A law of delays, ns, never negative: `at(i)` is its i-th value, the same for the same seed."""

    def __init__(self, text: str, seed: str = "") -> None:
        self.text = text
        inverse = _law(text)
        if inverse is None:
            self.values = [parse_duration(text)]
        else:
            self.values = [max(0, round(inverse((i + 0.5) / TABLE))) for i in range(TABLE)]
            Random(f"{text}/{seed}").shuffle(self.values)
        self.mask = len(self.values) - 1

    def at(self, i: int) -> int:
        return self.values[i & self.mask]


def _exponential(mean: int) -> Callable[[float], float]:
    return lambda share: -mean * log(1 - share)


def _lognormal(median: int, sigma: float) -> Callable[[float], float]:
    if not 0 < sigma <= 10:
        raise ValueError("sigma is above 0 and at most 10")
    standard = NormalDist()
    return lambda share: median * exp(sigma * standard.inv_cdf(share))


def _normal(mean: int, deviation: int) -> Callable[[float], float]:
    if deviation == 0:
        raise ValueError("the deviation is 0")
    return NormalDist(mean, deviation).inv_cdf


def _uniform(low: int, high: int) -> Callable[[float], float]:
    if low > high:
        raise ValueError("the lower end is above the upper one")
    return lambda share: low + (high - low) * share


_LAWS: Final[Mapping[str, tuple[Callable[..., Callable[[float], float]], tuple[Callable[[str], float], ...]]]] = {
    "exponential": (_exponential, (parse_duration,)),
    "lognormal": (_lognormal, (parse_duration, float)),
    "normal": (_normal, (parse_duration, parse_duration)),
    "uniform": (_uniform, (parse_duration, parse_duration)),
}
"""Name of a law -> its quantile function (share -> ns), made from parameters that are read so."""


def _law(text: str) -> Callable[[float], float] | None:
    """Find the quantile function of a law; None for a plain duration."""
    name, colon, rest = text.partition(":")
    if not colon:
        return None
    words = rest.split(",")
    if name not in _LAWS or len(words) != len(_LAWS[name][1]):
        raise UsageError(f"{text!r} is no delay: write {_FORMS}")
    make, readers = _LAWS[name]
    try:
        return make(*[read(word) for read, word in zip(readers, words, strict=True)])
    except (UsageError, ValueError) as error:
        raise UsageError(f"{text!r} is no delay ({error}): write {_FORMS}") from None


class Pacer:
    """Decides when streams start and when their events are due; knows no clock: instants come in as arguments (ns).

    `slots` streams run at a time (0: all of them), the others wait in order. Each running stream lengthens the gap
    between events of all by `itl_per_stream`.
    """

    def __init__(self, ttft: Delay, ttft_per_token: int, itl: Delay, itl_per_stream: int, slots: int) -> None:
        self.ttft, self.ttft_per_token = ttft, ttft_per_token
        self.itl, self.itl_per_stream = itl, itl_per_stream
        self.slots = slots
        self.heap: list[tuple[int, int, Stream | KeepAlive]] = []  # due, number (below 0: comments), stream
        self.running = 0
        self.waiting: deque[Stream] = deque()

    def arrive(self, stream: Stream, now: int) -> None:
        """Start a stream, or let it wait for a slot."""
        if self.slots and self.running >= self.slots:
            self.waiting.append(stream)
        else:
            self._start(stream, now)

    def leave(self, at: int) -> None:
        """Give back the slot of a stream that ended at `at`: the instant it was due, not when it was noticed."""
        self.running -= 1
        while self.waiting:
            stream = self.waiting.popleft()
            if not stream.gone:
                self._start(stream, max(at, stream.record.arrival))
                return

    def gap(self, number: int, position: int) -> int:
        """Say how long after event `position` of stream `number` the next one is due."""
        return self.itl.at(number * _STRIDE + position) + self.itl_per_stream * self.running

    def first(self, record: Record) -> int:
        """Say how long after its start a stream's first event is due."""
        return self.ttft.at(record.number) + self.ttft_per_token * record.prompt_tokens

    def keep_alive(self, comments: KeepAlive, number: int, due: int) -> None:
        """Send comments of stream `number` from `due` on."""
        heappush(self.heap, (due, -number, comments))

    def _start(self, stream: Stream, at: int) -> None:
        self.running += 1
        stream.running = True
        stream.record.queued = at - stream.record.arrival
        number = stream.record.number
        due = at + stream.delay + self.first(stream.record)
        for position in range(stream.silent):  # an answer in one piece comes when its last token would
            due += self.gap(number, position)
        heappush(self.heap, (due, number, stream))


class PlannedTimes:
    """The times of one answer as they are planned: what the server would tell of itself (dialect.Times)."""

    __slots__ = ("_pacer", "_record")

    def __init__(self, pacer: Pacer, record: Record) -> None:
        self._pacer, self._record = pacer, record

    def queue(self) -> int:
        return self._record.queued

    def prefill(self) -> int:
        return self._pacer.first(self._record)

    def decode(self, position: int) -> int:
        return self._pacer.gap(self._record.number, position - 1)
