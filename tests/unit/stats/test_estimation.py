import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.stats import estimation
from loadgen.stats.histogram import Histogram

PERCENTILES = st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99])


def histogram_of(values: object) -> Histogram:
    histogram = Histogram()
    histogram.record(np.asarray(values, np.int64))
    return histogram


def exact_cdf(k: int, n: int, p: Fraction) -> Fraction:
    return sum((math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1)), Fraction(0))


@pytest.mark.parametrize(("p", "n"), [(0.9, 29), (0.95, 59), (0.99, 299), (0.999, 2995)])
def test_needed_n_one_sided(p: float, n: int) -> None:
    assert estimation.needed_n(p, two_sided=False) == n


@pytest.mark.parametrize(("p", "n"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3688), (0.01, 368)])
def test_needed_n_two_sided(p: float, n: int) -> None:
    assert estimation.needed_n(p) == n


def test_needed_n_that_is_whole_is_not_rounded_up() -> None:
    assert estimation.needed_n(0.05, 0.95, two_sided=False) == 1
    assert estimation.needed_n(0.5, 0.75, two_sided=False) == 2


@given(PERCENTILES, st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_needed_n_is_the_least_with_both_bounds(p: float, confidence: float) -> None:
    n = estimation.needed_n(p, confidence)
    assert None not in estimation.order_statistic_ranks(n, p, confidence)
    if n > 1:
        assert None in estimation.order_statistic_ranks(n - 1, p, confidence)


@pytest.mark.parametrize(("n", "p", "ranks"), [
    # Conover, Practical Nonparametric Statistics, table A3: for the median of 10, 20 and 100 values.
    (10, 0.5, (2, 9)), (20, 0.5, (6, 15)), (100, 0.5, (40, 61)),
    (5, 0.5, (None, None)), (6, 0.5, (1, 6)), (367, 0.99, (359, None)), (368, 0.99, (360, 368)),
])
def test_ranks_are_those_of_the_tables(n: int, p: float, ranks: tuple[int | None, int | None]) -> None:
    assert estimation.order_statistic_ranks(n, p) == ranks


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 150), st.sampled_from(["0.02", "0.3", "0.5", "0.9", "0.99"]), st.sampled_from(["0.9", "0.95"]))
def test_ranks_are_the_tightest_that_exact_arithmetic_allows(n: int, p: str, confidence: str) -> None:
    share, tail = Fraction(p), (1 - Fraction(confidence)) / 2
    cumulative = [exact_cdf(k, n, share) for k in range(n)]
    lows = [k + 1 for k in range(n) if cumulative[k] <= tail]
    highs = [k + 1 for k in range(n) if 1 - cumulative[k] <= tail]
    expected = (max(lows, default=None), min(highs, default=None))
    assert estimation.order_statistic_ranks(n, float(p), float(confidence)) == expected


@pytest.mark.parametrize(("n", "p"), [(10**6, 0.5), (10**6, 0.99), (10**9, 0.5), (10**9, 0.9999)])
def test_ranks_of_a_large_sample_are_near_the_normal_ones(n: int, p: float) -> None:
    low, high = estimation.order_statistic_ranks(n, p)
    half = estimation.normal_quantile(0.975) * math.sqrt(n * p * (1 - p))
    assert low is not None
    assert high is not None
    assert abs(low - (n * p - half)) < 3
    assert abs(high - (n * p + half)) < 3


def test_the_quantile_interval_reads_the_ranks_from_the_counts() -> None:
    histogram = histogram_of(range(1, 101))
    assert estimation.quantile_interval(histogram, 0.5) == (40, 61)
    assert estimation.quantile_interval(histogram, 0.99) == (97, None)
    assert estimation.quantile_interval(histogram_of([7, 8]), 0.5) == (0, None)


