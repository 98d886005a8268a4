"""How long to wait for what, decided without a clock."""

from __future__ import annotations

from dataclasses import dataclass

from loadgen.types import SECOND, Failure


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of one request in ns; 0 is for ever."""

    connect: int = 0
    first_token: int = 0
    idle: int = 0
    total: int = 0

    @property
    def watched(self) -> bool:
        """Whether a request in flight needs a timer at all."""
        return bool(self.first_token or self.idle or self.total)


def judge(limits: Limits, since_sent: int, since_read: int | None) -> tuple[Failure | None, int]:
    """Say whether a limit has passed, and if not, in how many ns the next one could.

    `since_read` is the time since the last byte of the answer's body, None before the first one.
    """
    waits = [(limits.total, since_sent, "total: the answer took longer than")]
    if since_read is None:
        waits.append((limits.first_token, since_sent, "first token: nothing came within"))
    else:
        waits.append((limits.idle, since_read, "idle: nothing more came for"))
    left = []
    for limit, passed, words in waits:
        if limit and passed >= limit:
            return Failure("timeout", f"{words} {limit / SECOND:g} s", words.split(":")[0]), 0
        if limit:
            left.append(limit - passed)
    if since_read is None and limits.idle:
        left.append(limits.idle)
    return None, min(left, default=0)
