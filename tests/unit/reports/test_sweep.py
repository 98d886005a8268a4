"""Tests of a sweep as text and as markdown, over every sweep that can happen."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from rich.cells import cell_len

from loadgen.capacity import UNJUDGED, SearchResult, Sweep
from loadgen.capacity.repetitions import across
from loadgen.reports import sweep_words
from loadgen.reports.export import sweep_markdown
from loadgen.reports.export.markdown import code
from loadgen.reports.text import sweep_text
from support import sweep_samples as samples
from support.inert import HOSTILE, assert_inert
from support.sweep_samples import ANSWER, SLO, cell

EVIL = "\x1b[31m|evil|</td><script>alert(1)</script>\n# head `x` \u202e\x00"


def hostile(evil: str = EVIL) -> Sweep:
    bad = cell(1, 4, UNJUDGED, reason=evil, coordinates={"url": f"http://{evil}", "rate": 4.0})
    answer = replace(ANSWER, reason=evil, best=None, coordinates={"model": evil}, notes=(evil,))
    return Sweep("grid", {"url": (f"http://{evil}",)}, (bad,), (evil,), (answer,), stopped=evil, resume=evil,
                 planned=2, plan={"target": {"url": [evil], "backend": evil}})


@pytest.mark.parametrize("width", [60, 100, 120])
@pytest.mark.parametrize("name", samples.ALL)
def test_every_line_fits_but_the_command_to_copy(name: str, width: int) -> None:
    text = sweep_text.render(samples.ALL[name], width, "runs/x/  sweep.json")
    lines = [line for line in text.splitlines() if "go on with" not in line]
    assert max(map(cell_len, lines)) <= width
    assert all(line == line.rstrip() for line in lines)


def test_the_answer_comes_before_the_cells() -> None:
    lines = sweep_text.render(samples.found).splitlines()
    place = next(i for i, line in enumerate(lines) if "between 41 and 43.5 requests/s, 95" in line)
    assert place < next(i for i, line in enumerate(lines) if line.startswith("  cell"))
    text = "\n".join(lines)
    assert "one replica carries 41.0 requests/s of this workload within the SLO; for 300 requests/s take 9 (" in text
    assert "a million output tokens cost 0.13" in text
    assert "FOUND" in text and "UNSTABLE" in text


def test_what_is_unstable_has_no_percentiles() -> None:
    line = next(line for line in sweep_text.render(samples.found).splitlines() if "UNSTABLE" in line)
    assert "unstable" in line and "4.80 s" not in line


def test_no_answer_has_its_reason_and_a_stop_its_command() -> None:
    assert "no load passes: 1, the lowest load that was allowed, fails too" in sweep_text.render(samples.missed)
    text = sweep_text.render(samples.stopped)
    assert "STOPPED" in text and "go on with   loadgen sweep --resume sweeps/one" in text
    assert "2 of 3 cells were not run" in text


@pytest.mark.parametrize(("one", "words"), [
    (ANSWER, "between 41 and 43.5 requests/s, 95 %"),
    (replace(ANSWER, confidence=0.0, reason="stopped after 9 probes"),
     "between 41 and 43.5 requests/s, not confirmed by repetition (stopped after 9 probes)"),
    (replace(ANSWER, high=None, reason="the client is the limit"),
     "at least 41 requests/s, 95 % (the client is the limit)"),
    (replace(ANSWER, axis="concurrency", low=8.0, high=9.0), "between 8 and 9 requests at a time, 95 %"),
    (replace(ANSWER, coordinates={"input_tokens": "512"}), "input_tokens 512: between 41 and 43.5 requests/s, 95 %"),
    (SearchResult("goodput", "rate", {}, 38.0, 44.0, 41.0), "41 requests/s; looked at beside it: 38 and 44"),
    (SearchResult("max-rate", "rate", {}, None, 1.0, None, 0.95, "missed"), "no load passes: missed"),
    (SearchResult("max-rate", "rate", {}, None, 1.0, None, 0.0, "stopped"), "no answer: stopped"),
    (SearchResult("max-rate", "rate", reason="lag"), "no answer: lag"),
])
def test_answers_in_words(one: SearchResult, words: str) -> None:
    assert sweep_words.answer(one) == words


def test_repetitions_are_shown_with_their_interval() -> None:
    runs = tuple(cell(i, 4, ttft=300 + 10 * i, coordinates={"rate": 4.0, "run": float(i)}) for i in (1, 2, 3))
    text = sweep_text.render(Sweep("repeat", {"run": (1.0, 2.0, 3.0)}, runs, (SLO,), across=across(runs)))
    assert "every SLO met over all runs" in text
    assert "ttft.p99   320 ms [295 ms, 345 ms]   3 runs   ttft.p99<500ms   pass" in text


def test_what_is_not_sure_says_so() -> None:
    """Neither replicas from a load that passed once, nor a number from runs that are too short for it."""
    for render in (sweep_text.render, sweep_markdown.render):
        found = render(samples.undecided)
        assert "no replicas are reckoned from a load that is not confirmed by repetition" in found
        assert "one replica carries" not in found
    text = sweep_text.render(samples.short)
    assert "UNDECIDED   longer runs would tell" in text
    assert "1 of 3 runs have no value, so no interval" in text and "undecided" in text


def test_what_lax_lets_pass_is_said_to_be_undecided() -> None:
    words = sweep_words.headline(replace(samples.short, exit_code=0))
    assert words == ("VALID", f"met by each run's own number (--lax), not decided over all: {SLO}")


def test_foreign_text_is_made_safe() -> None:
    text = sweep_text.render(hostile())
    assert not any(sign in text for sign in "\x1b\x00\u202e")
    page, command = sweep_markdown.render(hostile()), code(hostile().resume)
    assert command in page  # as it is, to be copied
    assert "<script>" not in page.replace(command, "") and "\x1b" not in page
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


@settings(deadline=None)
@given(HOSTILE)
def test_no_text_of_a_sweep_is_markup_for_github(evil: str) -> None:
    assert_inert(lambda text: sweep_markdown.render(hostile(text)), evil)


@pytest.mark.parametrize("name", samples.ALL)
def test_markdown_has_a_row_for_each_cell(name: str) -> None:
    sweep = samples.ALL[name]
    rows = [line for line in sweep_markdown.render(sweep).splitlines() if line.startswith("|")]
    assert len(rows) == (len(sweep.cells) + 2 if sweep.cells else 0)
    assert len({line.count("|") for line in rows}) <= 1


def test_a_line_about_a_cell_says_where_and_what() -> None:
    line = sweep_text.line(cell(3, 4), 8, True, True)
    assert line == "cell 3 of 8   rate 4   pass   ttft p99 200 ms   e2e p99 3.10 s   (there already)"
