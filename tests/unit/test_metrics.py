"""The table of metrics: each row is complete, and one definition serves recorder, charts and comparisons."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import metrics
from loadgen.compare import blocks
from loadgen.figures import draw
from loadgen.metrics import Metric, counts, find, known, names, pairs, unit_of
from loadgen.recorder.batch import Batch
from loadgen.recorder.formulas import MOST_IN_AN_EVENT, Tokens, measure
from support.made_runs import MS, S, recorded, row, window_of

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.mark.parametrize("metric", known(), ids=lambda metric: metric.name)
def test_a_row_is_whole(metric: Metric) -> None:
    assert re.search(rf"^\| .*`{metric.name}`", DOCS.read_text(), re.MULTILINE)
    assert metric.about.endswith(".")
    assert not metric.headline or metric.title
    assert metric.of_request in ("", *names(lambda one: not one.pooled))
    assert find(metric.name) is metric


def test_names_are_those_of_one_thing_each() -> None:
    assert len(set(names())) == len(known())
    assert [(one.name, twin.name if twin else None) for one, twin in pairs()] == [
        ("ttft", "ttft_scheduled"), ("itl", None), ("tpot", None), ("e2e", "e2e_scheduled")]
    assert (unit_of("ttft"), unit_of("output_tokens"), unit_of("server_queue")) == ("ns", "count", "ns")
    assert unit_of("server_batch_size") == "count"
    assert set(counts()) == {"input_tokens", "output_tokens", "server_batch_size"}
    assert find("server_queue") is None


@given(st.lists(st.sampled_from([0, 0, 1, 2, 5, 2 * MOST_IN_AN_EVENT]), min_size=2, max_size=6))
def test_recorder_charts_and_comparisons_have_the_same_gaps_whatever_an_event_carries(carried: list[int]) -> None:
    one = row(0, 2 * S, tokens=len(carried))
    one.token_count = carried
    batch, window = Batch.of([one]), window_of([one], 3 * S)
    gaps = measure(batch, Tokens.of(batch))["itl"].values
    expected = sum(min(max(count, 1), MOST_IN_AN_EVENT) for count in carried[1:])
    assert gaps.size == expected
    assert gaps.sum() == (len(carried) - 1) * 10 * MS
    recorder = recorded([one], window)
    assert (recorder.metrics["itl"].count, recorder.metrics["itl"].total) == (expected, gaps.sum())
    cut = blocks.cut([batch], window.start, window.length, 10)
    assert (cut.whole("itl").count, cut.whole("itl").total) == (expected, gaps.sum())
    drawn = draw(recorder, [batch])
    assert drawn.itl is not None
    assert drawn.itl.count.sum() == expected


def test_first_and_last_tokens_are_the_same_in_recorder_and_charts() -> None:
    rows = [row(i, 2 * S + i * 100 * MS, ttft=(i + 1) * 40 * MS) for i in range(20)]
    batch, window = Batch.of(rows), window_of(rows, 3 * S)
    drawn, recorder = draw(recorded(rows, window), [batch]), recorded(rows, window)
    assert drawn.ttft is not None
    assert drawn.e2e is not None
    assert drawn.ttft.max.max() == recorder.metrics["ttft"].max == 800 * MS
    assert drawn.e2e.max.max() == recorder.metrics["e2e"].max
    assert drawn.ttft.count.sum() == drawn.e2e.count.sum() == 20


def test_connections_that_are_opened_on_purpose_are_no_lag() -> None:
    one = row(0, 2 * S, connect=5_000, tls=4_000)
    batch = Batch.of([one])
    assert measure(batch, Tokens.of(batch))["lag"].values.tolist() == [20_000]
    assert measure(batch, Tokens.of(batch, fresh=True))["lag"].values.tolist() == [11_000]


def test_the_table_is_read_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Metric("sent_time", lambda rows, tokens: (rows.sent_end - rows.sent, rows.sent_end >= 0), "Time to send.")
    monkeypatch.setattr(metrics, "METRICS", (*metrics.METRICS, bare))
    rows = [row(0, 2 * S)]
    assert recorded(rows, window_of(rows, S)).metrics["sent_time"].max == 1000
    assert "sent_time" in names()
