"""When to send: arrival laws as arrays of ns offsets, made before the run from one seed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.plan import Load
from loadgen.types import SECOND, UsageError

Offsets = npt.NDArray[np.int64]

LAWS: Final = ("poisson", "constant", "gamma")
MOST: Final = 100_000_000
"""Arrivals that a schedule may hold: 800 MB of offsets."""
LONGEST: Final = 1 << 53
"""ns, 104 days: up to there a float64 is exact to the nanosecond."""

_CHUNK: Final = 1024


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

    The window is the same for each law, so the offered rate is exact. poisson: n + 1 exponential gaps divided by
    their sum, which is Poisson conditioned on n (the order statistics of n uniform instants; Cox & Lewis 1966, 2.1).
    gamma: the same with gamma gaps of shape `burstiness`, whose coefficient of variation is 1 / sqrt(burstiness).
    constant: round(i / rate), from the index. Raises UsageError for what can't be a schedule.
    """
    span = _check(law, rate, n, burstiness)
    if law == "constant":
        exact: npt.NDArray[np.float64] = np.arange(n, dtype=np.float64) * SECOND / rate
        return np.rint(exact).astype(np.int64)
    shape = burstiness if law == "gamma" else 1.0
    return _conditioned(shape, n, span, rng)


def _conditioned(shape: float, n: int, span: float, rng: np.random.Generator) -> Offsets:
    """Return `n` arrivals in [0, span) from n + 1 gaps that are scaled to fill it."""
    instants = np.cumsum(_gaps(shape, n + 1, rng))
    total = instants[-1]
    if not total > 0:
        raise UsageError(f"burstiness {shape:g} leaves no gap that can be told from 0: write a larger one")
    scaled: npt.NDArray[np.float64] = np.minimum(instants[:-1] * (span / total), np.nextafter(span, 0))
    return scaled.astype(np.int64)


def extend(law: str, rate: float, burstiness: float, rng: np.random.Generator) -> Iterator[Offsets]:
    """Continue a law for as long as it is asked: yield sorted ns offsets from the start, some 1,000 at a time.

    Nothing is conditioned here: the arrivals are those of the law with that rate. Never ends; LONGEST is the
    largest offset. Raises UsageError as offsets() does.
    """
    _check(law, rate, 0, burstiness)
    shape = burstiness if law == "gamma" else 1.0
    index, begin = 0, 0.0
    while True:
        if law == "constant":
            instants = np.arange(index, index + _CHUNK, dtype=np.float64) * SECOND / rate
        else:
            instants = begin + np.cumsum(_gaps(shape, _CHUNK, rng)) * (SECOND / (shape * rate))
        yield np.rint(np.minimum(instants, LONGEST)).astype(np.int64)
        index, begin = index + _CHUNK, float(instants[-1])