def test_the_quantile_interval_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(7)
    n, repeats, truth = 400, 500, math.exp(16 + 0.5 * estimation.normal_quantile(0.95))
    hits = 0
    for _ in range(repeats):
        low, high = estimation.quantile_interval(histogram_of(random.lognormal(16, 0.5, n)), 0.95)
        hits += low <= truth <= (high or math.inf)
    assert 0.92 <= hits / repeats <= 0.99


def test_the_sectioning_interval_is_that_of_the_formula() -> None:
    # Ten sections, overall 100, S^2 = 10 x 9 / 9: half-width 2.2622 sqrt(10) / sqrt(10).
    low, high = estimation.sectioning_interval([97, 103] * 5, 100.0)
    assert (low, high) == (math.floor(100 - 2.2622), math.ceil(100 + 2.2622)) == (97, 103)
    assert estimation.sectioning_interval([50] * 10, 50.0) == (50, 50)
    assert estimation.sectioning_interval([0, 1000], 10.0)[0] == 0


def test_the_sectioning_interval_covers_dependent_values_where_the_iid_one_does_not() -> None:
    random = np.random.default_rng(11)
    repeats, n, phi = 150, 2000, 0.95
    sectioned = independent = 0
    for _ in range(repeats):
        noise, x, level = random.normal(0, math.sqrt(1 - phi * phi), n), np.empty(n), 0.0
        for i in range(n):
            level = phi * level + noise[i]
            x[i] = level
        values = (x + 10) * 1000  # the median is 10,000
        medians = [float(np.median(section)) for section in np.split(values, 10)]
        low, high = estimation.sectioning_interval(medians, float(np.median(values)))
        sectioned += low <= 10_000 <= high
        low, upper = estimation.quantile_interval(histogram_of(values), 0.5)
        independent += low <= 10_000 <= (upper or math.inf)
    assert sectioned / repeats >= 0.88
    assert independent / repeats <= 0.6


@pytest.mark.parametrize(("p", "df", "t"), [
    # Abramowitz & Stegun, table 26.10.
    (0.975, 1, 12.706), (0.975, 2, 4.303), (0.975, 3, 3.182), (0.975, 9, 2.262), (0.975, 30, 2.042),
    (0.975, 120, 1.980), (0.995, 9, 3.250), (0.95, 9, 1.833), (0.995, 1, 63.657), (0.9, 4, 1.533),
])
def test_student_quantiles_are_those_of_the_table(p: float, df: int, t: float) -> None:
    assert estimation.student_t_quantile(p, df) == pytest.approx(t, abs=6e-4)
    assert estimation.student_t_quantile(1 - p, df) == pytest.approx(-t, abs=6e-4)


@pytest.mark.parametrize("p", [0.6, 0.975, 0.9999])
def test_the_expansion_meets_the_series(p: float) -> None:
    assert estimation.student_t_quantile(p, 1001) == pytest.approx(estimation.student_t_quantile(p, 1000), rel=1e-4)
    assert estimation.student_t_quantile(p, 10**9) == pytest.approx(estimation.normal_quantile(p), rel=1e-6)


@pytest.mark.parametrize(("p", "z"), [(0.975, 1.959964), (0.995, 2.575829), (0.5, 0.0), (0.0013499, -3.0)])
def test_normal_quantiles_are_those_of_the_table(p: float, z: float) -> None:
    assert estimation.normal_quantile(p) == pytest.approx(z, abs=1e-5)


def test_relative_half_width() -> None:
    assert estimation.relative_half_width(90, 110, 100) == pytest.approx(0.1)
    assert estimation.relative_half_width(90, None, 100) == math.inf
    assert estimation.relative_half_width(0, 0, 0) == math.inf


def test_lag1_tells_dependence_from_independence() -> None:
    assert estimation.lag1([1, -1] * 50) == pytest.approx(-0.99)
    assert estimation.lag1(np.sin(np.linspace(0, 20, 1000))) > 0.99
    assert abs(estimation.lag1(np.random.default_rng(1).normal(size=10_000))) < 0.03
    assert estimation.lag1([5, 5, 5, 5]) == 0.0
    assert estimation.lag1([1, 2]) == 0.0


