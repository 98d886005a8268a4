"""The recorder: definitions of the metrics, exact sums, and that the division into batches doesn't matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.recorder import BATCHES, Recorder
from loadgen.recorder.batch import Batch
from loadgen.recorder.bins import Bins
from loadgen.recorder.formulas import MOST_IN_AN_EVENT, Tokens, measure, spread
from loadgen.slo import expand
from loadgen.stats.histogram import Histogram
from loadgen.types import ABSENT, CENSORED, COOLDOWN, MEASURED, WARMUP, ClockSample, Health, RequestRow, Window
from support.made_runs import MS, S, recorded, row, run_of, window_of

WINDOW = Window(0, 10 * S, 1)


def fold(*rows: RequestRow, window: Window = WINDOW, slo: tuple[str, ...] = ()) -> Recorder:
    recorder = Recorder(window, expand(slo))
    recorder.fold(Batch.of(rows))
    return recorder


def values(recorder: Recorder, name: str) -> tuple[int, int, int, int]:
    histogram = recorder.metrics[name]
    return histogram.count, histogram.min, histogram.max, histogram.total


def test_the_metrics_of_one_request() -> None:
    one = row(due=1 * S, ttft=200 * MS, itl=20 * MS, tokens=5, first_answer=1 * S + 20_000 + 240 * MS, connect=3 * MS,
              tls=4 * MS, server={"server_queue": 7 * MS, "server_unknown": ABSENT})
    recorder = fold(one)
    expected = {"ttft": 200 * MS, "ttft_scheduled": 200 * MS + 20_000, "ttfo": 240 * MS, "tpot": 20 * MS,
                "max_gap": 20 * MS, "e2e": 280 * MS, "e2e_scheduled": 280 * MS + 20_000, "lag": 20_000,
                "connect": 3 * MS, "tls": 4 * MS, "input_tokens": 100, "output_tokens": 5, "server_queue": 7 * MS}
    for name, value in expected.items():
        assert values(recorder, name) == (1, value, value, value), name
    for name, count, value in (("itl", 4, 20 * MS), ("chunk_gap", 4, 20 * MS), ("receive_lag", 5, 30_000)):
        assert values(recorder, name) == (count, value, value, count * value), name
    assert "server_unknown" not in recorder.metrics


def test_a_chunk_of_several_tokens_shares_its_gap() -> None:
    recorder = fold(row(tokens=3, itl=10, token_count=[2, 3, 4], output_tokens=9))
    assert values(recorder, "itl") == (7, 2, 4, 20)
    assert values(recorder, "chunk_gap") == (2, 10, 10, 20)
    assert values(recorder, "tpot")[1] == 20 // 8
    assert (recorder.measured.tokens, recorder.measured.shared) == (9, 9)


@pytest.mark.parametrize("one", [row(tokens=1), row(tokens=1, token_count=[5], output_tokens=5)])
def test_tpot_is_absent_and_not_zero_without_a_second_instant(one: RequestRow) -> None:
    recorder = fold(one)
    assert [recorder.metrics[name].count for name in ("tpot", "itl", "max_gap", "ttft")] == [0, 0, 0, 1]


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(1, 9)), max_size=30))
def test_a_spread_gap_sums_to_itself(pairs: list[tuple[int, int]]) -> None:
    gaps = np.asarray([gap for gap, _ in pairs], np.int64)
    tokens = np.asarray([count for _, count in pairs], np.int64)
    parts = spread(gaps, tokens)
    assert parts.size == tokens.sum() and parts.sum() == gaps.sum()
    for part, (gap, count) in zip(np.split(parts, np.cumsum(tokens)[:-1]) if pairs else [], pairs, strict=True):
        assert part.sum() == gap and part.max() - part.min() <= 1 and part.size == count


EVENTS = st.lists(st.tuples(st.integers(0, 10**9), st.integers(1, 6)), max_size=8)


@given(st.lists(EVENTS, min_size=1, max_size=6))
def test_inter_token_latencies_sum_to_last_less_first(rows: list[list[tuple[int, int]]]) -> None:
    batch = Batch.of([
        row(i, tokens=len(events), token_at=np.cumsum([0, *(gap for gap, _ in events)])[1:].tolist(),
            token_count=[count for _, count in events], token_lag=[0] * len(events))
        for i, events in enumerate(rows)])
    tokens = Tokens.of(batch)
    itl = measure(batch, tokens)["itl"]
    for i, events in enumerate(rows):
        mine = itl.values[itl.rows == i]
        assert mine.sum() == tokens.last[i] - tokens.first[i]
        assert mine.size == sum(count for _, count in events[1:])


def test_an_instant_before_the_one_ahead_of_it_becomes_that_one() -> None:
    backwards = [100 * MS, 150 * MS, 140 * MS, 160 * MS]
    recorder = fold(row(0), row(1, tokens=4, token_at=backwards), row(2))
    assert recorder.metrics["chunk_gap"].min == 0
    assert recorder.metrics["itl"].total == 9 * 10 * MS * 2 + 60 * MS


def test_an_answer_whose_tokens_nobody_counted_is_no_token() -> None:
    recorder = fold(row(0, tokens=ABSENT, token_at=[60 * MS], token_count=[0], token_lag=[0]), row(1))
    counted = fold(row(1))
    assert recorder.measured.output_tokens == counted.measured.output_tokens == 10
    assert recorder.within.totals["output_tokens"] == counted.within.totals["output_tokens"]
    assert recorder.metrics["e2e"].count == 2


def test_a_claim_of_a_billion_tokens_in_an_event_costs_no_memory() -> None:
    recorder = fold(row(tokens=2, itl=10 * MS, token_count=[1, 2**31 - 1]))
    assert values(recorder, "itl")[0::3] == (MOST_IN_AN_EVENT, 10 * MS)


def test_only_measured_successes_are_in_the_latencies_but_every_sent_one_is_in_lag() -> None:
    recorder = fold(
        row(0, phase=WARMUP, ttft=1 * MS), row(1), row(2, phase=COOLDOWN, ttft=2 * MS),
        row(3, failure="in_band", failure_type="overloaded", detail="busy", ttft=3 * MS),
        row(4, failure="connect", sent=ABSENT, token_at=[], token_count=[], token_lag=[], tokens=0))
    assert values(recorder, "ttft")[:3] == (1, 50 * MS, 50 * MS)
    assert recorder.metrics["lag"].count == 2
    tally = recorder.measured
    assert (tally.offered, tally.sent, tally.tried, tally.succeeded, tally.failed) == (3, 2, 3, 1, 2)
    assert dict(tally.failures) == {"in_band": 1, "connect": 1}
    assert tally.types["in_band"] == {"overloaded": 1} and tally.examples["in_band"] == "busy"
    assert [recorder.tallies[phase].offered for phase in (WARMUP, COOLDOWN)] == [1, 1]


def test_a_request_sent_early_is_kept_as_evidence() -> None:
    recorder = fold(row(due=1000, sent=400))
    assert recorder.earliest_lag == -600 and recorder.metrics["lag"].max == 0


def test_a_held_request_is_counted_and_not_in_lag() -> None:
    recorder = fold(row(0), row(1, held=True, sent=5 * S))
    assert recorder.measured.held == 1 and recorder.metrics["lag"].count == 1


def test_a_censored_request_gives_lower_bounds() -> None:
    waiting = row(1, due=1 * S, tokens=0, failure=CENSORED, end=4 * S)
    streaming = row(2, due=1 * S, failure=CENSORED, end=3 * S)
    recorder = fold(row(0), waiting, streaming)
    assert recorder.measured.censored == 2 and recorder.measured.failed == 0
    assert recorder.at_least["e2e"].max == 3 * S - 20_000
    assert recorder.at_least["e2e_scheduled"].max == 3 * S
    assert (recorder.at_least["ttft"].min, recorder.at_least["ttft"].max) == (50 * MS, 3 * S - 20_000)


def test_goodput_counts_requests_that_meet_every_objective_on_one_request() -> None:
    slo = ("ttft.p99<100ms", "itl.p99<15ms", "e2e.mean<10s", "errors<1%", "goodput>1")
    recorder = fold(row(0), row(1, ttft=100 * MS), row(2, itl=15 * MS), row(3, tokens=1), row(4, failure="empty"),
                    row(5, phase=WARMUP), slo=slo)
    assert recorder.sections.good().sum() == 2 and recorder.sections.offered().sum() == 5


def test_throughput_counts_tokens_of_all_phases_by_the_instant_they_came() -> None:
    window = Window(1 * S, 2 * S, 1)
    before = row(0, due=S - 55 * MS, phase=WARMUP)  # first token before, nine tokens inside
    after = row(1, due=3 * S - 65 * MS)  # two tokens inside
    recorder = fold(before, after, window=window)
    assert recorder.within.totals == {"completed": 1, "output_tokens": 9 + 2, "input_tokens": 100}


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 50 * S), st.integers(0, 20 * S)), min_size=1, max_size=40),
       st.integers(0, 5 * S), st.sampled_from([10 * S, 90 * S, ABSENT]))
def test_the_integral_of_in_flight_is_the_sum_of_the_times_exactly(
        flights: list[tuple[int, int]], start: int, length: int) -> None:
    bins = Bins(Window(start, length))
    begin = np.asarray([at for at, _ in flights], np.int64)
    time = np.asarray([spent for _, spent in flights], np.int64)
    bins.add_residence(begin, begin + time)
    assert bins.integral() == time.sum()
    assert bins.in_flight(bins.origin, 100 * S).sum() == time.sum()
    assert (start - bins.origin) % bins.width == 0 and bins.origin <= 0


def test_in_flight_of_each_bin() -> None:
    bins = Bins(Window(0, S))
    bins.add_residence(np.asarray([50 * MS, 120 * MS]), np.asarray([250 * MS, 130 * MS]))
    assert bins.in_flight(0, 400 * MS).tolist() == [50 * MS, 110 * MS, 50 * MS, 0]
    bins.add("arrivals", np.asarray([99 * MS, 100 * MS]))
    assert bins.series("arrivals", 0, 200 * MS).tolist() == [1, 1]
    assert bins.series("arrivals", 50 * MS, 200 * MS).tolist() == [1]


def test_bins_grow_with_time() -> None:
    bins = Bins(Window(0, S))
    bins.add("completions", np.asarray([3600 * S]))
    assert bins.series("completions", 3599 * S, 3601 * S).sum() == 1


def test_littles_law_holds_over_a_whole_run() -> None:
    rows = run_of(50, 5 * S, slots=8)
    recorder = recorded(rows, window_of(rows, 5 * S), size=37)
    assert recorder.bins.integral() == recorder.residence == sum(one.end - one.sent for one in rows)


def test_time_batches_are_tenths_of_the_window_and_hold_every_value() -> None:
    rows = run_of(50, 10 * S)
    recorder = recorded(rows, window_of(rows, 10 * S), ["receive_lag.p99<1ms"], size=100)
    assert set(recorder.batches) == {"ttft", "ttft_scheduled", "itl", "tpot", "e2e", "e2e_scheduled", "receive_lag"}
    for name, parts in recorder.batches.items():
        whole = Histogram()
        for part in parts:
            whole.merge(part)
        assert (whole.counts == recorder.metrics[name].counts).all() and whole.total == recorder.metrics[name].total
    inside = [sum(one.phase == MEASURED and 2 * S + i * S <= one.due < 2 * S + (i + 1) * S for one in rows)
              for i in range(BATCHES)]
    assert [part.count for part in recorder.batches["ttft"]] == inside


def test_time_batches_of_a_window_of_known_count_are_tenths_of_the_count() -> None:
    recorder = recorded([row(i, due=i * S) for i in range(50)], Window(0, count=50), size=7)
    assert [part.count for part in recorder.batches["ttft"]] == [5] * 10


def test_an_interval_is_what_came_since_the_last_one() -> None:
    recorder = fold(row(0), row(1))
    assert recorder.interval("ttft").count == 2
    assert recorder.interval("ttft").count == 0
    recorder.fold(Batch.of([row(2, ttft=70 * MS)]))
    assert (recorder.interval("ttft").count, recorder.metrics["ttft"].count) == (1, 3)
    assert recorder.interval("no such").count == 0


def test_names_that_a_server_invents_are_bounded() -> None:
    rows = [row(i, finish_reason=f"reason {i}", failure="in_band" if i % 2 else "", failure_type=f"type {i}")
            for i in range(300)]
    tally = recorded(rows, WINDOW, size=10).measured
    assert len(tally.finish_reasons) == 51 and sum(tally.finish_reasons.values()) == 150
    assert len(tally.types["in_band"]) == 51 and sum(tally.types["in_band"].values()) == 150


def test_usage_and_length_are_held_against_what_was_counted() -> None:
    tally = fold(row(0), row(1, usage_tokens=9), row(2, usage_tokens=ABSENT, asked_tokens=20),
                 row(3, asked_tokens=ABSENT)).measured
    assert (tally.usage_given, tally.usage_wrong) == (3, 1)
    assert (tally.asked, tally.got) == (40, 30)


def test_an_empty_batch_changes_nothing() -> None:
    assert fold().measured.offered == 0


def test_health_keeps_the_worst_and_the_last() -> None:
    recorder = fold(row())
    for line in (Health(1 * S, 0, cpu=5, rss=10, stall=3 * MS), Health(2 * S, 1, cpu=7, rss=30, starved=2),
                 Health(3 * S, 0, cpu=6, rss=20, stall=100), Health(3 * S, ABSENT, cpu=1, rss=1, stall=S),
                 ClockSample(0, 50), ClockSample(S, 50 + 3 * MS), ClockSample(11 * S, 50 + 3 * MS)):
        recorder.observe(line)
    health = recorder.health
    assert (health.stall(0, 2 * S), health.stall(2 * S, 9 * S), health.total("cpu"), health.total("starved")) == (
        3 * MS, 100, 13, 2)
    assert health.clock_step == 2 * MS and health.clock_drift() == pytest.approx(3 / 11000)
