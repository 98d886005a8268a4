"""When to send: the schedule as ns offsets from its start, made before the run from one seed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.arrivals import points
from loadgen.arrivals.laws import LAWS
from loadgen.arrivals.shapes import Constant, Shape, length_of
from loadgen.plan import Load
from loadgen.types import SECOND, UsageError

Offsets = npt.NDArray[np.int64]

MOST: Final = 100_000_000
"""Arrivals that a schedule may hold: 800 MB of offsets."""
LONGEST: Final = 1 << 53
"""ns, 104 days: up to there a float64 is exact to the nanosecond."""


def rng(seed: int, purpose: str) -> np.random.Generator:
    """Return the random stream of one purpose: "arrivals", "prompts", "lengths" and so on are independent streams.

    Streams of one seed and different purposes share nothing, so that changing how much one draws leaves the others as
    they were. Raises UsageError for a negative seed.
    """
    if seed < 0:
        raise UsageError(f"the seed is {seed}: write 0 or more")
    key = hashlib.sha256(purpose.encode()).digest()
    words = [int.from_bytes(key[i : i + 4], "little") for i in range(0, 16, 4)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=words)))


def offsets(law: str, rate: float, n: int, burstiness: float, rng: np.random.Generator) -> Offsets:
    """Return `n` arrivals in a window of n / rate seconds, as sorted ns offsets from its start; int64[n].

    The window is the same for each law, so the offered rate is exact. Raises UsageError for what can't be a schedule.
    """
    return spread(law, Constant(rate), n, burstiness, rng)


def spread(law: str, shape: Shape, n: int, burstiness: float, rng: np.random.Generator) -> Offsets:
    """Return `n` arrivals of a law in the window in which a shape expects n, as sorted ns offsets from its start.

    The law's points at the peak rate are spread over time by the inverse of the integrated rate, which makes a Poisson
    process of points one with that rate (Cinlar 1975, 4.7). Raises UsageError for what can't be a schedule.
    """
    _check(law, shape, n, burstiness)
    return _whole(shape.instants(points.within(LAWS[law], shape.peak, n, burstiness, rng)))


def extend(law: str, rate: float, burstiness: float, rng: np.random.Generator) -> Iterator[Offsets]:
    """Continue a law for as long as it is asked: yield sorted ns offsets from the start, some 1,000 at a time.

    Nothing is conditioned here: the arrivals are those of the law with that rate. Never ends; LONGEST is the
    largest offset. Raises UsageError as offsets() does.
    """
    _check(law, Constant(rate), 0, burstiness)
    yield from map(_whole, points.after(LAWS[law], rate, burstiness, rng))


def _whole(instants: points.Points) -> Offsets:
    """Round instants to ns; the rounding of a shape's inverse never lets one come before the one that precedes it."""
    return np.maximum.accumulate(np.rint(np.minimum(instants, LONGEST)).astype(np.int64))


def plan_offsets(load: Load, warmup: int, tail: int) -> tuple[Offsets, int, int]:
    """Return (offsets, first, end) of an open-loop run: warm-up in [0, warmup) ns, measured window, tail.

    offsets[first:end] are the measured arrivals: `load.requests`, or those that the load's shape expects in `duration`,
    in the window that `length_of` gives them, which begins at `warmup`; with `load.max_duration` those of the longest
    window that `look_counts` gives, in which each shorter one has its exact rate too, and the first is what it would be
    without. The tail is the arrivals of the `tail` ns after that window. The warm-up keeps the rate with which the
    window begins, the tail that with which it ends. Each part is drawn from its own stream, so that the measured
    arrivals are the same whatever goes before and after, and a longer tail begins with the shorter one. Raises
    UsageError if the load is no open loop or can't be made.
    """
    shape, counts = load.shape, look_counts(load)
    n = counts[-1]
    span = _check(load.arrivals, shape, n, load.burstiness)
    if warmup < 0 or tail < 0:
        raise UsageError("neither the warm-up nor the drain can be negative: write --warmup 0 or longer")
    total = n + round(shape.rate(0) * warmup / SECOND) + round(shape.rate(span) * tail / SECOND)
    if total > MOST or warmup + span + tail > LONGEST:
        raise UsageError(_too_large(total, shape))
    before = _whole(points.before(LAWS[load.arrivals], shape.rate(0), warmup, load.burstiness,
                                  rng(load.seed, "arrivals of the warm-up")))
    measured = np.concatenate([_block(load, k, counts) for k in range(len(counts))])
    after = _tail(load, shape.rate(span), tail)
    return np.concatenate([before, measured + warmup, after + warmup + round(span)]), before.size, before.size + n


