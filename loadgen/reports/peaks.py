"""The busiest second and the most requests at a time, as some tools report them; from the rows."""

from __future__ import annotations

import numpy as np

from loadgen.histogram import Integers
from loadgen.result import Result
from loadgen.types import ABSENT, MEASURED

_SECOND = 1_000_000_000


def peaks(result: Result) -> tuple[int, int]:
    """Return (output tokens of the busiest second, most requests in flight at once) of the measured successes.

    Seconds count from the start of the window.
    """
    sent, ended = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    start = result.report.window.get("start", 0)
    tokens = np.zeros(1, np.int64)  # by second since then
    for requests in result.requests():
        batch = requests.batch
        good = (batch.phase == MEASURED) & batch.good
        good &= requests.metrics["e2e"] != ABSENT
        sent.append(batch.sent[good])
        ended.append(batch.sent[good] + requests.metrics["e2e"][good])
        seconds = np.maximum(batch.token_at.select(good).values - start, 0) // _SECOND
        found = np.bincount(seconds, batch.token_count.select(good).values).astype(np.int64)
        longer, shorter = (found, tokens) if found.size > tokens.size else (tokens, found)
        tokens = longer.copy()
        tokens[: shorter.size] += shorter
    return int(tokens.max()), _most(np.concatenate(sent), np.concatenate(ended))


def _most(sent: Integers, ended: Integers) -> int:
    """Return the most intervals [sent, ended) that overlap; one that ends makes room for one that begins."""
    instants = np.concatenate([ended, sent])
    steps = np.concatenate([np.full(ended.size, -1), np.ones(sent.size, np.int64)])
    order = np.argsort(instants, kind="stable")
    return int(np.cumsum(steps[order]).max(initial=0))
