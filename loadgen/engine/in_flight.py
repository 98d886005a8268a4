"""The record of a request in flight: what the desk's side knows of it, from its call until its last attempt has ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from loadgen.engine.messages import Item
from loadgen.types import ABSENT, Failure, Request, Timeline


@dataclass(slots=True)
class InFlight:
    """One request. `due` is ns since the start of the schedule, `sent` CLOCK_MONOTONIC ns.

    `due` is what was planned, and from `launch` on what the sender went by: in a closed loop, when a slot got free.
    """

    index: int
    due: int
    target: int
    data: bytes  # the call; empty once the last attempt was handed over
    request: Request
    retries: int = 0  # attempts that may follow this one
    attempt: int = 0
    sender: int = ABSENT  # which one has it
    phase: int = ABSENT  # WARMUP, MEASURED or COOLDOWN, from its first launch on
    launched: bool = False  # a sender has said so of this attempt
    sent: int = ABSENT  # ABSENT also for one that was launched without a connection
    parts: list[bytearray] = field(default_factory=list)  # of a long answer that has not ended

    def hand_over(self, sender: int) -> Item:
        """Let a sender have it; gives what it is sent."""
        self.sender = sender
        item = Item(self.index, self.due, self.target, self.data, self.attempt)
        if not self.retries:
            self.data = b""
        return item

    def launch(self, due: int, sent: int) -> None:
        """Take note that this attempt went out."""
        self.launched = True
        self.due = due
        self.sent = sent

    def take_parts(self, timeline: Timeline) -> None:
        """Put the parts that came ahead before what the timeline of the attempt holds."""
        if self.parts:
            timeline.payload = b"".join((*self.parts, timeline.payload))
            self.parts = []

    def lost(self, failure: Failure) -> Timeline:
        """Make the timeline of an attempt whose sender will not: all that is known of it here."""
        self.parts = []
        return Timeline(self.index, self.sender, self.target, self.due, self.sent, failure=failure,
                        attempt=self.attempt)

    def retry(self, due: int) -> None:
        """Begin another attempt; its phase stays that of the first."""
        self.attempt += 1
        self.retries -= 1
        self.due = due
        self.launched = False
        self.sent = ABSENT
