"""Comparisons as text and as Markdown against golden files, and what must hold for any: width, no stray characters.

After a wanted change, write the golden files again with `PYTHONPATH=.:tests python tests/unit/reports/test_compare.py`.
"""

import io
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from loadgen.outcomes.comparison import Comparison, Interval, Side
from loadgen.reports.compared import cells_of, percent
from loadgen.reports.export import compare_markdown
from loadgen.reports.text import compare_text
from support import comparison_samples as samples
from support.inert import HOSTILE, assert_inert

GOLDEN = Path(__file__).parents[2] / "support" / "golden"
FILES = "cmp/  comparison.json"
CASES = {**{f"{name}.txt": (name, 118) for name in samples.ALL}, "regression_80.txt": ("regression", 80),
         "regression.md": ("regression", 0), "sweep.md": ("sweep", 0), "invalid.md": ("invalid", 0)}


def rendered(case: str) -> str:
    name, width = CASES[case]
    comparison = samples.ALL[name]
    return compare_text.render(comparison, width, FILES) if width else compare_markdown.render(comparison)


@pytest.mark.parametrize("case", CASES)
def test_it_is_as_it_was_agreed_on(case: str) -> None:
    assert rendered(case) == (GOLDEN / f"compare_{case}").read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    assert {path.name.removeprefix("compare_") for path in GOLDEN.glob("compare_*")} == set(CASES)


@pytest.mark.parametrize("name", samples.ALL)
@pytest.mark.parametrize("width", [60, 72, 80, 100, 120, 200])
def test_no_line_is_wider_than_asked(name: str, width: int) -> None:
    for line in compare_text.render(samples.ALL[name], width, FILES).splitlines():
        assert cell_len(line) <= width, line
        assert line == line.rstrip()


def hostile(evil: str) -> Comparison:
    """A comparison in which every text that comes from a file is `evil`."""
    cell = samples.regression.cells[0]
    bad = Side(evil, cell.base.runs, {}, evil, evil)
    rows = tuple(replace(row, verdict="unknown", why=evil) for row in cell.rows)
    return replace(samples.invalid, cells=(replace(cell, label=evil, base=bad, new=bad, rows=rows),),
                   warnings=(evil,), notes=(evil,), differences=(evil,),
                   gates=tuple(replace(gate, cell=evil, why=evil) for gate in samples.regression.gates))


@settings(max_examples=60)
@given(st.text(max_size=60), st.integers(60, 130))
def test_no_text_of_a_file_reaches_the_terminal_as_a_command(evil: str, width: int) -> None:
    for out in (compare_text.render(hostile(evil), width), compare_markdown.render(hostile(evil))):
        assert not [c for c in out if unicodedata.category(c)[0] == "C" and c != "\n"]


@settings(deadline=None)
@given(HOSTILE)
def test_no_text_of_a_file_is_markup_for_github(evil: str) -> None:
    assert_inert(lambda text: compare_markdown.render(hostile(text)), evil)


def test_markdown_shows_a_text_and_does_not_obey_it() -> None:
    out = compare_markdown.render(hostile("<script>|[x](http://y)`* @octocat"))
    assert "&lt;script&gt;\\|\\[x\\](http://&#8203;y)\\`\\* @&#8203;octocat" in out
    table = [line for line in out.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in table} == {8}


def test_a_change_is_written_with_its_sign() -> None:
    assert [percent(ratio) for ratio in (1.052, 0.9, 1.0, 3.5)] == ["+5.2 %", "-10.0 %", "+0.0 %", "+250 %"]


def test_a_significant_change_within_the_tolerance_is_shown_as_such() -> None:
    row = replace(samples.ROWS[2], verdict="same")
    assert cells_of(row, False, 0.05)[5:] == ("+10.0 %", "[+8.9 %, +11.1 %]", "0.047", "5+5", "within tolerance")
    assert cells_of(row, False, 0.01)[5] == "~"


def test_rates_and_numbers_without_any_ratio_have_their_cells() -> None:
    rate = replace(samples.ROWS[0], metric="output_tokens", statistic="", unit="per_second", p_adjusted=1e-5,
                   base=Interval(1276.0, 1270.0, 1280.0, 0.9), new=Interval(None), ratio=None, gated=True)
    assert cells_of(rate, False, 0.05)[:3] == ("output_tokens*", "1,276/s", "[1,270, 1,280]")
    assert cells_of(rate, False, 0.05)[3:8] == ("-", "", "?", "", "<0.001")


def test_a_cell_without_rows_says_so() -> None:
    bare = replace(samples.equal, cells=(replace(samples.equal.cells[0], rows=()),))
    assert "no statistic is on both sides" in compare_text.render(bare)
    assert "COMPARED   nothing" in compare_text.render(bare)


def test_an_encoding_without_the_character_gets_a_question_mark() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    compare_text.write(replace(samples.equal, notes=("naïve",)), stream, 112)
    stream.flush()
    assert b"na?ve" in raw.getvalue()


if __name__ == "__main__":
    for stale in GOLDEN.glob("compare_*"):
        stale.unlink()
    for name in CASES:
        (GOLDEN / f"compare_{name}").write_text(rendered(name), encoding="utf-8")
