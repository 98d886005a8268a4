"""The reader of /metrics, against the text that the mock writes under vLLM's names."""

from loadgen.mock.metrics import PrometheusHistogram
from real.prometheus import Scrape

MS = 1_000_000


def scrape(values: list[int]) -> Scrape:
    written = PrometheusHistogram("vllm:some_seconds", "About.", [0.01, 0.1, 1.0])
    for value in values:
        written.observe(value)
    return Scrape("\n".join([*written.write('model_name="a b"'), 'vllm:ended_total{reason="stop"} 2.0',
                             'vllm:ended_total{reason="length"} 3.0']))


def test_a_histogram_is_read_as_it_was_written() -> None:
    found = scrape([5 * MS, 20 * MS, 30 * MS, 5000 * MS]).histogram("vllm:some_seconds")
    assert found.edges == (10 * MS, 100 * MS, 1000 * MS, float("inf"))
    assert found.below == (1, 3, 3, 4)
    assert found.count == 4
    assert found.mean == (5 + 20 + 30 + 5000) * MS / 4
    assert [found.bucket(share) for share in (0.25, 0.5, 0.75, 0.76)] == [0, 1, 1, 3]
    assert [found.place(value) for value in (1, 10 * MS, 10 * MS + 1, 2000 * MS)] == [0, 0, 1, 3]
    assert found.bounds(0) == (0.0, 10 * MS)
    assert found.bounds(1) == (10 * MS, 100 * MS)


def test_the_difference_is_what_came_between() -> None:
    before, after = scrape([5 * MS, 20 * MS]), scrape([5 * MS, 20 * MS, 30 * MS])
    added = after.histogram("vllm:some_seconds") - before.histogram("vllm:some_seconds")
    assert (added.count, added.below) == (1, (0, 1, 1, 1))
    assert round(added.mean) == 30 * MS


def test_counters_are_summed_over_labels() -> None:
    assert scrape([]).counter("vllm:ended_total") == 5
    assert scrape([]).counter("vllm:never_total") == 0
