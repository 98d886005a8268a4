"""Recorders add up: a run that is split by time and by sender, and merged in any order, has the report of the whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.outcomes.run_record import Resolved
from loadgen.recorder import Recorder
from loadgen.recorder.batch import Batch
from loadgen.recorder.names import MOST_KEPT, MOST_NAMES, OTHER, NameCounts
from loadgen.recorder.sections import BATCHES
from loadgen.slo import expand
from loadgen.summary import build
from loadgen.types import ABSENT, CENSORED, MEASURED, ClockSample, Health, RequestRow, Window
from support.made_runs import MS, S, record_of, row, run_of, window_of

SLO = ("ttft.p90<100ms", "errors<5%", "goodput>10", "receive_lag.p99<1ms", "max_gap.p90<50ms")
SENDERS = 3


def changed(place: int, one: RequestRow) -> RequestRow:
    """Let something happen to some rows that tells one order of rows from another."""
    if place % 11 == 0:
        return replace(one, failure=f"http_{500 + place % 3}", failure_type=f"type {place % 70}", detail=f"no {place}")
    if place % 37 == 0:
        return replace(one, failure=CENSORED, token_at=one.token_at[:1], token_count=[1], token_lag=[0])
    if place % 5 == 0:
        return replace(one, finish_reason=f"reason {place}", server={f"server_{place % 4}": place * MS}, held=True)
    return replace(one, attempt=place % 2, sent=one.due + 20_000 + place * 100, output_source="events")


ROWS = [changed(place, one) for place, one in enumerate(run_of(50, 6 * S, warmup=1 * S, tail=1 * S, slots=4))]
TIMED = window_of(ROWS, 6 * S, 1 * S)
COUNTED = replace(TIMED, length=ABSENT)
LINES = [line for second in range(9) for line in (
    *(Health(second * S, sender, cpu=second * 10 * MS + sender, rss=50_000_000 + second, starved=sender * second,
             stall=(second + sender) % 5 * MS) for sender in (ABSENT, *range(SENDERS))),
    ClockSample(second * S, 1_700_000_000 * S + second * second * 500_000))]


def begun(window: Window) -> Recorder:
    return Recorder(window, expand(SLO))


def report(recorder: Recorder) -> str:
    resolved = Resolved(recorder.window, {"sha256": "x"}, {"version": "1"})
    return json.dumps(build(recorder, record_of(slo=SLO, resolved=resolved)).to_json())


@cache
def whole(window: Window) -> str:
    recorder = begun(window)
    recorder.fold(Batch.of(ROWS))
    for line in LINES:
        recorder.observe(line)
    return report(recorder)


def parts(window: Window, cuts: Sequence[int], senders: Sequence[int]) -> list[Recorder]:
    """Split the run by instants, and each span by sender; every part is folded into a recorder of its own."""
    recorders = []
    for begin, end in zip([-1, *cuts], [*cuts, 1 << 62], strict=True):
        for sender in range(SENDERS):
            recorder = begun(window)
            rows = [one for place, one in enumerate(ROWS)
                    if begin < one.end <= end and senders[place % len(senders)] == sender]
            recorder.fold(Batch.of(rows))
            for line in LINES:
                if begin < line.at <= end and max(getattr(line, "sender", 0), 0) == sender:
                    recorder.observe(line)
            recorders.append(recorder)
    return recorders


@pytest.mark.parametrize("window", [TIMED, COUNTED], ids=["timed", "counted"])
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_parts_that_are_merged_in_any_order_have_the_report_of_the_whole(window: Window, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, 9 * S), max_size=3)))
    senders = data.draw(st.lists(st.integers(0, SENDERS - 1), min_size=1, max_size=7))
    recorders = data.draw(st.permutations(parts(window, cuts, senders)))
    merged = begun(window)
    for recorder in recorders:
        merged.merge(recorder)
    assert report(merged) == whole(window)


@pytest.mark.parametrize("window", [TIMED, COUNTED], ids=["timed", "counted"])
def test_a_sum_leaves_both_sides_as_they_were(window: Window) -> None:
    one, other = parts(window, [], [0, 1])[:2]
    before = report(one), report(other)
    assert report(one + other) == report(other + one)
    assert (report(one), report(other)) == before


def test_an_interval_holds_what_all_parts_recorded_since() -> None:
    one, other = begun(TIMED), begun(TIMED)
    one.fold(Batch.of([row(0, due=2 * S)]))
    other.fold(Batch.of([row(1, due=3 * S), row(2, due=4 * S)]))
    one.merge(other)
    assert one.interval("ttft").count == 3
    assert (one.interval("ttft").count, other.interval("ttft").count) == (0, 2)


@pytest.mark.parametrize("other", [Recorder(COUNTED, expand(SLO)), Recorder(TIMED), Recorder(TIMED, expand(SLO), True),
                                   Recorder(TIMED, expand(SLO), confidence=0.99)])
def test_recorders_of_different_runs_do_not_add_up(other: Recorder) -> None:
    with pytest.raises(ValueError, match="only recorders of one run"):
        begun(TIMED).merge(other)


def test_a_late_or_early_first_request_moves_every_tenth_of_a_window_of_known_count() -> None:
    rows = [row(i, due=i * S) for i in range(30, 80)]
    late, early = Recorder(Window(0, count=50)), Recorder(Window(0, count=50))
    late.fold(Batch.of(rows[20:]))
    early.fold(Batch.of(rows[:20]))
    late.merge(early)
    assert [part.count for part in late.sections.histograms("ttft")] == [5] * BATCHES
    assert late.sections.offered().tolist() == [5] * BATCHES
    assert all(one.phase == MEASURED for one in rows)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 2000), max_size=40), st.integers(0, 40))
def test_names_beyond_those_that_are_kept_add_up_too(extra: list[int], cut: int) -> None:
    names = [f"{number:05}" for number in [*range(0, 3000, 2), *extra, *[2990] * 30, *[7] * 9]]
    together = NameCounts()
    together.add(reversed(names))
    one, other = NameCounts(), NameCounts()
    one.add(names[cut::3])
    other.add(names[cut + 1::3] + names[:cut:3])
    for name in names[cut + 2::3]:
        other.add([name])
    missing = NameCounts()
    missing.add(name for place, name in enumerate(names[:cut]) if place % 3)
    for part in (missing, other):
        one.merge(part)
    counts = one.counts()
    assert counts == together.counts()
    assert len(counts) == MOST_NAMES + 1 and counts.total() == len(names)
    assert counts["00007"] >= 9 and "02990" not in counts
    assert counts[OTHER] > 3000 / 2 - MOST_KEPT
