"""The mock's delays, heap and slots; instants are made up."""

import statistics
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.mock.delays import TABLE, Delay
from loadgen.mock.pacing import TokenPacer
from loadgen.types import UsageError

MS = 1_000_000
WIDE = Delay("normal:1ms,10ms")


def stream(number: int = 1, arrival: int = 0, prompt_tokens: int = 0, silent: int = 0, delay: int = 0) -> Any:
    record = SimpleNamespace(number=number, arrival=arrival, prompt_tokens=prompt_tokens, queued=0)
    return SimpleNamespace(record=record, delay=delay, silent=silent, gone=False, running=False)


def pacer(ttft: str = "50ms", per_token: int = 0, itl: str = "10ms", per_stream: int = 0, slots: int = 0) -> TokenPacer:
    return TokenPacer(Delay(ttft), per_token, Delay(itl), per_stream, slots)


def test_a_duration_is_constant() -> None:
    delay = Delay("20ms")
    assert {delay.at(i) for i in range(100)} == {20 * MS}


@pytest.mark.parametrize(
    ("text", "mean", "median"),
    [
        ("normal:200ms,20ms", 200 * MS, 200 * MS),
        ("lognormal:200ms,0.5", 200 * MS * 1.1331, 200 * MS),
        ("uniform:100ms,300ms", 200 * MS, 200 * MS),
        ("exponential:20ms", 20 * MS, 20 * MS * 0.6931),
    ],
)
def test_a_lap_of_the_table_has_the_law(text: str, mean: float, median: float) -> None:
    delay = Delay(text)
    values = [delay.at(i) for i in range(TABLE)]
    assert statistics.fmean(values) == pytest.approx(mean, rel=0.01)
    assert statistics.median(values) == pytest.approx(median, rel=0.001)


def test_the_seed_decides_the_order_and_nothing_else() -> None:
    one, same, other = (Delay("exponential:20ms", seed) for seed in ("1", "1", "2"))
    assert one.values == same.values != other.values
    assert sorted(one.values) == sorted(other.values)


@given(st.integers(0, 10**9), st.integers(0, 10**6))
def test_delays_are_never_negative(number: int, position: int) -> None:
    paced = TokenPacer(Delay("0"), 0, WIDE, 0, 0)
    assert paced.gap(number, position) >= 0


@pytest.mark.parametrize("text", ["20", "normal:20ms", "normal:20ms,x", "normal:20ms,-2ms", "zipf:20ms", "uniform:,",
                                  "exponential:20ms,1", "lognormal:20,0.5", "lognormal:20ms,nan", "lognormal:20ms,-1",
                                  "normal:20ms,0", "uniform:2ms,1ms"])  # fmt: skip
def test_other_delays_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"invalid delay.*write|add a unit"):
        Delay(text)


def test_the_first_token_is_due_after_ttft_and_what_the_prompt_adds() -> None:
    paced = pacer(per_token=MS)
    paced.arrive(stream(arrival=7, prompt_tokens=30), 7)
    assert paced.heap[0][:2] == (7 + 80 * MS, 1)


def test_an_answer_in_one_piece_is_due_with_its_last_token() -> None:
    paced = pacer()
    paced.arrive(stream(silent=9), 0)
    assert paced.heap[0][0] == 50 * MS + 9 * 10 * MS


def test_held_headers_move_the_first_token() -> None:
    paced = pacer()
    paced.arrive(stream(delay=5 * MS), 0)
    assert paced.heap[0][0] == 55 * MS


def test_streams_wait_for_a_slot_and_start_when_it_was_due_to_be_free() -> None:
    paced = pacer(slots=1)
    first, second, third = stream(1), stream(2, arrival=5), stream(3, arrival=6)
    for each in (first, second, third):
        paced.arrive(each, each.record.arrival)
    assert [entry[1] for entry in paced.heap] == [1]
    paced.leave(100 * MS)
    assert second.record.queued == 100 * MS - 5
    assert (150 * MS, 2, second) in paced.heap
    assert list(paced.waiting) == [third]
    assert paced.running == 1


def test_a_slot_is_not_given_to_a_client_that_is_gone() -> None:
    paced = pacer(slots=1)
    first, second, third = stream(1), stream(2), stream(3)
    for each in (first, second, third):
        paced.arrive(each, 0)
    second.gone = True
    paced.leave(MS)
    assert third.running
    assert not second.running
    paced.leave(2 * MS)
    assert paced.running == 0


def test_a_slot_that_became_free_before_the_arrival_costs_no_negative_wait() -> None:
    paced = pacer(slots=1)
    paced.arrive(stream(1), 0)
    late = stream(2, arrival=200 * MS)
    paced.arrive(late, 200 * MS)
    paced.leave(199 * MS)
    assert late.record.queued == 0


def test_running_streams_slow_each_other_down() -> None:
    paced = pacer(per_stream=MS)
    for number in range(1, 4):
        paced.arrive(stream(number), 0)
    assert paced.gap(1, 0) == 13 * MS
    paced.leave(0)
    assert paced.gap(1, 0) == 12 * MS
