"""The requests of several runs in one Parquet file, with the run's name and the metrics of each request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa

from loadgen.recorder.batch import COLUMNS
from loadgen.run_files.arrow import ROW_SCHEMA, to_arrow, write_parquet
from loadgen.summary.run_data import OF_A_REQUEST, RequestColumns, RunData
from loadgen.types import ABSENT

_ADDED: Final = tuple(name for name in OF_A_REQUEST if name not in COLUMNS)
MERGED_SCHEMA: Final = pa.schema(
    [pa.field("run", pa.string(), nullable=False), *ROW_SCHEMA, *(pa.field(name, pa.int64()) for name in _ADDED)],
    metadata=ROW_SCHEMA.metadata)
"""Columns of requests.parquet between the name of the run and the metrics, which are ns and null where absent."""


def write(results: Sequence[RunData], sink: BinaryIO) -> None:
    """Write all requests of all runs, a row group in memory at a time."""
    records = (_record(result.name, requests) for result in results for requests in result.requests())
    write_parquet(records, sink, MERGED_SCHEMA, _ADDED)


def _record(run: str, requests: RequestColumns) -> Any:
    size = len(requests.batch)
    names = pa.DictionaryArray.from_arrays(np.zeros(size, np.int8), [run]).dictionary_decode()
    added = [pa.array(requests.metrics[name], mask=requests.metrics[name] == ABSENT) for name in _ADDED]
    return pa.record_batch([names, *to_arrow(requests.batch).columns, *added], MERGED_SCHEMA)
