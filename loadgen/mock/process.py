"""The mock as a child process, for tests and benchmarks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final

_PATIENCE: Final = 10.0
"""Seconds to wait for answers and for the end."""


class MockProcess:
    """Start `python -m loadgen.mock` on a free port and end it on leaving.

        with MockProcess(["--ttft", "20ms"]) as mock:
            mock.url, mock.truth()

    The child also ends when this process does, however that comes. Raise RuntimeError if it does not start.
    """

    def __init__(self, args: Sequence[str] = ()) -> None:
        self.args = [*args]
        self.url = ""

    def __enter__(self) -> MockProcess:
        command = [sys.executable, "-m", "loadgen.mock", "--port", "0", *self.args, "--stop-with-stdin"]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._child.stdout is not None
        line = self._child.stdout.readline().strip()
        if not line.startswith("listening on "):
            self._end()
            raise RuntimeError(f"the mock did not start (exit {self._child.returncode}): {self.args}")
        self.url = line.removeprefix("listening on ")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def pid(self) -> int:
        return self._child.pid

    def truth(self, ended: int = 0) -> dict[str, Any]:
        """Get GET /truth, once at least `ended` requests have ended (http only). Raise TimeoutError after 10 s."""
        limit = time.monotonic() + _PATIENCE
        while True:
            truth: dict[str, Any] = json.loads(self.get("/truth"))
            if truth["totals"]["ended"] >= ended:
                return truth
            if time.monotonic() > limit:
                raise TimeoutError(f"{truth['totals']['ended']} of {ended} requests have ended")
            time.sleep(0.005)

    def reset(self) -> None:
        """Forget the truth so far."""
        self.get("/truth/reset")

    def get(self, path: str) -> bytes:
        """Get the body of any path."""
        with urllib.request.urlopen(self.url + path, timeout=_PATIENCE) as reply:
            body: bytes = reply.read()
            return body

    def _end(self) -> None:
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
        self._child.terminate()
        try:
            self._child.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
