import hashlib
import math
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen import schedule
from loadgen.plan import Duration, Load
from loadgen.schedule import deal, digest, extend, offsets, plan_offsets, rng
from loadgen.stats import estimation
from loadgen.types import UsageError

SECOND = 1_000_000_000
LAWS = st.sampled_from(["poisson", "constant", "gamma"])
RATES = st.floats(0.01, 10_000, allow_nan=False)


def made(law: str, rate: float, n: int, burstiness: float = 1.0, seed: int = 0) -> np.ndarray:
    return offsets(law, rate, n, burstiness, rng(seed, "arrivals"))


def load(**changes: object) -> Load:
    return replace(Load(rate=50.0, duration=Duration(20 * SECOND), seed=3), **changes)


@given(LAWS, RATES, st.integers(0, 300), st.floats(0.1, 20), st.integers(0, 2**64))
def test_arrivals_are_sorted_and_inside_their_window(law: str, rate: float, n: int, shape: float, seed: int) -> None:
    found = made(law, rate, n, shape, seed)
    assert found.dtype == np.int64
    assert found.size == n
    assert (np.diff(found) >= 0).all()
    assert n == 0 or (found[0] >= 0 and found[-1] <= n * SECOND / rate)


@given(st.integers(1, 5000), st.integers(1, 300))
def test_constant_arrivals_come_from_the_index(rate: int, n: int) -> None:
    assert made("constant", float(rate), n).tolist() == [round(i * 1e9 / rate) for i in range(n)]


def test_constant_arrivals_do_not_drift() -> None:
    assert made("constant", 3.0, 3_000_001)[-1] == 1_000_000 * SECOND


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rate", [20.0, 1000.0])
def test_poisson_arrivals_follow_their_law(rate: float, seed: int) -> None:
    n = round(60 * rate)
    found = made("poisson", rate, n, seed=seed)
    critical = estimation.ks_critical(n) * 1.2  # 5 % of seeds would fail at 1
    assert estimation.ks_uniform(found, 0, 60 * SECOND) < critical
    assert estimation.ks_exponential(np.diff(found), SECOND / rate) < critical
    assert abs(estimation.lag1(np.diff(found))) < 3 / math.sqrt(n)
    # Variance of a Poisson index of dispersion over w windows: 2 / (w - 1).
    assert abs(estimation.index_of_dispersion(found, SECOND) - 1) < 3 * math.sqrt(2 / 58)


