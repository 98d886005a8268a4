"""Tests of how values of an axis are written, and of the order in which combinations are run."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.sweep.axes import MOST, combinations, paired, parse_lengths, parse_numbers
from loadgen.types import UsageError


@pytest.mark.parametrize(("text", "values"), [
    ("4", (4,)), ("1,2,4,8", (1, 2, 4, 8)), ("1..64/2x", (1, 2, 4, 8, 16, 32, 64)), ("1..9/2", (1, 3, 5, 7, 9)),
    ("1..10/2", (1, 3, 5, 7, 9)), ("0.5,1..4/2x,4", (0.5, 1, 2, 4)), ("0.1..0.3/0.1", (0.1, 0.2, 0.3)),
    ("1..2/1.5x", (1, 1.5)), ("7..7/2x", (7,)), ("8, 4", (8, 4))])
def test_lists_and_ranges(text: str, values: tuple[float, ...]) -> None:
    assert parse_numbers(text) == values


@pytest.mark.parametrize("text", [
    "", "a", "1,,2", "1..", "1..9", "9..1/2", "1..9/0", "1..9/1x", "1..9/0.5x", "0..8/2", "0", "1,0", "-1", "1e400",
    "1..9/2y", "nan", "inf", "1;2", "1..1000000/1", "1_0", "¹", "9" * 9 + "..1/2", "9" * 400,
    "9" * 5000, "0." + "1" * 5000, "1..2/0." + "0" * 5000 + "1"])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_numbers(text)


def test_fractions_are_refused_where_only_whole_numbers_make_sense() -> None:
    assert parse_numbers("1..8/2x", whole=True) == (1, 2, 4, 8)
    with pytest.raises(UsageError, match="fraction"):
        parse_numbers("1..4/1.5x", whole=True)


@given(st.integers(1, 100), st.integers(1, 1000), st.integers(2, 10), st.booleans())
def test_a_range_begins_with_its_first_value_and_keeps_its_step(low: int, more: int, by: int, times: bool) -> None:
    values = parse_numbers(f"{low}..{low + more}/{by}{'x' if times else ''}")
    assert values[0] == low and values[-1] <= low + more
    assert all(two == one * by if times else two == one + by for one, two in pairwise(values))
    assert (values[-1] * by if times else values[-1] + by) > low + more
    assert len(values) <= MOST


def test_lengths_are_numbers_or_laws() -> None:
    assert parse_lengths(["128,512", "uniform:100,900"]) == ("128", "512", "uniform:100,900")
    assert parse_lengths(["128..512/2x"]) == ("128", "256", "512")
    with pytest.raises(UsageError):
        parse_lengths(["1.5"])


def test_loads_change_first_and_servers_last() -> None:
    axes = {"rate": (1.0, 2.0), "input_tokens": ("10", "20"), "backend": ("a", "b")}
    found = list(combinations(axes))
    assert found[:3] == [{"backend": "a", "input_tokens": "10", "rate": 1.0},
                         {"backend": "a", "input_tokens": "10", "rate": 2.0},
                         {"backend": "a", "input_tokens": "20", "rate": 1.0}]
    assert len(found) == len({str(one) for one in found}) == 8


def test_as_many_backends_as_urls_are_pairs() -> None:
    axes = {"backend": ("vllm", "tgi"), "url": ("http://a", "http://b"), "rate": (1.0, 2.0)}
    assert paired(axes)
    assert [(one["backend"], one["url"], one["rate"]) for one in combinations(axes)] == [
        ("vllm", "http://a", 1.0), ("vllm", "http://a", 2.0), ("tgi", "http://b", 1.0), ("tgi", "http://b", 2.0)]
    assert not paired({"backend": ("vllm",), "url": ("http://a", "http://b")})
    with pytest.raises(UsageError, match="2 backends and 3 urls"):
        list(combinations({"backend": ("a", "b"), "url": ("x", "y", "z")}))


def test_no_axis_is_one_place() -> None:
    assert list(combinations({})) == [{}]
