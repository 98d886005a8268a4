"""The statistics against scipy, which computes the same things in other ways; a user never needs it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from loadgen.stats import estimation
from loadgen.stats.rank_tests import MOST_EXACT, mann_whitney
from loadgen.types import SECOND

SHARES = st.floats(0.001, 0.999)
SAMPLES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=MOST_EXACT // 2, unique=True)


@given(st.floats(1e-9, 1 - 1e-9))
def test_normal_quantiles(p: float) -> None:
    assert estimation.normal_quantile(p) == pytest.approx(stats.norm.ppf(p), rel=1e-9, abs=1e-12)


@given(st.floats(0.0005, 0.9995), st.one_of(st.integers(1, 60), st.integers(900, 1100), st.just(100_000)))
def test_student_t_quantiles(p: float, df: int) -> None:
    assert estimation.student_t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-6, abs=1e-9)


@given(st.integers(1, 3_000), SHARES, st.sampled_from((0.5, 0.9, 0.95, 0.99)))
def test_ranks_of_order_statistics_are_quantiles_of_the_binomial(n: int, p: float, confidence: float) -> None:
    tail = (1 - confidence) / 2
    law = stats.binom(n, p)
    low, high = estimation.order_statistic_ranks(n, p, confidence)
    edge = 1e-9  # where a probability equals the tail to the last bits, either rank is right
    if low is None:
        assert law.cdf(0) > tail * (1 - edge)
    else:
        assert law.cdf(low - 1) <= tail * (1 + edge)
        assert law.cdf(low) > tail * (1 - edge)
    if high is None:
        assert law.sf(n - 1) > tail * (1 - edge)
    else:
        assert law.sf(high - 1) <= tail * (1 + edge)
        assert high == 1 or law.sf(high - 2) > tail * (1 - edge)


@given(SAMPLES, SAMPLES)
def test_the_exact_p_of_samples_without_ties(a: list[float], b: list[float]) -> None:
    if len({*a, *b}) == len(a) + len(b):
        expected = stats.mannwhitneyu(a, b, method="exact").pvalue
        assert mann_whitney(a, b) == pytest.approx(expected, rel=1e-9)


def test_the_p_of_large_samples_is_near_the_normal_approximation_with_ties() -> None:
    rng = np.random.default_rng(2)
    a, b = np.round(rng.normal(0, 3, 80)).tolist(), np.round(rng.normal(0.8, 3, 90)).tolist()
    expected = stats.mannwhitneyu(a, b, method="asymptotic", use_continuity=True).pvalue
    assert mann_whitney(a, b) == pytest.approx(expected, rel=0.05)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=80))
def test_kolmogorov_smirnov_distances(values: list[float]) -> None:
    assert estimation.ks_uniform(values, 0, 100) == pytest.approx(stats.kstest(values, "uniform", (0, 100)).statistic)
    exponential = stats.kstest(values, "expon", (0, 7)).statistic
    assert estimation.ks_exponential(values, 7) == pytest.approx(exponential)


@pytest.mark.parametrize("n", [100, 1_000, 10_000])
def test_the_critical_distance_is_that_of_five_percent(n: int) -> None:
    assert estimation.ks_critical(n) == pytest.approx(stats.kstwo.ppf(0.95, n), rel=0.03)


def test_the_index_of_dispersion_is_that_of_the_counts() -> None:
    offsets = np.sort(np.random.default_rng(3).integers(0, 100 * SECOND, 2_000))
    counts = np.bincount(offsets // SECOND)[:int(offsets.max() // SECOND)]
    assert estimation.index_of_dispersion(offsets, SECOND) == pytest.approx(counts.var(ddof=1) / counts.mean())


@given(st.floats(0.5, 0.9999), st.sampled_from((0.9, 0.95, 0.99)))
def test_the_least_sample_is_the_first_whose_extreme_is_a_bound(p: float, confidence: float) -> None:
    n = estimation.needed_n(p, confidence, two_sided=False)
    assert stats.binom.pmf(n, n, p) <= (1 - confidence) * (1 + 1e-6)
    assert n == 1 or stats.binom.pmf(n - 1, n - 1, p) > (1 - confidence) * (1 - 1e-6)
    assert math.isfinite(n)
