"""Writes the page of a run into its directory, report.html, and whatever else is written after its answer is shown."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

from loadgen.outcomes.report import PAGE

if TYPE_CHECKING:
    from loadgen.summary.run_data import RunData


class PageInterrupted(BaseException):
    """Ctrl-C while a page was made.

    No KeyboardInterrupt: where one passes through an import that runs text, as those of dataclasses do, Python ends
    with the signal whatever main returns.
    """


def write_page(result: RunData) -> None:
    """Write the page of a run that was read back. Raise UsageError if it can't be written."""
    from loadgen.cli.files import write_whole
    from loadgen.reports.html import run_page

    write_whole(result.dir / PAGE, run_page(result.report, result.figures()), instead="")


def add_page(result: RunData) -> None:
    """Write the page of a run that has just ended; warn if there is no space or Ctrl-C comes.

    It is written after the table is shown; what its charts show was made when the run's files were written.
    """
    add_file(PAGE, lambda: write_page(result), f"Make it later with: loadgen report {result.dir}")


def add_file(name: str, write: Callable[[], None], remedy: str) -> bool:
    """Write a file beside an answer that was printed, which must not be lost with it: warn if it can't be written.

    `write` raises UsageError then; Ctrl-C, too, ends only the writing. Returns whether it was written.
    """
    from loadgen.types import UsageError

    try:
        with stoppable():
            write()
    except (UsageError, PageInterrupted) as error:
        print(f"loadgen: warning: there is no {name}: {error}. {remedy}", file=sys.stderr)
        return False
    return True


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let Ctrl-C raise PageInterrupted."""
    before = signal.signal(signal.SIGINT, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _stop(number: int, frame: FrameType | None) -> None:
    raise PageInterrupted("it was interrupted")
