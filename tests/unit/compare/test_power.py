"""The benchmark of compare, scaled down: how often it is wrong on equal sides, how often it finds what was put in."""

from typing import Any

import numpy as np
import pytest

from benchmarks import compare_power
from loadgen.compare import Measured
from loadgen.outcomes.run_record import Resolved
from loadgen.recorder import Recorder
from loadgen.recorder.batch import Batch
from loadgen.summary import build
from loadgen.types import RequestRow
from support.made_runs import MS, S, record_of, row, run_of, window_of


def test_compare_on_equal_sides_is_quiet_and_a_slow_down_of_a_tenth_is_found() -> None:
    pool, slow = made_pool(24, 0.01)
    counted = compare_power.count(pool, slow, runs=5, pairs=100, gates=["itl.mean", "itl.p99", "ttft.p50"])
    assert counted.alarms <= 5
    assert counted.rows <= 5
    assert counted.found >= 90
    wide_pool, wide_slow = made_pool(24, 0.2)  # runs that differ by more than what is looked for
    assert compare_power.count(wide_pool, wide_slow, runs=5, pairs=50, gates=["itl.p50"]).found < 45
    with pytest.raises(ValueError, match="a pair needs 10 runs"):
        compare_power.count(pool[:9], slow[:9], runs=5, pairs=1, gates=["itl.p50"])


def made_pool(runs: int, spread: float) -> tuple[list[Any], list[Any]]:
    """Runs of a load, each of a server that is a little faster or slower, and the same with gaps a tenth longer."""
    rng = np.random.default_rng(11)
    pool, slow = [], []
    for seed in range(runs):
        itl, ttft = (round(time * rng.lognormal(0, spread)) for time in (10 * MS, 50 * MS))
        rows = run_of(30, 10 * S, seed=seed, itl=itl, ttft=ttft)
        for side, factor in ((pool, 1.0), (slow, 1.1)):
            side.append(as_measured(rows, seed, factor))
    return pool, slow


def as_measured(rows: list[RequestRow], seed: int, factor: float) -> Any:
    recorder = Recorder(window_of(rows, 10 * S))
    recorder.fold(compare_power.slowed(Batch.of(rows), factor))
    report = build(recorder, record_of(30.0, resolved=Resolved(recorder.window, {"sha256": str(seed)})))
    return Measured(f"{seed} x{factor}", report)


def test_a_slowed_run_has_longer_gaps_and_nothing_else_moved() -> None:
    batch = Batch.of([row(0), row(1, tokens=0), row(2, tokens=1), row(3, 5 * MS, itl=7 * MS)])
    slow = compare_power.slowed(batch, 1.5)
    assert slow.token_at.lengths.tolist() == batch.token_at.lengths.tolist() == [10, 0, 1, 10]
    assert np.diff(slow.token_at[0]).tolist() == [15 * MS] * 9
    assert np.diff(slow.token_at[3]).tolist() == [10_500_000] * 9
    assert slow.token_at[3][0] == batch.token_at[3][0]
    assert (slow.end - batch.end).tolist() == [45 * MS, 0, 0, 31_500_000]
    assert slow.sent.tolist() == batch.sent.tolist()
