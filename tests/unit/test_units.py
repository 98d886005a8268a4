"""Durations, rates and counts as users write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.types import UsageError
from loadgen.units import LONGEST, format_duration, parse_count, parse_duration, parse_rate

MS = 1_000_000


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("500us", 500_000),
        ("500ms", 500 * MS),
        ("1.5s", 1_500 * MS),
        ("60s", 60_000 * MS),
        ("5m", 300_000 * MS),
        ("1h", 3_600_000 * MS),
        ("0.001us", 1),
        ("0", 0),
        ("0s", 0),
    ],
)
def test_durations_are_read_exactly(text: str, length: int) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize(
    "text",
    ["", "60", "1.5", "s", "60 s", " 60s", "60S", "60sec", "-1s", "+1s", "1e3s", ".5s", "5.s", "1m30s", "1d", "1ns",
     "inf", "nans", "٣s", "60s\n", "0.0001us", "99999999999h", "9" * 5000 + "s", "9" * 5000],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_duration(text)


def test_a_bare_number_is_told_its_unit() -> None:
    with pytest.raises(UsageError, match=r"add a unit, e\.g\. 60s"):
        parse_duration("60")


@pytest.mark.parametrize(
    ("length", "text"),
    [(0, "0s"), (1, "0.001us"), (250, "0.25us"), (1_500 * MS, "1500ms"), (60_000 * MS, "1m"), (90_000 * MS, "90s"),
     (1_000_001, "1000.001us")],
)  # fmt: skip
def test_durations_are_written_without_fractions(length: int, text: str) -> None:
    assert format_duration(length) == text


@given(st.integers(0, LONGEST))
def test_what_is_written_reads_back(length: int) -> None:
    assert parse_duration(format_duration(length)) == length


def test_a_negative_duration_is_a_bug() -> None:
    with pytest.raises(ValueError, match="not negative"):
        format_duration(-1)


@given(st.text(max_size=8))
def test_no_text_does_worse_than_a_usage_error(text: str) -> None:
    for parse in (parse_duration, parse_rate, parse_count):
        try:
            assert parse(text) >= 0
        except UsageError as error:
            assert repr(text) in str(error)


@pytest.mark.parametrize(("text", "rate"), [("10", 10.0), ("0.5", 0.5), ("1e3", 1000.0)])
def test_rates(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e999", "10/s", "1_0", "", "ten"])
def test_a_rate_is_a_positive_number(text: str) -> None:
    with pytest.raises(UsageError, match="write a positive number"):
        parse_rate(text)


def test_counts() -> None:
    assert parse_count("1000") == 1000
    assert parse_count("0", least=0) == 0


@pytest.mark.parametrize("text", ["0", "-1", "1.0", "1e3", "1k", "1_000", "", "9" * 30])
def test_a_count_is_a_positive_whole_number(text: str) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        parse_count(text)
