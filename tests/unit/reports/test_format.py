"""How numbers and foreign texts are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from loadgen.reports.format import clean, count, duration, quantity, rate, share, three_digits


@pytest.mark.parametrize(("ns", "written"), [
    (None, "-"), (0, "0 ms"), (5, "5.00 ns"), (1_500, "1.50 us"), (60_000, "60.0 us"), (99_999, "100 us"),
    (100_000, "0.10 ms"), (120_000, "0.12 ms"), (999_999, "1.00 ms"), (1_234_567, "1.23 ms"), (19_800_000, "19.8 ms"),
    (184_000_000, "184 ms"), (999_400_000, "999 ms"), (999_600_000, "1.00 s"), (2_743_000_000, "2.74 s"),
    (99_960_000_000, "100 s"), (1_234_000_000_000, "1,234 s"), (-1_064_000, "-1.06 ms"),
])
def test_durations(ns: int | None, written: str) -> None:
    assert duration(ns) == written


@given(st.integers(1, 3_600_000_000_000))
def test_a_duration_reads_back_within_its_digits(ns: int) -> None:
    number, unit = duration(ns).split()
    back = float(number.replace(",", "")) * {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}[unit]
    assert back == pytest.approx(ns, rel=0.051 if unit == "ms" and ns < 1_000_000 else 0.0051)


@pytest.mark.parametrize(("value", "written"), [
    (None, "-"), (0, "0 %"), (0.041, "4.1 %"), (0.0033, "0.33 %"), (0.00001, "<0.01 %"), (0.99951, ">99.9 %"),
    (0.983, "98.3 %"), (1, "100 %"), (-0.12, "-12.0 %"), (1.5, "150.0 %"),
])
def test_shares(value: float | None, written: str) -> None:
    assert share(value) == written


@pytest.mark.parametrize(("value", "unit", "written"), [
    (500_000_000, "ns", "500 ms"), (5_000_000, "ns", "5 ms"), (1_500_000, "ns", "1.5 ms"), (0.05, "share", "5 %"),
    (10.0, "per_second", "10/s"), (9.5, "per_second", "9.5/s"), (1000.0, "count", "1,000"),
    (9.61, "per_second", "9.61/s"), (None, "ns", "-"), ("12 to 240", "", "12 to 240"), ("a\nb", "", "a b"),
    (3.0, "runs", "3 runs"), (100.0, "", "100"),
])
def test_quantities_leave_out_zeros(value: float | str | None, unit: str, written: str) -> None:
    assert quantity(value, unit) == written


def test_counts_and_rates() -> None:
    assert [count(75_946), count(None), rate(9.97), rate(120.44), rate(5104), rate(None)] == [
        "75,946", "-", "9.97", "120.4", "5,104", "-"]
    assert [three_digits(v) for v in (0, 9.999, 99.99, 1234.5)] == ["0.00", "10.0", "100", "1,234"]


@given(st.text(max_size=80), st.integers(8, 60))
def test_a_cleaned_text_is_one_safe_line_that_fits(text: str, width: int) -> None:
    line = clean(text, width)
    assert cell_len(line) <= width
    assert line.isprintable()
    assert clean(line) == line


def test_what_is_cut_says_so() -> None:
    assert clean("a" * 20, 10) == "a" * 7 + "..."
    assert clean("日本語日本語", 9) == "日本語..."
    assert clean("\x1b[31mred\x07\u202e!\ud800") == "?[31mred?!?"
