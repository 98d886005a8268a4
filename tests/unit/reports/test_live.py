"""The view of a running test: what it shows, how seldom it draws, and that it fits."""

import io
from collections.abc import Mapping
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from loadgen.reports.text import live
from loadgen.types import ABSENT, Progress

SECOND = 1_000_000_000
MS = 1_000_000
NONE: Mapping[str, int] = {}
START = Progress(0, 66 * SECOND, "warm-up", 660, 0, 0, 0, 0, 0.0, 0.0, 0.0,
                 {"ttft": (ABSENT, ABSENT), "itl": (ABSENT, ABSENT)}, NONE, ABSENT)
LATER = Progress(31 * SECOND, 66 * SECOND, "measured", 660, 310, 290, 2, 18, 10.02, 9.93, 1270.4,
                 {"ttft": (184 * MS, 341 * MS), "itl": (19_800_000, 31_400_000)}, {"in_band": 2}, 120_000,
                 ("tokens are read late",))


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def screen(width: int = 100) -> tuple[live.Screen, Terminal]:
    stream = Terminal()
    return live.Screen(Console(file=stream, force_terminal=True, width=width, height=24, color_system=None)), stream


def test_the_picture_says_everything_that_the_progress_holds() -> None:
    assert live.picture(LATER, 100).plain.splitlines() == [
        "  measured     " + "━" * 19 + "─" * 21 + "  31 s of 66 s, 35 s left",
        "  offered      310 at 10.02/s   in flight 18",
        "  completed    290 at 9.93/s   1,270 tokens/s",
        "  p50 / p99    ttft 184 ms / 341 ms   itl 19.8 ms / 31.4 ms",
        "  failed       2   in_band 2",
        "  client       lag p99 0.12 ms",
        "  so far       tokens are read late",
    ]


def test_the_picture_of_a_beginning_has_dashes_where_nothing_was_seen() -> None:
    lines = live.picture(START, 100, "ascii").plain.splitlines()
    assert lines[0] == "  warm-up      " + "-" * 40 + "  0 s of 66 s, 66 s left"
    assert lines[3] == "  p50 / p99    ttft - / -   itl - / -"
    assert lines[6] == "  so far       nothing speaks against the numbers"


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 300])
@pytest.mark.parametrize("progress", [START, LATER, replace(LATER, failures={"x" * 90: 1}, warnings=("語" * 90,))])
def test_the_picture_fits_and_never_changes_its_height(width: int, progress: Progress) -> None:
    lines = live.picture(progress, width).plain.split("\n")
    assert len(lines) == 7
    assert all(cell_len(line) <= width for line in lines)


@pytest.mark.parametrize(("changes", "said"), [
    ({"elapsed": 70 * SECOND}, "70 s of 66 s, waiting"),
    ({"elapsed": -SECOND}, "0 s of 66 s, 66 s left"),
    ({"total": ABSENT}, "31 s, 310 of 660 requests, 34 s left"),
    ({"total": ABSENT, "offered": 660}, "31 s, 660 of 660 requests"),
    ({"total": ABSENT, "planned": ABSENT}, "31 s"),
    ({"elapsed": 130 * SECOND, "total": 4_000 * SECOND}, "2:10 of 1:06:40, 1:04:30 left"),
])
def test_the_bar_tells_the_time_that_is_left(changes: dict[str, int], said: str) -> None:
    bar = live.picture(replace(LATER, **changes), 100).plain.splitlines()[0]
    assert bar.endswith(f"  {said}")
    assert bar.count("━") <= 40


def test_a_screen_draws_at_most_four_times_a_second_of_the_run() -> None:
    view, stream = screen()
    view.start("title")
    for tick in range(100):
        view.update(replace(LATER, elapsed=tick * 10 * MS))
    assert stream.getvalue().count("offered ") == 4
    view.stop()


def test_a_screen_draws_a_new_phase_at_once_and_warnings_above() -> None:
    view, stream = screen()
    view.start("ti\x1btle")
    view.update(START)
    view.update(replace(START, elapsed=1, phase="measured"))
    view.warn("several \x1b[2J models")
    view.stop()
    view.stop()
    out = stream.getvalue()
    assert "ti?tle\n" in out
    assert "warning: several ?[2J models\n" in out
    assert "  measured " in out


def test_a_screen_that_was_never_started_can_be_updated_and_stopped() -> None:
    view, stream = screen()
    view.update(LATER)
    view.stop()
    assert stream.getvalue() == ""


def test_plain_lines_come_every_five_seconds_and_at_each_phase() -> None:
    stream = io.StringIO()
    view = live.Lines(stream)
    view.start("loadgen")
    for tick in range(121):
        phase = "warm-up" if tick < 10 else "measured"
        view.update(replace(LATER, elapsed=tick * SECOND // 10, phase=phase, failures=NONE,
                            warnings=(f"{tick} % errors",) if tick > 70 else ()))
    view.warn("disk is slow")
    view.stop()
    seen = ("offered 310 (10.02/s), completed 290 (9.93/s), in flight 18, ttft 184 ms / 341 ms (p50 / p99), "
            "itl 19.8 ms / 31.4 ms (p50 / p99), lag p99 0.12 ms")
    assert stream.getvalue().splitlines() == [
        "loadgen", f"0 s warm-up: {seen}", f"1 s measured: {seen}", f"6 s measured: {seen}", f"11 s measured: {seen}",
        "warning: 110 % errors",
        "warning: disk is slow",
    ]


def test_plain_lines_name_failures_by_class() -> None:
    stream = io.StringIO()
    live.Lines(stream).update(LATER)
    assert "failed 2 (in_band 2)" in stream.getvalue()


def test_a_plain_line_leaves_out_what_was_not_seen_yet() -> None:
    stream = io.StringIO()
    live.Lines(stream).update(START)
    assert stream.getvalue() == "0 s warm-up: offered 0 (0.00/s), completed 0 (0.00/s), in flight 0\n"


def test_the_view_is_chosen_by_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(live.choose(Terminal(), quiet=False), live.Screen)
    assert isinstance(live.choose(io.StringIO(), quiet=False), live.Lines)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(live.choose(Terminal(), quiet=False), live.Lines)


def test_a_quiet_view_writes_nothing() -> None:
    stream = Terminal()
    view = live.choose(stream, quiet=True)
    view.start("title")
    view.update(LATER)
    view.warn("careful")
    view.stop()
    assert stream.getvalue() == ""
