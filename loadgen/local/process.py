"""The desk's handle on the process of a model: starts it, waits until it is loaded, asks for facts, ends it."""

from __future__ import annotations

import io
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import Any

from loadgen.local.control import HOME, Facts, Loaded, LoadModel, Refused, Tell, ToDesk
from loadgen.protocols.http.address import Address
from loadgen.protocols.link import MessageFrames, encode
from loadgen.types import UsageError

_READ_SIZE = 1 << 16
_PATIENCE = 10.0  # s for an answer about facts, and for the process to end by itself
_LOOK = 1.0  # s between looks at whether a process that says nothing is there
_LAST_WORDS = 600  # characters of its output that are shown when it died
_ERROR = re.compile(r"(?:^|\s)(?:\w+\.)*[A-Z]\w*(?:Error|Exception): .+$", re.MULTILINE)
"""The last line of a traceback, which a log may have put something in front of."""


class ModelProcess:
    """The process of one model. What it prints goes into a file, which it removes when it ends by itself."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix=HOME))
        path = str(self._home / "socket")
        self._control, theirs = socket.socketpair()
        with (socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening, theirs,
              (self._home / "model.log").open("wb") as log):
            self._log = io.FileIO(log.name)
            listening.bind(path)
            listening.listen(64)
            command = [sys.executable, "-m", "loadgen.local.host", str(theirs.fileno()), str(listening.fileno())]
            # In our session on purpose, as senders are: processors are shared out by session first.
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno(), listening.fileno()],
                                             stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                             process_group=0)
        self._frames = MessageFrames(ToDesk)
        self.address = Address(socket.AF_UNIX, (path,), "model")

    def load(self, order: LoadModel) -> Loaded:
        """Let it load the model, and wait. Raises UsageError if that can't be done, RuntimeError for a bug."""
        self._control.sendall(encode(order))
        told = self._hear()
        if isinstance(told, Loaded):
            return told
        if isinstance(told, Refused) and not told.bug:
            raise UsageError(told.why + self._cause(told.why))
        why = told.why if isinstance(told, Refused) else f"it ended while it loaded{self._how()}"
        raise UsageError(f"the model can't be loaded: {why}\n{self._last_words()}")

    def facts(self) -> dict[str, Any]:
        """Return what the process says of itself now; empty if it has died."""
        try:
            self._control.sendall(encode(Tell()))
            told = self._hear(_PATIENCE)
        except OSError:
            return {}
        return told.facts if isinstance(told, Facts) else {}

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def end(self, keep_log: Path | None = None) -> None:
        """End the process with all that it started, and keep what it printed as `keep_log`, if it printed anything."""
        self._control.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            pass
        _kill_group(self._process)
        if keep_log is not None and os.fstat(self._log.fileno()).st_size:
            self._log.seek(0)
            with keep_log.open("wb") as kept:
                shutil.copyfileobj(self._log, kept)
        self._log.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def interrupt(self) -> None:
        """Kill the process, so that a `load` which waits for it returns."""
        _kill_group(self._process)

    def _hear(self, patience: float = math.inf) -> Loaded | Refused | Facts | None:
        """Wait for one message; None when the process has gone, or after `patience` seconds.

        What it started may have the other end of the socket too: there is no end of it then when the process ends.
        """
        self._control.settimeout(_LOOK)
        until = monotonic() + patience
        while True:
            there = self.alive
            try:
                data = self._control.recv(_READ_SIZE)
            except TimeoutError:
                if there and monotonic() < until:
                    continue
                return None
            if not data:
                return None
            for message in self._frames.feed(data):
                told: Loaded | Refused | Facts = message
                return told

    def _how(self) -> str:
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            return ""
        if code >= 0:
            return f" (exit code {code})"
        return f" (killed by {signal.Signals(-code).name}{': out of memory?' if code == -signal.SIGKILL else ''})"

    def _cause(self, why: str) -> str:
        """Return the first error that was printed, if `why` does not say it: of an engine's own process, say."""
        found = _ERROR.search(self._printed())
        return f"\n  {found[0].strip()}" if found and found[0].strip() not in why else ""

    def _printed(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def _last_words(self) -> str:
        lines = self._printed()[-_LAST_WORDS:].splitlines()
        return "\n".join(f"  {line}" for line in lines if line.strip())


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and what it started, which is its process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
