"""The final table against golden files, and what must hold for any report: width, no stray control characters.

After a wanted change, write the golden files again and read the diff:
`PYTHONPATH=.:tests python tests/unit/reports/test_text.py`.
"""

import io
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from loadgen.outcomes.report import CheckResult, MetricSummary, Report, SloResult
from loadgen.reports.text import colour, run_text
from loadgen.reports.text.table import table
from loadgen.reports.verdict_text import headline
from support import report_samples as samples

GOLDEN = Path(__file__).parents[2] / "support" / "golden"
FILES = "runs/2026-11-23T07-40-11-vllm-10/  plan.json  requests.parquet  summary.json  *.hlog"
WIDTHS = {"invalid_80": ("invalid", 80), "invalid_60": ("invalid", 60), "hostile_80": ("hostile", 80)}
CASES = {**{name: (name, 112) for name in samples.ALL}, **WIDTHS}


def rendered(case: str) -> str:
    name, width = CASES[case]
    return run_text.render(samples.ALL[name], width, FILES)


@pytest.mark.parametrize("case", CASES)
def test_the_table_is_as_it_was_agreed_on(case: str) -> None:
    assert rendered(case) == (GOLDEN / f"report_{case}.txt").read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem.removeprefix("report_") for path in GOLDEN.glob("report_*.txt")} == set(CASES)


@pytest.mark.parametrize("name", samples.ALL)
@pytest.mark.parametrize("width", [60, 72, 80, 100, 120, 200])
def test_no_line_is_wider_than_asked(name: str, width: int) -> None:
    for line in run_text.render(samples.ALL[name], width, FILES).splitlines():
        assert cell_len(line) <= width, line
        assert line == line.rstrip()


@settings(max_examples=60)
@given(st.text(max_size=60), st.integers(60, 130))
def test_no_text_of_a_server_reaches_the_terminal_as_a_command(evil: str, width: int) -> None:
    report = replace(
        samples.invalid,
        requests={**samples.valid.requests, "failures": {"in_band": 1}, "types": {"in_band": {evil: 1}},
                  "examples": {"in_band": evil}},
        plan={**samples.PLAN, "resolved": {"model": evil}},
        verdict=replace(samples.invalid.verdict, notes=(evil,), gates=(SloResult(evil, True, 1, 2),),
                        checks=(CheckResult(evil, False, evil, evil, "", evil),)))
    out = run_text.render(report, width, FILES)
    assert not [c for c in out if unicodedata.category(c)[0] == "C" and c != "\n"]


def test_colour_adds_and_removes_no_character() -> None:
    for case in CASES:
        plain = rendered(case)
        word = headline(samples.ALL[CASES[case][0]])[0]
        assert colour.paint(plain, word, "bold green").plain == plain


@pytest.mark.parametrize(("name", "painted"), [
    ("valid", "\x1b[1;32mVALID\x1b[0m"), ("missed", "\x1b[1;31mSLO MISSED\x1b[0m"), ("lax", "\x1b[1;33mVALID\x1b[0m"),
    ("given_up", "\x1b[1;31mGIVEN UP\x1b[0m"), ("invalid", "\x1b[1;31mINVALID\x1b[0m"),
    ("interrupted", "\x1b[1;31mINTERRUPTED\x1b[0m")])
def test_every_verdict_is_coloured_by_its_meaning(monkeypatch: pytest.MonkeyPatch, name: str, painted: str) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    run_text.write(samples.ALL[name], terminal, 112, FILES)
    assert f"\n    {painted}   " in terminal.getvalue()


def lines(report: Report, width: int = 112) -> dict[str, str]:
    return {line.split()[0]: line for line in table(report, width)[1:]}


def test_a_percentile_that_the_sample_can_not_carry_is_a_bound() -> None:
    few = MetricSummary("ns", 20, 1, 9 * samples.MS, 5.0, {"p50": 5 * samples.MS}, {"p99": (8 * samples.MS, None)},
                        {"p90": 8 * samples.MS, "p99": 9 * samples.MS, "p99.9": 9 * samples.MS})
    line = lines(replace(samples.valid, metrics={"ttft": few}))["ttft"]
    assert ">= 9.00 ms" in line
    assert "[" not in line
    carried = replace(few, bounds={}, percentiles={"p99": 9 * samples.MS})
    assert "9.00 ms [8.00 ms, ...]" in lines(replace(samples.valid, metrics={"ttft": carried}))["ttft"]


def test_an_interval_over_two_units_names_both() -> None:
    wide = replace(samples.METRICS["e2e"], interval={"p99": (900 * samples.MS, 1_200 * samples.MS)})
    assert "[900 ms, 1.20 s]" in lines(replace(samples.valid, metrics={"e2e": wide}))["e2e"]


def test_a_gated_metric_and_a_server_time_get_a_line_of_their_own() -> None:
    metrics = {**samples.METRICS, "max_gap": samples.METRICS["ttft"], "server_queue": samples.METRICS["ttft"],
               "output_tokens": MetricSummary("count", 5, 1, 2, 1.5, {"p50": 1})}
    verdict = replace(samples.valid.verdict, gates=(SloResult("max_gap.p99<1s", True, 1, 2), SloResult("errors<1%",
                                                                                                       True, 0, 0),
                                                    SloResult("output_tokens.p50>1", True, 1, 2, "count")))
    shown = lines(replace(samples.valid, metrics=metrics, verdict=verdict))
    assert {"max_gap", "server_queue"} <= set(shown)
    assert "output_tokens" not in shown


def test_a_narrow_table_drops_columns_and_keeps_p50_p99_and_n() -> None:
    assert table(samples.valid, 78)[0].split() == ["p50", "p90", "p99", "p99.9", "n"]
    assert table(samples.valid, 58)[0].split() == ["p50", "p99", "n"]


def test_an_encoding_without_the_character_gets_a_question_mark() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    run_text.write(samples.hostile, stream, 112, FILES)
    stream.flush()
    assert b"http_5xx 2   ?[31mBoom?" in raw.getvalue()


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_colour_and_a_pipe_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, pipe = Terminal(), io.StringIO()
    run_text.write(samples.hostile, terminal, 112, FILES)
    run_text.write(samples.hostile, pipe, 112, FILES)
    assert "\x1b[1;32mVALID" in terminal.getvalue()
    assert pipe.getvalue().rstrip("\n") == run_text.render(samples.hostile, 112, FILES).rstrip("\n")
    assert "[bold]not markup[/bold]" in terminal.getvalue()


if __name__ == "__main__":
    for stale in GOLDEN.glob("report_*.txt"):
        stale.unlink()
    for name in CASES:
        (GOLDEN / f"report_{name}.txt").write_text(rendered(name), encoding="utf-8")
