"""Which request goes wrong, and how: kinds, shares and the draw. What a kind does on the wire is in stream.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Final

from loadgen.types import UsageError

STATUS: Final = {"500": 500, "503": 503, "429": 429, "404": 404, "redirect": 302}
"""Kinds that answer with a status at once."""

KINDS: Final = {
    **{kind: f"answer {status} at once" for kind, status in STATUS.items()},
    "refuse": "close the connection without a byte",
    "reset": "reset the connection (RST) in the middle of the answer",
    "cut": "close the connection properly (FIN) in the middle of the answer",
    "garbage": "send an event that is not JSON in the middle of the answer, then go on",
    "overload": "refuse at once as the server does when it has too many requests: TGI by an error event under 200",
    "callback-timeout": "write MindIE's bare text `Engine callback timeout.` in the middle of a 200 answer and end it",
    "errevent": "send an error event in the middle of a 200 stream, then end it properly",
    "stall": "stop in the middle of the answer and never go on",
    "slow-headers": "hold the headers back for --slow",
    "empty": "end properly without one token",
    "nodone": "end without finish reason and without [DONE]",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One --fault: a share of the requests at random, or exactly every n-th (`every` > 0)."""

    kind: str
    share: float
    every: int = 0


def parse_fault(text: str) -> Fault:
    """Read "500:0.01" (a share, at random) or "500:1/100" (exactly every 100th). Raise UsageError otherwise."""
    kind, _, share = text.partition(":")
    if kind not in KINDS:
        raise UsageError(f"unknown fault {kind!r}: write one of {', '.join(KINDS)}")
    numerator, slash, every = share.partition("/")
    if slash and numerator == "1" and every.isascii() and every.isdecimal() and int(every[:9]) > 0:
        return Fault(kind, float(Fraction(1, int(every[:9]))), int(every[:9]))
    try:
        value = float(share) if not slash else -1.0
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"fault {text!r} has no share: write {kind}:0.01 (at random) or {kind}:1/100 (every 100th)")
    return Fault(kind, value)


class Faults:
    """Draws at most one fault a request; the same seed gives the same faults to the same requests."""

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        if sum(fault.share for fault in faults) > 1 + 1e-9:
            raise UsageError("the shares of --fault add up to more than 1: write smaller ones")
        self.counts: dict[str, int] = {}
        self._exact = [fault for fault in faults if fault.every]
        self._given = [0] * len(self._exact)
        self._random = [fault for fault in faults if not fault.every]
        self._generator = Random(f"faults/{seed}")

    def draw(self, number: int) -> str:
        """Say which fault request `number` (from 1, each once, ascending) meets; "" for none.

        The j-th exact fault falls on requests N-j, 2N-j, ...; where two meet, the later one falls on the next request.
        """
        chance = self._generator.random()
        kind = self._owed(number) or self._by_share(chance)
        if kind:
            self.counts[kind] = self.counts.get(kind, 0) + 1
        return kind

    def _owed(self, number: int) -> str:
        for j, fault in enumerate(self._exact):
            phase = j % fault.every
            if (number + phase) // fault.every > self._given[j]:
                self._given[j] += 1
                return fault.kind
        return ""

    def _by_share(self, chance: float) -> str:
        for fault in self._random:
            if chance < fault.share:
                return fault.kind
            chance -= fault.share
        return ""