@pytest.mark.parametrize("senders", [2, 10])
def test_dealt_slices_and_their_merger_are_as_random_as_the_whole(senders: int) -> None:
    found = made("poisson", 500.0, 30_000, seed=5)
    slices = [deal(found, k, senders) for k in range(senders)]
    assert np.array_equal(np.sort(np.concatenate(slices)), found)
    for part in slices:
        gaps = np.diff(part)
        assert abs(estimation.lag1(gaps)) < 4 / math.sqrt(gaps.size)
        # Each slice takes every k-th arrival, so its gaps are Erlang with a CV of 1 / sqrt(k).
        assert gaps.std() / gaps.mean() == pytest.approx(1 / math.sqrt(senders), rel=0.1)
    matrix = np.corrcoef([np.diff(part[: 30_000 // senders]) for part in slices])
    # Slices interleave, so that neighbours share most of a gap; equal seeds would give 1 everywhere.
    assert matrix[0, senders // 2] < 0.7


@pytest.mark.parametrize("shape", [0.25, 0.5, 2.0, 4.0])
def test_gamma_gaps_have_the_asked_variation_and_the_exact_rate(shape: float) -> None:
    gaps = np.diff(made("gamma", 100.0, 20_000, shape, seed=1))
    assert gaps.std() / gaps.mean() == pytest.approx(1 / math.sqrt(shape), rel=0.05)
    assert gaps.mean() == pytest.approx(SECOND / 100, rel=1e-3 / min(shape, 1))


def test_gamma_of_shape_one_is_poisson() -> None:
    assert np.array_equal(made("gamma", 10.0, 100, 1.0), made("poisson", 10.0, 100))


def test_one_seed_gives_one_schedule_for_ever() -> None:
    found = made("constant", 4.0, 3)
    expected = b"".join(i.to_bytes(8, "little") for i in (0, 250_000_000, 500_000_000))
    assert digest(found) == hashlib.sha256(expected).hexdigest()
    assert digest(made("poisson", 10.0, 100, seed=1)) == digest(made("poisson", 10.0, 100, seed=1))
    assert digest(made("poisson", 10.0, 100, seed=1)) != digest(made("poisson", 10.0, 100, seed=2))


def test_streams_of_different_purposes_are_independent() -> None:
    arrivals, prompts = rng(4, "arrivals").random(5000), rng(4, "prompts").random(5000)
    assert abs(np.corrcoef(arrivals, prompts)[0, 1]) < 0.05
    assert np.array_equal(arrivals, rng(4, "arrivals").random(5000))
    assert not np.array_equal(rng(4, "arrivals").random(5), rng(5, "arrivals").random(5))


@pytest.mark.parametrize("law", ["poisson", "constant", "gamma"])
def test_the_measured_part_does_not_depend_on_what_is_around_it(law: str) -> None:
    plan = load(arrivals=law, burstiness=2.0)
    alone, first, end = plan_offsets(plan, 0, 0)
    assert (first, end, alone.size) == (0, 1000, 1000)
    warm = 3 * SECOND + 7
    whole, first, end = plan_offsets(plan, warm, 5 * SECOND)
    assert end - first == 1000
    assert np.array_equal(whole[first:end] - warm, alone)
    assert (whole[:first] < warm).all()
    assert (whole[end:] >= warm + 20 * SECOND).all()
    assert (whole[end:] < warm + 25 * SECOND).all()
    assert (np.diff(whole) >= 0).all()
    assert first == pytest.approx(150, abs=1)
    assert whole.size - end == pytest.approx(250, abs=60)


@settings(max_examples=50)
@given(LAWS, st.floats(0.05, 500), st.integers(1, 200), st.integers(0, 10 * SECOND), st.integers(0, 20 * SECOND))
def test_a_longer_tail_begins_with_the_shorter_one(law: str, rate: float, n: int, warmup: int, tail: int) -> None:
    plan = Load(rate=rate, arrivals=law, requests=n, burstiness=0.7)
    short, first, end = plan_offsets(plan, warmup, tail // 3)
    long, *bounds = plan_offsets(plan, warmup, tail)
    assert [first, end] == bounds
    assert end - first == n
    assert np.array_equal(long[: short.size], short)
    assert (np.diff(long) >= 0).all()
    assert first == 0 or (long[0] >= 0 and long[first - 1] <= warmup <= long[first])
    assert long[-1] <= warmup + n * SECOND / rate + tail + 1


def test_constant_arrivals_keep_their_pace_from_warm_up_to_tail() -> None:
    whole, first, end = plan_offsets(load(arrivals="constant", rate=10.0), SECOND + SECOND // 20, 2 * SECOND)
    assert (first, end - first, whole.size - end) == (10, 200, 20)
    assert set(np.diff(whole).tolist()) == {SECOND // 10}


def test_requests_come_before_duration() -> None:
    assert schedule.measured_count(load(requests=7)) == 7
    assert schedule.measured_count(load()) == 1000


@pytest.mark.parametrize(("law", "shape"), [("poisson", 1.0), ("gamma", 4.0), ("constant", 1.0)])
def test_an_extension_keeps_its_law_over_its_chunks(law: str, shape: float) -> None:
    found = np.concatenate(list(islice(extend(law, 200.0, shape, rng(1, "x")), 20)))
    assert found.size > 20_000
    gaps = np.diff(found)
    assert (gaps >= 0).all()
    assert gaps.mean() == pytest.approx(SECOND / 200, rel=0.02)
    variation = 0.0 if law == "constant" else 1 / math.sqrt(shape)
    assert gaps.std() / gaps.mean() == pytest.approx(variation, abs=0.03)


@pytest.mark.parametrize("law", ["constant", "poisson"])
def test_an_extension_of_a_very_slow_law_stays_within_its_numbers(law: str) -> None:
    first = next(extend(law, 2e-7, 1.0, rng(1, "x")))
    assert (np.diff(first) >= 0).all()
    assert first[-1] == schedule.LONGEST


@pytest.mark.parametrize(("change", "word"), [
    ({"rate": 0.0}, "rate"), ({"rate": -1.0}, "rate"), ({"rate": math.nan}, "rate"), ({"rate": math.inf}, "rate"),
    ({"requests": -1}, "negative"), ({"duration": Duration(0)}, "--requests"), ({"rate": 0.01}, "--duration 100s"),
    ({"requests": 10**9}, "at most"), ({"rate": 1e-9, "requests": 100}, "at most"), ({"arrivals": "posson"}, "poisson"),
    ({"arrivals": "gamma", "burstiness": 0.0}, "burstiness"), ({"seed": -1}, "seed"),
    ({"arrivals": "gamma", "burstiness": math.nan}, "burstiness"),
    ({"arrivals": "gamma", "burstiness": 1e-300, "requests": 2}, "burstiness"),
])
def test_what_can_not_be_a_schedule_is_refused(change: dict[str, object], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        plan_offsets(load(**change), SECOND, SECOND)


def test_lengths_that_can_not_be_are_refused() -> None:
    with pytest.raises(UsageError, match="warm-up"):
        plan_offsets(load(), -1, 0)
    with pytest.raises(UsageError, match="at most"):
        plan_offsets(load(rate=1e6), 0, 1000 * SECOND)
    with pytest.raises(UsageError, match="at most"):
        plan_offsets(load(rate=1e-3, requests=1), 1000, schedule.LONGEST)
    with pytest.raises(UsageError, match="1 or more"):
        made("poisson", 1.0, -1)


@pytest.mark.parametrize(("law", "shape", "rate", "seed", "bounds", "sha256"), [
    ("poisson", 1.0, 3.0, 0, (9, 165), "c7146edf280fa280"), ("poisson", 1.0, 49.7, 7, (149, 2733), "fc6f0af909b87e98"),
    ("constant", 1.0, 3.0, 0, (9, 165), "aa1ec498e12789fa"),
    ("constant", 1.0, 49.7, 7, (149, 2733), "4517bb858abf53bd"), ("gamma", 0.5, 3.0, 0, (9, 165), "3258a02c4778865a"),
    ("gamma", 0.5, 49.7, 7, (149, 2733), "f855106cf06aa643"),
])
def test_schedules_stay_those_of_earlier_versions(law: str, shape: float, rate: float, seed: int,
                                                  bounds: tuple[int, int], sha256: str) -> None:
    """Runs are repeated from their plan.json: warm-up, three looks and cool-down, to the nanosecond."""
    plan = Load(rate=rate, arrivals=law, burstiness=shape, seed=seed, duration=Duration(13 * SECOND),
                max_duration=Duration(60 * SECOND))
    found, *between = plan_offsets(plan, 3 * SECOND + 7, 20 * SECOND)
    assert (tuple(between), digest(found)[:16]) == (bounds, sha256)
