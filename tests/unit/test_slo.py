"""How objectives are written, and what is said when they are written wrongly."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.metrics import names
from loadgen.outcomes.report import PERCENTILES
from loadgen.slo import PRESETS, expand, parse
from loadgen.types import UsageError
from loadgen.units import format_duration

LATENCIES = names(lambda one: one.unit == "ns")


@pytest.mark.parametrize(("text", "metric", "statistic", "sign", "limit", "unit"), [
    ("ttft.p99<500ms", "ttft", "p99", "<", 500_000_000, "ns"),
    ("itl.p99<=50ms", "itl", "p99", "<=", 50_000_000, "ns"),
    ("tpot.p99<40ms", "tpot", "p99", "<", 40_000_000, "ns"),
    (" ttft_scheduled.p99.9 < 1.5s ", "ttft_scheduled", "p99.9", "<", 1_500_000_000, "ns"),
    ("e2e.mean<2s", "e2e", "mean", "<", 2_000_000_000, "ns"),
    ("server_queue.p90<1ms", "server_queue", "p90", "<", 1_000_000, "ns"),
    ("errors<0.1%", "errors", "", "<", 0.001, "share"),
    ("errors<=0.01", "errors", "", "<=", 0.01, "share"),
    ("goodput>9.5", "goodput", "", ">", 9.5, "per_second"),
    ("output_tokens>1000", "output_tokens", "", ">", 1000, "per_second"),
    ("output_tokens.mean>=100", "output_tokens", "mean", ">=", 100, "count"),
])
def test_an_objective_is_read(text: str, metric: str, statistic: str, sign: str, limit: float, unit: str) -> None:
    slo = parse(text)
    assert (slo.metric, slo.statistic, slo.sign, slo.limit, slo.unit) == (metric, statistic, sign, limit, unit)


@pytest.mark.parametrize(("text", "words"), [
    ("tftt.p99<500ms", ["no metric 'tftt'", "did you mean ttft?", "e2e_scheduled", "goodput"]),
    ("ttft.p999<500ms", ["no ttft.p999", "did you mean p99", "p99.99"]),
    ("ttft<500ms", ["which percentile", "ttft.p99"]),
    ("ttft.p99<500", ["add a unit", "500s"]),
    ("ttft.p99<fast", ["invalid duration"]),
    ("ttft.p99>500ms", ["write ttft.p99<500ms"]),
    ("goodput<3", ["write goodput>3"]),
    ("goodput.p99>3", ["one number of the whole run"]),
    ("goodput>many", ["invalid limit", "9.5"]),
    ("errors<10ms", ["invalid limit", "0.1%"]),
    ("errors<100%", ["everything"]),
    ("errors>1%", ["write errors<1%"]),
    ("ttft.p99=500ms", ["invalid objective", "'ttft.p99<500ms'"]),
    ("", ["invalid objective"]),
    ("mlperf:llama2-70b-interactiv", ["invalid preset", "did you mean mlperf:llama2-70b-interactive?"]),
])
def test_what_is_wrong_is_said_with_what_to_write(text: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as raised:
        expand([text])
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_is_a_ttft_and_a_tpot(preset: str) -> None:
    first, second = expand([preset])
    assert (first.metric, first.statistic, second.metric, second.statistic) == ("ttft", "p99", "tpot", "p99")
    assert first.limit > second.limit


def test_an_objective_given_twice_counts_once() -> None:
    assert [slo.text for slo in expand(["mlperf:llama2-70b-interactive", "tpot.p99 < 40ms", "errors<1%"])] == [
        "ttft.p99<450ms", "tpot.p99<40ms", "errors<1%"]


@pytest.mark.parametrize(("text", "metric"), [
    ("ttft.p99<1s", "ttft"), ("itl.p99<1s", "tpot"), ("chunk_gap.p90<1s", "tpot"), ("max_gap.p99<1s", "max_gap"),
    ("lag.p99<1ms", ""), ("errors<1%", ""), ("goodput>1", ""), ("output_tokens.mean>1", ""),
])
def test_which_metric_of_a_request_an_objective_limits(text: str, metric: str) -> None:
    assert parse(text).per_request == metric


@pytest.mark.parametrize(("sign", "below", "at", "above"), [
    ("<", True, False, False), ("<=", True, True, False), (">", False, False, True), (">=", False, True, True),
])
def test_the_sign_decides_at_the_limit(sign: str, below: bool, at: bool, above: bool) -> None:
    slo = parse(f"output_tokens.p50{sign}10")
    assert [slo.meets(value) for value in (9, 10, 11)] == [below, at, above]
    assert slo.wants_less == sign.startswith("<")


@given(st.sampled_from(LATENCIES), st.sampled_from([*PERCENTILES, "mean"]), st.sampled_from(["<", "<="]),
       st.integers(1, 10**13))
def test_any_latency_objective_reads_back_as_written(metric: str, statistic: str, sign: str, limit: int) -> None:
    text = f"{metric}.{statistic}{sign}{format_duration(limit)}"
    slo = parse(text)
    assert (slo.text, slo.limit, slo.quantile) == (text, limit, PERCENTILES.get(statistic))


DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("preset", PRESETS)
def test_the_page_has_each_preset_as_it_is(preset: str) -> None:
    (line,) = (line for line in (DOCS / "verdict.md").read_text().splitlines() if f"| `{preset}` |" in line)
    written = [cell.strip().replace(" ", "") for cell in line.split("|")[2:4]]
    assert [parse(f"x{i}.p99<{text}".replace("x0", "ttft").replace("x1", "tpot")).limit
            for i, text in enumerate(written)] == [slo.limit for slo in expand([preset])]


@pytest.mark.parametrize("metric", [*LATENCIES, "goodput", "completed", "output_tokens", "input_tokens"])
def test_the_page_defines_each_metric(metric: str) -> None:
    assert f"`{metric}`" in (DOCS / "metrics.md").read_text()