def _gaps(shape: float, n: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return n gaps with a mean of `shape`: gamma of that shape, which for 1 is exponential."""
    return rng.standard_exponential(n) if shape == 1.0 else rng.standard_gamma(shape, n)


def plan_offsets(load: Load, warmup: int, tail: int) -> tuple[Offsets, int, int]:
    """Return (offsets, first, end) of an open-loop run: warm-up in [0, warmup) ns, measured window, tail.

    offsets[first:end] are the measured arrivals: `load.requests`, or rate x duration rounded, in n / rate seconds
    that begin at `warmup`; with `load.max_duration` those of the longest window that `look_counts` gives, in which each
    shorter one has its exact rate too, and the first is what it would be without. The tail is the arrivals of the
    `tail` ns after that window. Each part is drawn from its own stream, so that the measured arrivals are the same
    whatever goes before and after, and a longer tail begins with the shorter one. Raises UsageError if the load is no
    open loop or can't be made.
    """
    counts = look_counts(load)
    n = counts[-1]
    span = _check(load.arrivals, load.rate, n, load.burstiness)
    if warmup < 0 or tail < 0:
        raise UsageError("neither the warm-up nor the drain can be negative: write --warmup 0 or longer")
    total = n + round(load.rate * (warmup + tail) / SECOND)
    if total > MOST or warmup + span + tail > LONGEST:
        raise UsageError(_too_large(total, load.rate))
    before = _lead_in(load, warmup)
    measured = np.concatenate([_block(load, k, counts) for k in range(len(counts))])
    end = warmup + round(span)
    after = _tail(load, tail)
    return np.concatenate([before, measured + warmup, after + end]), before.size, before.size + n


def look_counts(load: Load) -> list[int]:
    """Return how many requests the window holds at each look at which a run may end: n, 2n, 4n ... to the longest.

    Raises UsageError as measured_count does.
    """
    counts = [measured_count(load)]
    while load.max_duration and round(2 * counts[-1] * SECOND / load.rate) <= load.max_duration and counts[-1] < MOST:
        counts.append(2 * counts[-1])
    return counts


def _block(load: Load, k: int, counts: Sequence[int]) -> Offsets:
    """Return the arrivals that look k adds to those before it, as offsets from the begin of the window."""
    before = counts[k - 1] if k else 0
    purpose = f"arrivals of look {k}" if k else "arrivals"
    own = offsets(load.arrivals, load.rate, counts[k] - before, load.burstiness, rng(load.seed, purpose))
    return own + round(before * SECOND / load.rate)


def measured_count(load: Load) -> int:
    """Return how many requests the measured window of an open-loop run holds. Raises UsageError if that is none."""
    _check_rate(load.rate)
    if load.requests < 0 or load.duration < 0:
        raise UsageError("requests and duration can't be negative: write --requests N or --duration 60s")
    n = load.requests or round(load.rate * load.duration / SECOND)
    if n < 1:
        if not load.duration:
            raise UsageError("neither a number of requests nor a duration: write --requests N or --duration 60s")
        needed = math.ceil(1 / load.rate)
        raise UsageError(f"no request falls into the window at {load.rate:g}/s: write --duration {needed}s or longer")
    return n


def _lead_in(load: Load, warmup: int) -> Offsets:
    """Return the arrivals of the warm-up; constant ones are counted back from its end, so that the pace is unbroken."""
    exact = load.rate * warmup / SECOND
    n = math.floor(exact) if load.arrivals == "constant" else round(exact)
    if n == 0:
        return np.zeros(0, np.int64)
    if load.arrivals == "constant":
        back = np.rint(np.arange(n, 0, -1, dtype=np.float64) * SECOND / load.rate)
        return np.maximum(warmup - back.astype(np.int64), 0)
    shape = load.burstiness if load.arrivals == "gamma" else 1.0
    return _conditioned(shape, n, float(warmup), rng(load.seed, "arrivals of the warm-up"))


def _tail(load: Load, tail: int) -> Offsets:
    """Return the arrivals of the cool-down, as offsets from its beginning."""
    stream = extend(load.arrivals, load.rate, load.burstiness, rng(load.seed, "arrivals of the cool-down"))
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


def _check(law: str, rate: float, n: int, burstiness: float) -> float:
    """Return the window of n arrivals in ns; raise UsageError for what can't be a schedule."""
    if law not in LAWS:
        raise UsageError(f"no arrivals named {law!r}: write one of {', '.join(LAWS)}")
    _check_rate(rate)
    if n < 0:
        raise UsageError(f"{n} requests can't be sent: write 1 or more")
    if law == "gamma" and not (math.isfinite(burstiness) and burstiness > 0):
        raise UsageError(f"the burstiness is {burstiness:g}: write a number above 0; 1 is Poisson, lower is burstier")
    span = n * SECOND / rate
    if n > MOST or span > LONGEST:
        raise UsageError(_too_large(n, rate))
    return span


def _too_large(n: int, rate: float) -> str:
    return (f"{n:,} requests at {rate:g}/s are too many or take too long: "
            f"write at most {MOST:,} requests and {LONGEST // (86400 * SECOND)} days")
