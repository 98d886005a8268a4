"""The text that the mock generates: words, each a token with an id."""

from __future__ import annotations

from typing import Final

WORDS: Final = tuple(
    f" {word}"
    for word in (
        *("the", "of", "load", "token", "and", "rate", "is", "queue", "time", "a", "server", "batch", "to", "model"),
        *("prefill", "decode", "in", "open", "loop", "arrival", "for", "latency", "first", "last", "each", "request"),
        *("stream", "event", "wait", "slot", "kernel", "stamp", "schedule", "with", "über", "你好", "limit", "goodput"),
    )
)
LAP: Final = len(WORDS)
FIRST_ID: Final = 1000  # token id of WORDS[0]


def words(first: int, count: int) -> str:
    """Write tokens `first` to `first + count - 1` of an answer."""
    return "".join(WORDS[i % LAP] for i in range(first, first + count))


def token_ids(first: int, count: int) -> list[int]:
    """Give the ids of the same tokens."""
    return [FIRST_ID + i % LAP for i in range(first, first + count)]
