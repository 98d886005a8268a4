"""One sender process, as the desk sees it: started, written to, ended."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import dataclass, field

from loadgen.engine.messages import CallBatch, Item, ToSender
from loadgen.protocols.link import Link

_FAREWELL = 5.0  # s that a sender has to end by itself


@dataclass(slots=True)
class SenderProcess:
    """A sender process and what the desk knows of it."""

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
        """Start one; the socket is the desk's end of the line to it."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "loadgen.engine.sender", str(theirs.fileno())]
            # In our session on purpose: Linux shares out its processors by session first (autogroup), and a sender
            # in one of its own waited up to seconds behind a server of many threads in another.
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        return cls(number, process), ours

    def send(self, message: ToSender) -> None:
        """Send a message, if it is there to take it."""
        if self.link is not None and not self.lost:
            self.link.send(message)

    def flush(self) -> None:
        """Send the batch."""
        if self.batch:
            self.send(CallBatch(self.batch))
            self.batch = []

    def close(self) -> None:
        """Close the line to it, which lets it end."""
        if self.link is not None:
            self.link.close()

    def end(self) -> None:
        """Wait until it has ended; kill it if it does not."""
        try:
            self.process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
