"""A dispatcher for tests, with a clock that tests move."""

from __future__ import annotations

from loadgen.engine.dispatch import Dispatch, Policy
from loadgen.engine.messages import Item
from loadgen.types import Timeline


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


class Alarm:
    """A pacer that only remembers what it was armed for."""

    def __init__(self) -> None:
        self.at: list[int] = []

    def arm(self, at: int) -> None:
        self.at.append(at)

    def close(self) -> None:
        pass


class Bench:
    """A dispatch, its clock and what it launched."""

    def __init__(self, **policy: object) -> None:
        self.clock = Clock()
        self.alarm = Alarm()
        self.launched: list[Timeline] = []
        self.dispatch = Dispatch(Policy(**policy), self.launch, self.clock)  # type: ignore[arg-type]

    def launch(self, timeline: Timeline, data: bytes) -> None:
        timeline.sent = self.clock.now
        self.launched.append(timeline)

    def at(self, now: int) -> list[int]:
        """Move the clock, wake up, and say what was launched by then."""
        self.clock.now = now
        self.dispatch.wake()
        return [timeline.index for timeline in self.launched]

    def end(self, index: int, now: int) -> None:
        self.clock.now = now
        timeline = next(t for t in self.launched if t.index == index)
        timeline.end = now
        self.dispatch.release(timeline)


def items(*due: int) -> list[Item]:
    return [Item(index, at, 0, b"x") for index, at in enumerate(due)]
