"""The requests of several runs in one Parquet file, with the run's name and the metrics of each request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from loadgen.recorder.batch import COLUMNS
from loadgen.run_files.arrow import ROW_SCHEMA, to_arrow, write_parquet
from loadgen.summary.run_data import RequestColumns, RunData, of_a_request
from loadgen.types import ABSENT


def _added() -> list[str]:
    return [name for name in of_a_request() if name not in COLUMNS]


def merged_schema() -> pa.Schema:
    """Return columns of requests.parquet between the name of the run and metrics, which are ns and null where absent.
    """
    fields = [pa.field("run", pa.string(), nullable=False), *ROW_SCHEMA]
    return pa.schema([*fields, *(pa.field(name, pa.int64()) for name in _added())], metadata=ROW_SCHEMA.metadata)


def write(results: Sequence[RunData], sink: BinaryIO) -> None:
    """Write all requests of all runs, a row group in memory at a time."""
    records = (_record(result.name, requests) for result in results for requests in result.requests())
    write_parquet(records, sink, merged_schema(), _added())


def _record(run: str, requests: RequestColumns) -> Any:
    size = len(requests.batch)
    names = pa.DictionaryArray.from_arrays(np.zeros(size, np.int8), [run]).dictionary_decode()
    added = [pa.array(requests.metrics[name], mask=requests.metrics[name] == ABSENT) for name in _added()]
    return pa.record_batch([names, *to_arrow(requests.batch).columns, *added], merged_schema())
