"""The record of a request in flight: all that the desk knows about it until its last attempt has ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from loadgen.engine.messages import Item
from loadgen.types import ABSENT, Failure, Request, Timeline


@dataclass(slots=True)
class InFlight:
    """One request. `due` is ns since the start of the schedule, `sent` CLOCK_MONOTONIC ns.

    `due` is what was planned until `launch`, then what the sender reported: in a closed loop, when a slot got free.
    """

    index: int
    due: int
    target: int
    data: bytes  # the call; empty once the last attempt was handed over
    request: Request
    retries: int = 0  # attempts that may follow this one
    attempt: int = 0
    sender: int = ABSENT  # the sender that has it
    phase: int = ABSENT  # WARMUP, MEASURED or COOLDOWN, set at its first launch
    launched: bool = False  # this attempt was reported as sent
    sent: int = ABSENT  # ABSENT also while it waits for a connection
    parts: list[bytearray] = field(default_factory=list)  # of a long answer that has not ended yet

    def hand_over(self, sender: int) -> Item:
        """Assign it to a sender and return the call to send there."""
        self.sender = sender
        item = Item(self.index, self.due, self.target, self.data, self.attempt)
        if not self.retries:
            self.data = b""
        return item

    def launch(self, due: int, sent: int) -> None:
        """Note that this attempt was sent."""
        self.launched = True
        self.due = due
        self.sent = sent

    def take_parts(self, timeline: Timeline) -> None:
        """Prepend the parts that arrived before the timeline to its payload."""
        if self.parts:
            timeline.payload = b"".join((*self.parts, timeline.payload))
            self.parts = []

    def give_up(self, failure: Failure) -> Timeline:
        """Make the timeline of an attempt whose sender won't, from what the desk knows."""
        self.parts = []
        return Timeline(self.index, self.sender, self.target, self.due, self.sent, failure=failure,
                        attempt=self.attempt)

    def retry(self, due: int) -> None:
        """Begin another attempt, in the phase of the first."""
        self.attempt += 1
        self.retries -= 1
        self.due = due
        self.launched = False
        self.sent = ABSENT
