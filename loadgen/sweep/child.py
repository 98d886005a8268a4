"""One run in a process of its own: a run lowers its own priority, and the next must not inherit that."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final

from loadgen.plan import Plan
from loadgen.types import UsageError

USAGE: Final = 2
INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run's process ended; `said` is what was wrong with what was asked, if it could not start."""

    code: int
    said: str = ""


class Child:
    """A run that goes on in another process, in a group of its own: Ctrl-C reaches it only through `stop`."""

    def __init__(self, plan: Plan, quiet: bool) -> None:
        """Start it."""
        context = multiprocessing.get_context("spawn")
        self._told, telling = context.Pipe(duplex=False)
        self._process: BaseProcess = context.Process(target=_run, args=(plan, quiet, telling))
        self._process.start()
        telling.close()

    def stop(self) -> None:
        """Let the run end early: it drains and reports what it has; once more cancels what is in flight."""
        if self._process.is_alive() and self._process.pid:
            os.kill(self._process.pid, signal.SIGINT)

    def wait(self) -> Ended:
        """Wait for its end."""
        self._process.join()
        said = ""
        try:
            if self._told.poll():
                said = self._told.recv()
        except EOFError:
            pass
        self._told.close()
        return Ended(self._process.exitcode if self._process.exitcode is not None else -1, said)


def _run(plan: Plan, quiet: bool, telling: Connection) -> None:
    os.setpgid(0, 0)  # not a session: Linux shares out its processors by session first
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from loadgen.reports.live import choose
    from loadgen.run import execute

    try:
        report, _ = execute(plan, choose(sys.stderr, quiet=quiet))
    except UsageError as error:
        telling.send(str(error))
        sys.exit(USAGE)
    except KeyboardInterrupt:  # before the run took over the signal
        sys.exit(INTERRUPTED)
    sys.exit(report.verdict.exit_code)


def _end_with_parent() -> None:
    """Let a sweep that is killed leave no load behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
