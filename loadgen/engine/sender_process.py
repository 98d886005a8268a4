"""A sender process from the desk's side: starts it, writes to it, ends it."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import dataclass, field

from loadgen.engine.messages import CallBatch, Item, ToSender
from loadgen.protocols.link import Link

_GRACE = 5.0  # s for a sender to end by itself


@dataclass(slots=True)
class SenderProcess:
    """A sender process and its state. Use: `start(number)`, set `link`, `send`, `flush`, `close`, `end`."""

    number: int
    process: subprocess.Popen[bytes]
    link: Link | None = None
    outstanding: int = 0  # calls handed over that have not ended
    batch: list[Item] = field(default_factory=list)  # to be sent together
    ready: bool = False
    finished: bool = False
    lost: bool = False

    @classmethod
    def start(cls, number: int) -> tuple[SenderProcess, socket.socket]:
        """Start a process; the socket is the desk's end of the connection to it."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "loadgen.engine.sender", str(theirs.fileno())]
            # In our session on purpose: Linux shares out its processors by session first (autogroup), and a sender
            # in one of its own waited up to seconds behind a server of many threads in another.
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        return cls(number, process), ours

    def send(self, message: ToSender) -> None:
        """Send a message, unless the process is lost."""
        if self.link is not None and not self.lost:
            self.link.send(message)

    def flush(self) -> None:
        """Send the batch of calls."""
        if self.batch:
            self.send(CallBatch(self.batch))
            self.batch = []

    def close(self) -> None:
        """Close the connection, so that the process ends."""
        if self.link is not None:
            self.link.close()

    def end(self) -> None:
        """Wait until the process has ended; kill it if it doesn't."""
        try:
            self.process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
