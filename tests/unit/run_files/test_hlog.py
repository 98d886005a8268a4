from pathlib import Path

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from hypothesis import given
from hypothesis import strategies as st

from loadgen.run_files import hlog
from loadgen.stats.histogram import HIGHEST, Histogram, rank
from support.stored_runs import writer_of

SECOND = 1_000_000_000


def of(values: list[int]) -> Histogram:
    histogram = Histogram()
    histogram.record(np.asarray(values, np.int64))
    return histogram


def counts_of(peer: HdrHistogram) -> dict[int, int]:
    return {i: peer.get_count_at_index(i) for i in range(peer.counts_len) if peer.get_count_at_index(i)}


def buckets_of(histogram: Histogram) -> dict[int, int]:
    buckets, counts = histogram.buckets()
    return dict(zip(buckets.tolist(), counts.tolist(), strict=True))


@given(st.lists(st.integers(0, HIGHEST) | st.integers(0, 3000), max_size=40))
def test_the_encoding_reads_back_bucket_by_bucket(values: list[int]) -> None:
    histogram = of(values)
    assert counts_of(HdrHistogram.decode(hlog.encode(histogram))) == buckets_of(histogram)


@given(st.lists(st.integers(0, HIGHEST), min_size=1, max_size=20))
def test_the_layout_is_that_of_the_package(values: list[int]) -> None:
    peer = HdrHistogram(1, HIGHEST, 3)
    for value in values:
        peer.record_value(value)
    assert counts_of(peer) == buckets_of(of(values))
    assert peer.encode().decode() == hlog.encode(of(values))


def test_large_counts_survive() -> None:
    histogram = of([1000])
    for _ in range(40):
        histogram.merge(histogram.copy())
    assert counts_of(HdrHistogram.decode(hlog.encode(histogram))) == {1000: 1 << 40}


def test_overflow_is_not_in_the_encoding_but_in_the_maximum() -> None:
    histogram = of([5, HIGHEST * 2])
    assert counts_of(HdrHistogram.decode(hlog.encode(histogram))) == {5: 1}
    assert hlog.line("e2e", 0, SECOND, histogram).split(",")[3] == f"{HIGHEST * 2 / 1e6:.3f}"


def test_the_package_rounds_ranks_where_we_take_the_ceiling() -> None:
    values = [1, 2, 3, 4]
    peer = HdrHistogram(1, HIGHEST, 3)
    for value in values:
        peer.record_value(value)
    assert of(values).percentile(0.6) == sorted(values)[rank(0.6, 4) - 1] == 3
    assert peer.get_value_at_percentile(60) == 2


def test_a_log_is_readable_by_the_usual_reader(tmp_path: Path) -> None:
    parts = [[20 * 10**6, 30 * 10**6], [], [10**9]]
    writer = writer_of(tmp_path / "run")
    writer.epoch = 1_700_000_000_250_000_000
    for second, part in enumerate(parts):
        writer.write_interval("ttft", of(part), second * SECOND, (second + 1) * SECOND)
    writer.close()
    reader = HistogramLogReader(str(tmp_path / "run/ttft.hlog"), HdrHistogram(1, HIGHEST, 3))
    for second, part in enumerate(parts):
        peer = reader.get_next_interval_histogram()
        assert counts_of(peer) == buckets_of(of(part))
        assert peer.get_tag() == "ttft"
        assert peer.get_start_time_stamp() == pytest.approx(1_700_000_000_250 + second * 1000)
        assert peer.get_end_time_stamp() - peer.get_start_time_stamp() == pytest.approx(1000)
    assert reader.get_next_interval_histogram() is None
    assert reader.get_start_time_sec() == 1_700_000_000.25
    reader.close()


def test_a_log_says_its_format_and_its_start_in_the_words_of_the_format(tmp_path: Path) -> None:
    assert hlog.header(1_441_812_279_474_000_000).splitlines() == [
        "#[Histogram log format version 1.3]",
        "#[StartTime: 1441812279.474 (seconds since epoch), Wed Sep 09 15:24:39 UTC 2015]",
        "#[BaseTime: 1441812279.474 (seconds since epoch)]",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"']
    line = hlog.line("itl", 127_000_000, 1_134_000_000, of([2_769_000]))
    assert line.startswith("Tag=itl,0.127,1.007,2.769,HISTFAAAA")


def test_intervals_go_to_one_log_a_metric(tmp_path: Path) -> None:
    histogram = of([5, 6])
    writer = writer_of(tmp_path / "run")
    writer.epoch = 1_700_000_000_250_000_000
    for second in range(3):
        writer.write_interval("ttft", histogram, second * 10**9, (second + 1) * 10**9)
    writer.write_interval("server_../odd name", histogram, 0, 10**9)
    writer.close()
    text = (tmp_path / "run/ttft.hlog").read_text()
    assert text.count("Tag=ttft,") == 3
    assert text.count("1700000000.250") == 2
    assert (tmp_path / "run/server_.._odd_name.hlog").exists()
