"""The busiest second as `vllm bench serve` counts it; from the rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from loadgen.stats.histogram import Integers
from loadgen.summary.run_data import RunData
from loadgen.types import ABSENT, MEASURED, SECOND


def peaks(result: RunData) -> tuple[int, int]:
    """Return (chunks of the busiest second, requests that had a part in the busiest one) of the measured successes.

    Seconds count from when the first of them was sent, and a request has a part in each from the one in which it was
    sent to that of its last chunk: calculate_metrics in vllm/benchmarks/serve.py of vllm-project/vllm. The rows are
    read twice.
    """
    spans = [(int(sent.min()), int(last.max())) for _, sent, last in _successes(result) if sent.size]
    start, end = min((span[0] for span in spans), default=0), max((span[1] for span in spans), default=0)
    seconds = (end - start) // SECOND + 2
    chunks, changes = np.zeros(seconds, np.int64), np.zeros(seconds, np.int64)
    for instants, sent, last in _successes(result):
        np.add.at(chunks, np.maximum(instants - start, 0) // SECOND, 1)
        np.add.at(changes, (sent - start) // SECOND, 1)
        np.add.at(changes, (last - start) // SECOND + 1, -1)
    return int(chunks.max()), int(np.cumsum(changes).max())


def _successes(result: RunData) -> Iterator[tuple[Integers, Integers, Integers]]:
    """Yield (instants of all chunks, when each request was sent, when its last chunk came), batch by batch."""
    for requests in result.requests():
        batch, e2e = requests.batch, requests.metrics["e2e"]
        good = (batch.phase == MEASURED) & batch.good & (e2e != ABSENT)
        sent = batch.sent[good]
        yield requests.chunk_at.select(good).values, sent, sent + e2e[good]
