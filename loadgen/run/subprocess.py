"""One run in a process of its own: a run lowers its own priority, which the next one must not inherit.

The process is in a group of its own, so Ctrl-C in a terminal reaches it only through `stop`, and it ends with the one
that started it, however that ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Final, TypeVar

from loadgen.exit_codes import INTERRUPTED, INVALID, USAGE
from loadgen.types import UsageError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ProcessEnd:
    """How a process ended; `said` is what was wrong with what was asked, if it could not start."""

    code: int  # of its exit; negative is the signal that killed it
    said: str = ""


class RunProcess:
    """Calls `target` with `argument` in another process; what it returns is the exit code there.

    The target is found by its name, so it is a function of a module; its argument can be pickled.
    """

    def __init__(self, target: Callable[[_T], int], argument: _T) -> None:
        self._call = (target, argument)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def stop(self) -> None:
        """Let the run end early: it drains and reports what it has; once more cancels what is in flight.

        Before `run`, it keeps it from starting.
        """
        self._stopped = True
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)

    def run(self) -> ProcessEnd:
        """Start the process and wait for its end. One that was stopped was interrupted, unless it says worse of itself.
        """
        from multiprocessing import Pipe  # takes a moment, and most commands start no process

        ours, theirs = Pipe()
        with ours:
            with theirs, _held():
                if self._stopped:
                    return ProcessEnd(INTERRUPTED)
                # Not a session of its own: Linux shares out its processors by session first.
                self._process = subprocess.Popen(
                    [sys.executable, "-m", __name__, str(theirs.fileno())], pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL, process_group=0)
            with suppress(ConnectionError):  # it has ended already
                ours.send(self._call)
            code = self._process.wait()
            said = _heard(ours)
        return ProcessEnd(INTERRUPTED if self._stopped and code != INVALID else code, said)


@contextmanager
def forward_signals(on_signal: Callable[[int], None]) -> Iterator[None]:
    """Call `on_signal` with the number of each SIGINT and SIGTERM, in place of what handled them before."""
    def handler(number: int, frame: FrameType | None) -> None:
        on_signal(number)

    before = {each: signal.signal(each, handler) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)


@contextmanager
def _held() -> Iterator[None]:
    """Let signals wait: here until the process is known, and in the process, which inherits it, until it can answer."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _heard(line: Connection) -> str:
    try:
        return str(line.recv()) if line.poll() else ""
    except (EOFError, ConnectionError):
        return ""


def _serve(line: Connection) -> int:
    """Be the process: do what comes over the line, and say over it what was wrong with what was asked."""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what is in its background ignore it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        target, argument = line.recv()
        threading.Thread(target=_end_with, args=(line,), daemon=True).start()
        code: int = target(argument)
    except UsageError as error:
        with suppress(ConnectionError):
            line.send(str(error))
        return USAGE
    except (KeyboardInterrupt, EOFError):  # before a run took over the signal, or before there was anything to do
        return INTERRUPTED
    return code


def _end_with(line: Connection) -> None:
    """Let a program that is killed leave no load behind: its end of the line is closed then."""
    with suppress(ConnectionError):
        line.poll(None)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    from multiprocessing.connection import Connection

    sys.exit(_serve(Connection(int(sys.argv[1]))))
