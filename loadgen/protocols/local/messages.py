"""What a sender and the process of a model say to each other."""

from __future__ import annotations

import msgspec

from loadgen.types import ABSENT, Failure


class LocalRequest(msgspec.Struct, tag=True):
    """A request: `data` is the body of its Call."""

    number: int  # of the sender's own, so that an attempt is not taken for the one before
    data: bytes


class Drop(msgspec.Struct, tag=True):
    """Nobody waits for this request any more: its answer is what it has by now."""

    number: int


class LocalAnswer(msgspec.Struct, tag=True):
    """A request has ended, or was dropped.

    `stamps`, `reads` and `offsets` are those of a Timeline, one element a token event; the i-th offset is i + 1, since
    the events are in `payload` all together. `end` is CLOCK_MONOTONIC ns.
    """

    number: int
    end: int = ABSENT
    stamps: bytes = b""
    reads: bytes = b""
    offsets: bytes = b""
    payload: bytes = b""
    failure: Failure | None = None


ToModel = LocalRequest | Drop
ToSender = LocalAnswer
