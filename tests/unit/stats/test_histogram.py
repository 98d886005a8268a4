import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.stats.histogram import HIGHEST, Histogram, bucket_of, highest_in, lowest_in, rank

VALUES = st.integers(0, HIGHEST) | st.integers(0, 5000) | st.sampled_from([0, 1, 1023, 1024, 2047, 2048, HIGHEST])
LISTS = st.lists(VALUES, min_size=1, max_size=60)


def of(*values: int) -> Histogram:
    histogram = Histogram()
    histogram.record(np.asarray(values, np.int64))
    return histogram


def state(histogram: Histogram) -> tuple[object, ...]:
    values, counts = histogram.nonzero()
    extremes = (histogram.min, histogram.max) if histogram.count else ()
    return histogram.count, histogram.total, histogram.overflow, *extremes, values.tolist(), counts.tolist()


def reference_bucket(value: int) -> int:
    """HdrHistogram's own arithmetic: bucket by bit length, sub-bucket by shift."""
    octave = max(0, value.bit_length() - 11)
    return (octave << 10) + (value >> octave)


@given(LISTS)
def test_the_bucket_index_is_that_of_the_reference_arithmetic(values: list[int]) -> None:
    assert bucket_of(np.asarray(values, np.int64)).tolist() == [reference_bucket(v) for v in values]


def test_every_boundary_between_octaves_has_its_own_bucket() -> None:
    for power in range(1, 42):
        around = np.asarray([(1 << power) - 1, 1 << power, (1 << power) + 1], np.int64)
        assert bucket_of(around).tolist() == [reference_bucket(int(v)) for v in around]


@given(VALUES)
def test_a_bucket_is_at_most_a_thousandth_wide(value: int) -> None:
    bucket = bucket_of(np.asarray([value], np.int64))
    top = int(highest_in(bucket)[0])
    assert value <= top <= value * 1.001
    assert bucket_of(np.asarray([top], np.int64)) == bucket


@given(VALUES)
def test_a_bucket_begins_where_the_one_below_it_ends(value: int) -> None:
    bucket = bucket_of(np.asarray([value], np.int64))
    low = int(lowest_in(bucket)[0])
    assert low <= value
    assert bucket_of(np.asarray([low], np.int64)) == bucket
    assert low == (int(highest_in(bucket - 1)[0]) + 1 if bucket[0] else 0)


@given(LISTS, st.sampled_from([0.0, 0.01, 0.07, 0.29, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0]))
def test_a_percentile_is_the_ceil_pn_th_smallest(values: list[int], p: float) -> None:
    k = max(1, math.ceil(Decimal(str(p)) * len(values)))
    exact = sorted(values)[k - 1]
    found = of(*values).percentile(p)
    assert exact <= found <= min(max(values), exact * 1.001)


@pytest.mark.parametrize(("p", "n", "k"), [
    (0.07, 100, 7), (0.29, 100, 29), (0.57, 100, 57), (0.999, 1000, 999), (0.5, 1, 1), (0.5, 3, 2), (0.0, 9, 1),
    (1.0, 9, 9), (0.99, 10**9, 990_000_000),
])
def test_the_rank_of_a_decimal_is_exact(p: float, n: int, k: int) -> None:
    assert rank(p, n) == k


@given(LISTS, LISTS)
def test_merging_is_recording_both(a: list[int], b: list[int]) -> None:
    merged = of(*a)
    merged.merge(of(*b))
    assert state(merged) == state(of(*a, *b))


@given(LISTS, st.integers(0, 60))
def test_recording_in_parts_is_recording_at_once(values: list[int], cut: int) -> None:
    parts = of(*values[:cut])
    parts.record(np.asarray(values[cut:], np.int64))
    assert state(parts) == state(of(*values))


@given(LISTS, VALUES)
def test_count_at_or_below_is_right_to_the_bucket(values: list[int], limit: int) -> None:
    counted = of(*values).count_at_or_below(limit)
    assert sum(v <= limit for v in values) <= counted <= sum(v <= limit * 1.001 for v in values)


@given(LISTS)
def test_min_max_total_and_mean_are_exact(values: list[int]) -> None:
    histogram = of(*values)
    assert (histogram.min, histogram.max, histogram.total) == (min(values), max(values), sum(values))
    assert histogram.mean == sum(values) / len(values)
    assert histogram.at_rank(1) == min(values)
    assert histogram.at_rank(len(values)) == max(values)


@given(LISTS)
def test_counts_by_bucket_start_at_bucket_zero(values: list[int]) -> None:
    counts = of(*values).counts
    assert counts.sum() == len(values)
    assert counts[reference_bucket(max(values))] > 0
    assert counts.size == (reference_bucket(max(values)) | 1023) + 1


def test_what_is_beyond_an_hour_is_counted_and_never_lost() -> None:
    histogram = of(5, HIGHEST, HIGHEST + 1, 2 * HIGHEST)
    assert (histogram.count, histogram.overflow) == (4, 2)
    assert histogram.max == 2 * HIGHEST
    assert histogram.at_rank(2) == HIGHEST
    assert histogram.at_rank(3) == 2 * HIGHEST
    assert histogram.total == 5 + 4 * HIGHEST + 1
    assert histogram.count_at_or_below(HIGHEST) == 2
    assert histogram.count_at_or_below(2 * HIGHEST) == 4


def test_only_overflow_is_still_a_histogram() -> None:
    histogram = of(HIGHEST + 7)
    histogram.merge(of(HIGHEST + 9))
    assert (histogram.count, histogram.overflow, histogram.percentile(0.5)) == (2, 2, HIGHEST + 7)
    assert histogram.counts.size == 0


def test_the_sum_does_not_wrap() -> None:
    huge = (1 << 63) - 1
    assert of(huge, huge, huge).total == 3 * huge


def test_a_negative_value_is_refused_and_nothing_is_counted() -> None:
    histogram = of(3)
    with pytest.raises(ValueError, match="-1"):
        histogram.record(np.asarray([5, -1], np.int64))
    assert state(histogram) == state(of(3))


def test_fractions_are_refused_and_smaller_integers_are_taken() -> None:
    histogram = Histogram()
    with pytest.raises(TypeError):
        histogram.record(np.asarray([1.5]))
    histogram.record(np.asarray([7], np.int32))
    assert histogram.max == 7


def test_an_empty_histogram_has_no_numbers() -> None:
    empty = Histogram()
    empty.record(np.zeros(0, np.int64))
    empty.merge(Histogram())
    for read in (lambda: empty.min, lambda: empty.max, lambda: empty.mean, lambda: empty.percentile(0.5)):
        with pytest.raises(ValueError, match=r"empty|no values"):
            read()
    assert (empty.count, empty.total, empty.count_at_or_below(10), empty.counts.size) == (0, 0, 0, 0)


@pytest.mark.parametrize("p", [-0.1, 1.1, 99.0, math.nan])
def test_a_quantile_is_a_share(p: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        of(1).percentile(p)


@pytest.mark.parametrize("k", [0, -1, 2])
def test_a_rank_that_does_not_exist_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match="rank"):
        of(1).at_rank(k)


def test_a_copy_shares_nothing() -> None:
    one = of(1, 2)
    two = one.copy()
    two.record(np.asarray([2], np.int64))
    assert (one.count, two.count, one.nonzero()[1].tolist()) == (2, 3, [1, 1])


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_memory_is_that_of_the_octaves_in_use(seed: int) -> None:
    values = np.random.default_rng(seed).integers(100_000_000, 400_000_000, 1000)
    histogram = Histogram()
    histogram.record(values)
    assert histogram._counts.size <= 3 * 1024
