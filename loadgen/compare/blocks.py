"""A run cut into blocks of time, for percentile curves and for the block bootstrap of one run against another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.metrics import find, unit_of
from loadgen.outcomes.comparison import Interval, SideCurve
from loadgen.outcomes.report import PERCENTILES
from loadgen.recorder.batch import Batch
from loadgen.recorder.formulas import Samples, Tokens, measure
from loadgen.stats.histogram import Histogram, highest_in
from loadgen.types import MEASURED

FEWEST: Final = 10
MOST: Final = 50
RESAMPLES: Final = 2000
CONFIDENCE: Final = 0.95
_AT_ONCE: Final = 200  # resamples, so that memory stays small

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Blocks:
    """The values of each metric by block of time: one histogram a block, and rates as sums a block.

    Gaps between tokens belong to the block in which the token came, because all streams share the server's steps;
    everything else to the block in which its request was due.
    """

    metrics: Mapping[str, Sequence[Histogram]]
    sums: Mapping[str, Floats]  # "output_tokens" and "completed", float64[blocks]

    def whole(self, metric: str) -> Histogram:
        """Return all values of a metric."""
        merged = Histogram()
        for part in self.metrics.get(metric, ()):
            merged.merge(part)
        return merged


def count_for(length: int, mean_time: float) -> int:
    """Return how many blocks a window of `length` ns is cut into: each holds a mean request, 10 to 50 of them."""
    return max(FEWEST, min(MOST, int(length / mean_time) if mean_time > 0 else MOST))


def cut(batches: Iterable[Batch], start: int, length: int, count: int, fresh: bool = False) -> Blocks:
    """Cut a run into `count` blocks of [start, start + length); what comes later is in the last.

    The values are those of the Recorder: of the measured successes, but lag, which is of every measured request that
    was not held. `fresh`: see recorder.formulas.Tokens.
    """
    metrics: dict[str, list[Histogram]] = {}
    sums = {name: np.zeros(count) for name in ("output_tokens", "completed")}

    def block(instants: Integers) -> Integers:
        return np.clip((instants - start) * count // max(1, length), 0, count - 1)

    for batch in batches:
        tokens = Tokens.of(batch, fresh)
        good = batch.good
        measured = batch.phase == MEASURED
        for name, samples in measure(batch, tokens).items():
            metric = find(name)
            when = tokens.by(metric.scope, tokens.at) if metric and metric.pooled else batch.due[samples.rows]
            _record(metrics.setdefault(name, [Histogram() for _ in range(count)]), samples, block(when),
                    measured & (batch.held == 0 if name == "lag" else good))
        inside = (tokens.at >= start) & (tokens.at < start + length)
        np.add.at(sums["output_tokens"], block(tokens.at[inside]), tokens.count[inside])
        ended = batch.end[good & (batch.end >= start) & (batch.end < start + length)]
        np.add.at(sums["completed"], block(ended), 1)
    return Blocks(metrics, sums)


def _record(parts: list[Histogram], samples: Samples, block: Integers, mask: npt.NDArray[np.bool_]) -> None:
    keep = mask[samples.rows]
    values, block = np.maximum(samples.values[keep], 0), block[keep]
    for one in np.unique(block).tolist():
        parts[one].record(values[block == one])


def ratio(base: Blocks, new: Blocks, metric: str, statistic: str, rng: np.random.Generator) -> Interval | None:
    """Estimate new / base of a statistic, with the percentile interval of a block bootstrap of both runs.

    Blocks of each run are drawn with replacement, as many as it has, and the statistic is made anew each time. Source:
    Carlstein 1986 (blocks that don't overlap); Efron & Tibshirani 1993, 13.3. It knows how much a run varies within
    itself, and nothing of how much runs differ. None where a side has no values, or is 0.
    """
    draws = [_drawn(side, metric, statistic, rng) for side in (base, new)]
    values = [_value(side, metric, statistic) for side in (base, new)]
    if any(value is None or value <= 0 for value in values) or any(draw is None for draw in draws):
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(draws[1]) - np.log(draws[0])  # type: ignore[arg-type]
    logs = logs[np.isfinite(logs)]
    if logs.size < RESAMPLES // 2:
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.exp(np.quantile(logs, [tail, 1 - tail]))
    return Interval(float(values[1] / values[0]), float(low), float(high), CONFIDENCE)  # type: ignore[operator]


def _value(blocks: Blocks, metric: str, statistic: str) -> float | None:
    if not statistic:
        return float(blocks.sums[metric].sum()) if metric in blocks.sums else None
    whole = blocks.whole(metric)
    if not whole.count:
        return None
    return whole.mean if statistic == "mean" else float(whole.percentile(PERCENTILES[statistic]))


def _drawn(blocks: Blocks, metric: str, statistic: str, rng: np.random.Generator) -> Floats | None:
    """Return the statistic of each resample, NaN for one without values; float64[RESAMPLES]."""
    if not statistic:
        sums = blocks.sums.get(metric)
        return None if sums is None else _weights(sums.size, RESAMPLES, rng) @ sums
    parts = blocks.metrics.get(metric, ())
    if not any(part.count for part in parts):
        return None
    if statistic == "mean":
        weights = _weights(len(parts), RESAMPLES, rng)
        counts = np.asarray([part.count for part in parts], np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(weights @ np.asarray([float(part.total) for part in parts]) / (weights @ counts))
    values, counts = _matrix(parts)
    found = [_quantiles(_weights(len(parts), _AT_ONCE, rng) @ counts, values, PERCENTILES[statistic])
             for _ in range(RESAMPLES // _AT_ONCE)]
    return np.concatenate(found)


def _weights(blocks: int, resamples: int, rng: np.random.Generator) -> Floats:
    """Return how often each block is in each resample; float64[resamples, blocks]."""
    return rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=resamples).astype(np.float64)


def _matrix(parts: Sequence[Histogram]) -> tuple[Floats, Floats]:
    """Return (values of all buckets in use, how often each block holds them); float64[k], float64[blocks, k]."""
    used = [part.buckets() for part in parts]
    buckets = np.unique(np.concatenate([found for found, _ in used]))
    counts = np.zeros((len(parts), buckets.size))
    for block, (found, times) in enumerate(used):
        counts[block, np.searchsorted(buckets, found)] = times
    return highest_in(buckets).astype(np.float64), counts


def _quantiles(counts: Floats, values: Floats, p: float) -> Floats:
    """Return the ceil(p n)-th smallest value of each row of counts; NaN for a row without any."""
    cumulative = np.cumsum(counts, axis=1)
    total = cumulative[:, -1]
    rank = np.maximum(1, np.ceil(p * total - 1e-9))
    found = values[np.argmax(cumulative >= rank[:, None], axis=1)]
    return np.where(total > 0, found, np.nan)


def curves(runs: Sequence[Blocks], metrics: Sequence[str]) -> dict[str, SideCurve]:
    """Return the percentile curve of each metric over all runs of a side together, for those that have values."""
    found = {}
    for metric in metrics:
        merged = Histogram()
        for run in runs:
            merged.merge(run.whole(metric))
        if merged.count:
            found[metric] = SideCurve(unit_of(metric), merged.count, _points(merged))
    return found


def _points(histogram: Histogram) -> tuple[tuple[float, int], ...]:
    """Return points on the curve, evenly far apart on a scale of log(1 - share), 25 to a halving of what is above."""
    n = histogram.count
    last = math.log2(n) if n > 1 else 0.0
    shares = [1 - 2 ** (-step / 25) for step in range(int(last * 25) + 1)]
    ranks = sorted({max(1, math.ceil(share * n)) for share in shares} | {n})
    return tuple((rank / n, histogram.at_rank(rank)) for rank in ranks)