def look_counts(load: Load) -> list[int]:
    """Return how many requests the window holds at each look at which a run may end: n, 2n, 4n ... to the longest.

    Raises UsageError as measured_count does.
    """
    counts = [measured_count(load)]
    while (load.max_duration and counts[-1] < MOST
           and round(length_of(load.shape, 2 * counts[-1])) <= load.max_duration):
        counts.append(2 * counts[-1])
    return counts


def _block(load: Load, k: int, counts: Sequence[int]) -> Offsets:
    """Return the arrivals that look k adds to those before it, as offsets from the begin of the window.

    Only a constant rate has more than one look: the window of a shape can't be doubled.
    """
    before = counts[k - 1] if k else 0
    purpose = f"arrivals of look {k}" if k else "arrivals"
    own = spread(load.arrivals, load.shape, counts[k] - before, load.burstiness, rng(load.seed, purpose))
    return own + round(length_of(load.shape, before))


def measured_count(load: Load) -> int:
    """Return how many requests the measured window of an open-loop run holds. Raises UsageError if that is none."""
    _check_rate(load.shape.peak)
    if load.requests < 0 or load.duration < 0:
        raise UsageError("requests and duration can't be negative: write --requests N or --duration 60s")
    n = load.requests or round(load.shape.count(load.duration))
    if n < 1:
        if not load.duration:
            raise UsageError("neither a number of requests nor a duration: write --requests N or --duration 60s")
        needed = math.ceil(length_of(load.shape, 1) / SECOND)
        raise UsageError(f"no request falls into the window at {load.shape}: write --duration {needed}s or longer")
    return n


def _tail(load: Load, rate: float, tail: int) -> Offsets:
    """Return the arrivals of the cool-down, as offsets from its beginning."""
    if rate == 0:
        return np.zeros(0, np.int64)
    stream = extend(load.arrivals, rate, load.burstiness, rng(load.seed, "arrivals of the cool-down"))
    parts = [next(stream)]
    while parts[-1][-1] < tail:
        parts.append(next(stream))
    joined = np.concatenate(parts)
    return joined[: np.searchsorted(joined, tail)]


def deal(offsets: Offsets, sender: int, senders: int) -> Offsets:
    """Return the slice of one of `senders` senders: each senders-th arrival, beginning with its own number."""
    return offsets[sender::senders]


def digest(offsets: Offsets) -> str:
    """Return the sha256 of the offsets as little-endian int64: equal digests mean equal schedules."""
    return hashlib.sha256(offsets.astype("<i8").tobytes()).hexdigest()


def _check_rate(rate: float) -> None:
    if not (math.isfinite(rate) and rate > 0):
        raise UsageError(f"the rate is {rate:g}: write requests per second above 0, such as --rate 10")


def _check(law: str, shape: Shape, n: int, burstiness: float) -> float:
    """Return the window of n arrivals in ns; raise UsageError for what can't be a schedule."""
    if law not in LAWS:
        raise UsageError(f"no arrivals named {law!r}: write one of {', '.join(LAWS)}")
    _check_rate(shape.peak)
    if n < 0:
        raise UsageError(f"{n} requests can't be sent: write 1 or more")
    if LAWS[law].has_burstiness and not (math.isfinite(burstiness) and burstiness > 0):
        raise UsageError(f"the burstiness is {burstiness:g}: write a number above 0; 1 is Poisson, lower is burstier")
    span = length_of(shape, n)
    if n > MOST or span > LONGEST:
        raise UsageError(_too_large(n, shape))
    return span


def _too_large(n: int, shape: Shape) -> str:
    return (f"{n:,} requests at {shape} are too many or take too long: "
            f"write at most {MOST:,} requests and {LONGEST // (86400 * SECOND)} days")
