"""The rank statistics against counting out every case, and against published tables."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.stats.rank_tests import MOST_EXACT, hodges_lehmann, holm, least_p, mann_whitney, needed_runs, ratio

SMALL = st.lists(st.integers(0, 6), min_size=1, max_size=5)  # few different values, so that ties are common
DISTINCT = st.lists(st.floats(1, 1e6), min_size=2, max_size=10, unique=True)


def counted_out(a: list[float], b: list[float]) -> float:
    """The p by definition: U of every way to deal the values out, as far from its middle as that seen, or further."""
    def away(chosen: tuple[float, ...], others: list[float]) -> float:
        return abs(sum((x > y) + (x == y) / 2 for x in chosen for y in others) - len(a) * len(b) / 2)
    pool = [*a, *b]
    seen = away(tuple(a), b)
    all_ways = []
    for places in itertools.combinations(range(len(pool)), len(a)):
        rest = [pool[i] for i in range(len(pool)) if i not in places]
        all_ways.append(away(tuple(pool[i] for i in places), rest) >= seen - 1e-9)
    return sum(all_ways) / len(all_ways)


@settings(max_examples=150, deadline=None)
@given(SMALL, SMALL)
def test_p_is_exact_also_with_ties(a: list[float], b: list[float]) -> None:
    assert mann_whitney(a, b) == pytest.approx(counted_out(a, b), rel=1e-9)


@given(SMALL, SMALL)
def test_p_is_the_same_from_either_side_and_for_any_increasing_change(a: list[float], b: list[float]) -> None:
    p = mann_whitney(a, b)
    assert 0 < p <= 1
    assert mann_whitney(b, a) == pytest.approx(p)
    assert mann_whitney([math.exp(x) for x in a], [math.exp(x) for x in b]) == pytest.approx(p)


def test_p_of_samples_that_lie_apart_is_the_least_there_is() -> None:
    assert mann_whitney([1, 2, 3, 4], [5, 6, 7, 8]) == pytest.approx(2 / 70)
    assert mann_whitney([6, 7, 8, 9, 10], [1, 2, 3, 4, 5]) == pytest.approx(2 / 252) == least_p(5, 5)
    assert mann_whitney([3, 3], [3, 3, 3]) == 1.0


def test_p_of_a_published_example() -> None:
    # Hollander, Wolfe & Chicken 2014, example 4.1 (permeability of the amnion): 10 + 5 values, W = 30, P(W >= 30) =
    # .1272 of one side.
    at_term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    early = [1.15, 0.88, 0.90, 0.74, 1.21]
    assert mann_whitney(at_term, early) == pytest.approx(2 * 0.1272, abs=2e-4)


def test_above_the_limit_the_normal_law_takes_over_without_a_jump() -> None:
    rng = np.random.default_rng(1)
    half = MOST_EXACT // 2
    a, b = np.round(rng.normal(0, 3, half)), np.round(rng.normal(1, 3, half))
    exact = mann_whitney(a.tolist(), b.tolist())
    approximate = mann_whitney([*a, *a[:1]], b.tolist())
    assert approximate == pytest.approx(exact, rel=0.15)
    assert mann_whitney([1.0] * 60, [1.0] * 60) == 1.0
    assert mann_whitney(list(range(60)), list(range(100, 160))) < 1e-15


@given(DISTINCT)
def test_the_interval_excludes_no_shift_exactly_when_the_test_denies_it(values: list[float]) -> None:
    a, b = values[: len(values) // 2], values[len(values) // 2 :]
    shift = hodges_lehmann(a, b)
    if shift.low is None or shift.high is None:
        assert least_p(len(a), len(b)) > 0.05
    else:
        assert (shift.low > 0 or shift.high < 0) == (mann_whitney(a, b) <= 0.05)
        assert shift.low <= shift.value <= shift.high
        assert 0.95 <= shift.confidence < 1


def test_the_interval_has_the_depth_of_the_tables() -> None:
    # 5 + 5: the third smallest and the third largest of 25 differences have 96.8 % (Hollander et al., table A.6).
    base, new = [0, 1, 2, 3, 4], [10, 20, 30, 40, 50]
    differences = sorted(y - x for x in base for y in new)
    shift = hodges_lehmann(base, new)
    assert (shift.low, shift.high) == (differences[2], differences[-3])
    assert shift.confidence == pytest.approx(1 - 8 / 252)
    assert hodges_lehmann([1, 2, 3], [4, 5, 6])[1:] == (None, None, 0.0)


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_a_large_sample_has_an_interval_too(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0, 1, 60), rng.normal(5, 1, 60)
    shift = hodges_lehmann(a.tolist(), b.tolist())
    assert shift.low is not None
    assert shift.high is not None
    assert 4 < shift.low < shift.value < shift.high < 6


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(2000):
        shift = hodges_lehmann(rng.exponential(1, 5).tolist(), (rng.exponential(1, 5) + 2).tolist())
        assert shift.low is not None
        assert shift.high is not None
        inside += shift.low <= 2 <= shift.high
    assert 0.955 < inside / 2000 < 0.98  # 0.968 by the law, 3.3 standard errors


@given(DISTINCT, st.floats(0.5, 2))
def test_a_ratio_is_found_whatever_the_unit(values: list[float], factor: float) -> None:
    found = ratio(values, [value * factor for value in values])
    assert found.value == pytest.approx(factor)
    turned = ratio([value * factor for value in values], values)
    assert turned.value == pytest.approx(1 / factor)


@pytest.mark.parametrize("bad", [([], [1.0]), ([1.0], [])])
def test_an_empty_sample_is_an_error(bad: tuple[list[float], list[float]]) -> None:
    for test in (mann_whitney, hodges_lehmann):
        with pytest.raises(ValueError, match="empty"):
            test(*bad)
    with pytest.raises(ValueError, match="negative"):
        ratio([-1.0], [1.0])


def test_a_ratio_with_0_is_0_infinite_or_1() -> None:
    some, none = [9.0, 9.1, 9.2, 9.3, 9.4], [0.0] * 5
    assert ratio(some, none) == (0.0, 0.0, 0.0, pytest.approx(1 - 8 / 252))
    assert ratio(none, some)[:3] == (math.inf, math.inf, math.inf)
    assert ratio(none, none)[:3] == (1.0, 1.0, 1.0)
    one_is = ratio([0.0, *some[1:]], some)
    assert (one_is.value, one_is.high) == (pytest.approx(1.0, rel=0.02), math.inf)
    assert 0.9 < (one_is.low or 0.0) < 1


def test_holm_as_published() -> None:
    # Holm 1979; the same figures as in R's p.adjust(c(0.01, 0.02, 0.03, 0.04), "holm").
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_helps_a_p_and_keeps_the_order(ps: list[float]) -> None:
    adjusted = holm(ps)
    assert all(p <= q <= 1 for p, q in zip(ps, adjusted, strict=True))
    assert min(adjusted) == pytest.approx(min(1, len(ps) * min(ps)))
    pairs = sorted(zip(ps, adjusted, strict=True))
    assert [q for _, q in pairs] == sorted(q for _, q in pairs)


def test_how_many_runs_a_verdict_needs() -> None:
    assert (needed_runs(0.05), needed_runs(0.01)) == (4, 5)
    assert [needed_runs(0.05, family) for family in (2, 6, 7, 23, 24)] == [5, 5, 6, 6, 7]
    for alpha, family in ((0, 1), (1, 1), (0.05, 0)):
        with pytest.raises(ValueError, match="alpha"):
            needed_runs(alpha, family)
