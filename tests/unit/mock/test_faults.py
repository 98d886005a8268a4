"""Which requests go wrong, and how many."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.mock.faults import KINDS, Fault, Faults, parse_fault
from loadgen.types import UsageError


def test_shares_are_read() -> None:
    assert parse_fault("500:0.01") == Fault("500", 0.01)
    assert parse_fault("reset:1/8") == Fault("reset", 0.125, 8)
    assert parse_fault("stall:0") == Fault("stall", 0.0)


@pytest.mark.parametrize(
    "text", ["500", "500:", "500:2", "500:-1", "500:x", "500:nan", "500:2/3", "500:1/0", "cut:1/x"]
)
def test_other_shares_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"0\.01"):
        parse_fault(text)


def test_an_unknown_kind_is_told_the_known_ones() -> None:
    with pytest.raises(UsageError, match="slow-headers"):
        parse_fault("explode:0.1")


def test_shares_above_one_are_refused() -> None:
    with pytest.raises(UsageError, match="more than 1"):
        Faults([Fault("500", 0.6), Fault("cut", 0.5)], 0)


@given(st.integers(1, 40), st.integers(1, 5))
def test_every_nth_is_exact(every: int, laps: int) -> None:
    faults = Faults([Fault("500", 1 / every, every)], 0)
    drawn = [faults.draw(number) for number in range(1, every * laps + 1)]
    assert [i + 1 for i, kind in enumerate(drawn) if kind] == [every * (lap + 1) for lap in range(laps)]
    assert faults.counts == {"500": laps}


@given(st.integers(len(KINDS), 60), st.integers(1, 5))
def test_all_kinds_at_once_are_exact(every: int, laps: int) -> None:
    faults = Faults([Fault(kind, 1 / every, every) for kind in KINDS], 0)
    drawn = Counter(faults.draw(number) for number in range(1, every * laps + 1))
    assert {kind: drawn[kind] for kind in KINDS} == dict.fromkeys(KINDS, laps)


def test_where_two_meet_the_later_one_moves_on() -> None:
    faults = Faults([Fault("500", 1 / 2, 2), Fault("cut", 1 / 3, 3)], 0)
    drawn = [faults.draw(number) for number in range(1, 8)]
    assert drawn == ["", "500", "cut", "500", "cut", "500", ""]


@given(st.integers(0, 2**32))
def test_the_seed_decides(seed: int) -> None:
    faults = [Fault("500", 0.2), Fault("cut", 0.3)]
    one, same = Faults(faults, seed), Faults(faults, seed)
    assert [one.draw(n) for n in range(1, 50)] == [same.draw(n) for n in range(1, 50)]


def test_shares_come_out() -> None:
    faults = Faults([Fault("500", 0.2), Fault("cut", 0.3)], 1)
    n = 20_000
    drawn = Counter(faults.draw(number) for number in range(1, n + 1))
    assert drawn["500"] / n == pytest.approx(0.2, abs=0.015)
    assert drawn["cut"] / n == pytest.approx(0.3, abs=0.015)
