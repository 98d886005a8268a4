"""The view of a run while it goes on: a few lines that redraw themselves on a terminal, or a line every 5 seconds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from loadgen.reports.format import clean, count, duration, rate
from loadgen.reports.text.layout import cut, row
from loadgen.types import ABSENT, SECOND, Progress

REDRAW: Final = 250_000_000
"""ns between two pictures of the screen; more often is unreadable, and takes time from the capture."""
PLAIN: Final = 5_000_000_000
"""ns between two plain lines."""
_WIDEST: Final = 100
_ONE_LINE: Final = 10**6
_DIGITS: Final = re.compile(r"\d")


class Silent:
    """The view of --quiet: nothing."""

    def start(self, title: str) -> None:
        """Say nothing."""

    def update(self, progress: Progress) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Say nothing; what is worth a warning is in the report too."""

    def stop(self) -> None:
        """Say nothing."""


class Lines:
    """The view where there is no terminal: one line every 5 seconds and at each change of phase."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next = 0
        self._phase = ""
        self._warned: set[str] = set()

    def start(self, title: str) -> None:
        """Write the title, and begin."""
        self._write(clean(title))

    def update(self, progress: Progress) -> None:
        """Write a line if one is due by the progress's own clock."""
        if progress.phase == self._phase and progress.elapsed < self._next:
            return
        self._phase, self._next = progress.phase, progress.elapsed + PLAIN
        self._write(f"{_clock(progress.elapsed)} {progress.phase}: {', '.join(_in_a_line(progress))}")
        for text in progress.warnings:
            words = _DIGITS.sub("", text)  # one that only changed its numbers has been said
            if words not in self._warned:
                self._warned.add(words)
                self.warn(text)

    def warn(self, text: str) -> None:
        """Write a warning at once."""
        self._write(f"warning: {clean(text)}")

    def stop(self) -> None:
        """Write nothing more."""

    def _write(self, line: str) -> None:
        encoding = self._stream.encoding or "utf-8"
        print(line.encode(encoding, "replace").decode(encoding), file=self._stream, flush=True)


class Screen:
    """The view on a terminal: redrawn in place, at most four times a second, and gone at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False,
                          redirect_stderr=False)
        self._drawn = -REDRAW
        self._phase = ""
        self._running = False

    def start(self, title: str) -> None:
        """Write the title and begin to draw below it."""
        self._console.print(Text(cut(clean(title), self._console.width), style="bold"))
        self._live.start()
        self._running = True

    def update(self, progress: Progress) -> None:
        """Draw the progress, unless the last picture is younger than a quarter of a second by its own clock."""
        if not self._running or (progress.phase == self._phase and progress.elapsed < self._drawn + REDRAW):
            return
        self._phase, self._drawn = progress.phase, progress.elapsed
        self._live.update(picture(progress, self._console.width, self._console.encoding), refresh=True)

    def warn(self, text: str) -> None:
        """Write a warning above the picture, where it stays."""
        self._console.print(Text(f"warning: {clean(text)}", style="yellow"), soft_wrap=True)

    def stop(self) -> None:
        """Take the picture away; do nothing if there is none."""
        if self._running:
            self._live.stop()
        self._running = False


def choose(stream: TextIO, *, quiet: bool) -> Silent | Lines | Screen:
    """Choose the view for a stream: none, plain lines, or a picture where it is a terminal that can redraw."""
    if quiet:
        return Silent()
    console = Console(file=stream, highlight=False)
    return Screen(console) if console.is_terminal and not console.is_dumb_terminal else Lines(stream)


def picture(progress: Progress, width: int, encoding: str = "utf-8") -> Text:
    """Draw the progress as lines of at most `width` cells, always the same number of them."""
    width = min(width, _WIDEST)
    lines = [_bar(progress, width, encoding)]
    failures = [f"{clean(kind)} {count(times)}" for kind, times in progress.failures.items()]
    rows = (("offered", _offered(progress), False), ("completed", _completed(progress), False),
            ("p50 / p99", [*_latency(progress)] or ["-"], False),
            ("failed", [count(progress.failed), *failures], bool(failures)),
            ("client", [f"lag p99 {_or_dash(progress.lag_p99)}"], False),
            ("so far", [*map(clean, progress.warnings)] or ["nothing speaks against the numbers"],
             bool(progress.warnings)))
    for label, items, alarming in rows:
        lines.append(Text(cut(row(label, items, _ONE_LINE)[0], width), style="yellow" if alarming else ""))
    return Text("\n").join(lines)


def _bar(progress: Progress, width: int, encoding: str) -> Text:
    fraction, said = _how_far(progress)
    start = f"  {progress.phase:<12} "
    room = max(0, min(40, width - len(start) - len(said) - 2))
    full, rest = ("━", "─") if encoding.lower().startswith("utf") else ("#", "-")
    done = round(room * fraction)
    bar = Text(start, style="bold")
    bar.append(full * done, style="not bold green")
    bar.append(rest * (room - done), style="not bold bright_black")
    bar.append(f"  {said}", style="not bold")
    bar.truncate(width)
    return bar


def _how_far(progress: Progress) -> tuple[float, str]:
    elapsed = max(0, progress.elapsed)
    if progress.total != ABSENT and progress.total > 0:
        left = max(0, progress.total - elapsed)
        return min(1.0, elapsed / progress.total), (
            f"{_clock(elapsed)} of {_clock(progress.total)}, " + (f"{_clock(left)} left" if left else "waiting"))
    if progress.planned > 0:
        return min(1.0, progress.offered / progress.planned), (
            f"{_clock(elapsed)}, {count(progress.offered)} of {count(progress.planned)} requests" + _left(progress))
    return 0.0, _clock(elapsed)


def _left(progress: Progress) -> str:
    remaining = progress.planned - progress.offered
    if remaining <= 0 or progress.offered_rate <= 0:
        return ""
    return f", {_clock(round(remaining / progress.offered_rate * SECOND))} left"


def _offered(progress: Progress) -> list[str]:
    return [f"{count(progress.offered)} at {rate(progress.offered_rate)}/s", f"in flight {count(progress.in_flight)}"]


def _completed(progress: Progress) -> list[str]:
    return [f"{count(progress.completed)} at {rate(progress.completed_rate)}/s",
            f"{count(progress.token_rate)} tokens/s"]


def _latency(progress: Progress) -> Iterator[str]:
    for name, (p50, p99) in progress.quantiles.items():
        yield f"{name} {_or_dash(p50)} / {_or_dash(p99)}"


def _in_a_line(progress: Progress) -> Iterator[str]:
    yield f"offered {count(progress.offered)} ({rate(progress.offered_rate)}/s)"
    yield f"completed {count(progress.completed)} ({rate(progress.completed_rate)}/s)"
    yield f"in flight {count(progress.in_flight)}"
    if progress.failures:
        yield f"failed {count(progress.failed)} ({', '.join(f'{clean(k)} {n}' for k, n in progress.failures.items())})"
    yield from (f"{latency} (p50 / p99)" for latency in _latency(progress) if "- / -" not in latency)
    if progress.lag_p99 != ABSENT:
        yield f"lag p99 {_or_dash(progress.lag_p99)}"


def _or_dash(ns: int) -> str:
    return duration(None if ns == ABSENT else ns)


def _clock(ns: int) -> str:
    """Write whole seconds as "42 s", "3:05" or "1:02:03"."""
    seconds = max(0, ns) // SECOND
    if seconds < 100:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