@given(st.lists(st.integers(-1000, 1000), min_size=3, max_size=50))
def test_lag1_is_a_correlation(values: list[int]) -> None:
    assert -1.0 <= estimation.lag1(values) <= 1.0
    assert estimation.lag1(values) == pytest.approx(estimation.lag1(values[::-1]), abs=1e-9)


def test_batch_means() -> None:
    assert estimation.batch_means([1, 2, 3, 4, 5, 6], 3).tolist() == [1.5, 3.5, 5.5]
    assert estimation.batch_means([1, 2, 3], 3).tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="do not make"):
        estimation.batch_means([1, 2], 3)


def test_mser_cuts_the_transient_and_nothing_else() -> None:
    noise = np.random.default_rng(3).normal(0, 1, 1000)
    transient = np.concatenate([np.linspace(50, 0, 100), np.zeros(900)])
    assert 80 <= estimation.mser(noise + transient) <= 150
    assert estimation.mser([7.0] * 100) == 0
    assert estimation.mser(np.arange(1000.0)) == 500
    assert estimation.mser([1, 2, 3]) == 0
    assert estimation.mser([9, 1, 1, 1, 1, 1], batch=1) == 1


def test_ks_distances_known_by_hand() -> None:
    assert estimation.ks_uniform([0.5], 0, 1) == pytest.approx(0.5)
    assert estimation.ks_uniform([0.125, 0.375, 0.625, 0.875], 0, 1) == pytest.approx(0.125)
    assert estimation.ks_uniform([-5, 5], 0, 1) == pytest.approx(0.5)
    assert estimation.ks_exponential([math.log(2) * 3], 3.0) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="no distance"):
        estimation.ks_uniform([], 0, 1)


def test_ks_accepts_the_law_and_denies_another() -> None:
    random = np.random.default_rng(5)
    n = 5000
    assert estimation.ks_exponential(random.exponential(4.0, n), 4.0) < estimation.ks_critical(n)
    assert estimation.ks_exponential(random.gamma(2.0, 2.0, n), 4.0) > 2 * estimation.ks_critical(n)
    assert estimation.ks_uniform(random.uniform(3, 9, n), 3, 9) < estimation.ks_critical(n)
    assert estimation.ks_critical(100) == pytest.approx(0.1358)


def test_index_of_dispersion() -> None:
    second = 1_000_000_000
    random = np.random.default_rng(9)
    poisson = np.sort(random.uniform(0, 500 * second, 20_000))
    assert estimation.index_of_dispersion(poisson, second) == pytest.approx(1.0, abs=0.2)
    assert estimation.index_of_dispersion(np.arange(10_000) * second // 10, second) == 0.0
    assert estimation.index_of_dispersion(np.repeat(poisson[:4000], 10), second) > 5
    assert estimation.index_of_dispersion([0, 1, 12, 20], 10) == pytest.approx(0.5 / 1.5)


@pytest.mark.parametrize("offsets", [[], [5], [19], [25]])
def test_dispersion_without_whole_windows_or_arrivals_is_refused(offsets: list[int]) -> None:
    with pytest.raises(ValueError, match="dispersion"):
        estimation.index_of_dispersion(offsets, 10)


@pytest.mark.parametrize("call", [
    lambda: estimation.needed_n(1.0), lambda: estimation.needed_n(0.5, 1.0),
    lambda: estimation.order_statistic_ranks(10, 0.0),
    lambda: estimation.order_statistic_ranks(0, 0.5), lambda: estimation.order_statistic_ranks(5, 0.5, math.nan),
    lambda: estimation.normal_quantile(2), lambda: estimation.student_t_quantile(0.5, 0),
    lambda: estimation.sectioning_interval([1], 1.0), lambda: estimation.quantile_interval(Histogram(), 0.5),
])
def test_what_has_no_answer_is_refused(call: object) -> None:
    with pytest.raises(ValueError, match=r"share|no values|degrees|sections"):
        call()  # type: ignore[operator]
