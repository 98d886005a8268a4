"""Rows and run directories that the tests of the store share."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from loadgen.recorder.batch import COLUMNS, Batch
from loadgen.run_files import RunWriter
from loadgen.types import Health, RequestRow

HEALTH = Health(5, 0, 10, 4096, reads=3)


def row(index: int, **changes: Any) -> RequestRow:
    given = RequestRow(index, 1, index * 1000, sent=index * 1000 + 5, end=index * 1000 + 900, token_at=[index,
                                                                                                        index + 7],
                token_count=[1, 2], token_lag=[30, 40], output_tokens=3, output_source="usage", finish_reason="length",
                server={"server_queue": index})
    return replace(given, **changes)


def as_rows(batches: Iterable[Batch]) -> list[RequestRow]:
    found = []
    for batch in batches:
        for i in range(len(batch)):
            cells = (getattr(batch, name)[i] for name in COLUMNS)
            found.append(RequestRow(*[c.tolist() if isinstance(c, np.ndarray | np.generic) else c for c in cells]))
    return found


def writer_of(path: Path, *parts: list[RequestRow], **options: Any) -> RunWriter:
    """Return a writer that has written a plan and each part as a batch."""
    writer = RunWriter(path, **options)
    writer.write_plan({"target": {"backend": "openai"}})
    for part in parts:
        writer.write_rows(Batch.of(part))
    return writer


ROWS = [row(0),
        row(1, token_at=[], token_count=[], token_lag=[], failure="timeout", detail="no token in 5 s ✂", server={}),
        row(2, held=True, server={"server_queue": 1, "server_prefill": 2}), row(3, status=200, end=2**62)]
