"""A real server as a child process: started on a free port, waited for, and ended with everything that it started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

PATIENCE = 240.0
"""Seconds that a server may take to start; vLLM compiles nothing here, but imports much."""
SLOTS = 16
"""Sequences that the vLLM of the tests runs at a time."""
CONTEXT = 2048
"""Tokens that fit its model, prompt and answer together."""
_TO_END = 20.0
_TAIL = 4000  # characters of the log that are shown


class ServerProcess:
    """Start `command` with `--port` and a free port added, and end its process group on leaving.

    Everything that it prints goes to `log`. Raises RuntimeError with the end of the log if it does not get ready.

    The group stays in this session: Linux shares each core between sessions before it does between processes
    (autogroup), and a sender that mostly sleeps then waits for seconds behind a server of another session.
    """

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str]) -> None:
        self.log = log
        self._command = command
        self._env = {**os.environ, **env}
        self.url = ""

    def __enter__(self) -> ServerProcess:
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        with self.log.open("wb") as log:
            self._child = subprocess.Popen([*self._command, "--host", "127.0.0.1", "--port", str(port)],
                                           stdout=log, stderr=subprocess.STDOUT, env=self._env, process_group=0)
        try:
            self._wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._signal(signal.SIGTERM)
        try:
            self._child.wait(_TO_END)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def kill(self) -> None:
        """Kill the server and its children at once."""
        self._signal(signal.SIGKILL)
        self._child.wait()

    def kill_child(self, name: str) -> None:
        """Kill the child whose process name begins with `name`; raises LookupError if there is none."""
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
            except OSError:  # it has ended meanwhile
                continue
            if fields["Name"].startswith(name) and int(fields["PPid"]) == self._child.pid:
                os.kill(int(status.parent.name), signal.SIGKILL)
                return
        raise LookupError(f"the server has no child {name}")

    def get(self, path: str) -> str:
        """Return the body of a path."""
        with urllib.request.urlopen(self.url + path, timeout=_TO_END) as reply:
            return str(reply.read().decode())

    @property
    def tail(self) -> str:
        """The end of the log."""
        return self.log.read_text(errors="replace")[-_TAIL:]

    def _wait_ready(self) -> None:
        limit = time.monotonic() + PATIENCE
        while self._child.poll() is None and time.monotonic() < limit:
            try:
                self.get("/health")
                return
            except (OSError, urllib.error.URLError):
                time.sleep(0.25)
        raise RuntimeError(f"{' '.join(self._command)} did not get ready (exit {self._child.poll()}):\n{self.tail}")

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._child.pid, number)
        except ProcessLookupError:
            pass


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
