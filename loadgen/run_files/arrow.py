"""Batches as Arrow record batches and Parquet: the schema of requests.parquet, and nothing else knows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from loadgen.outcomes.report import SCHEMA
from loadgen.recorder.batch import COLUMNS, RAGGED, Batch, ListColumn, saturated
from loadgen.types import UsageError

_VERSION: Final = b"loadgen.schema"
_GROUP: Final = 16 << 20
"""Bytes of rows in memory that make a Parquet row group: what writing and reading hold at once."""
_SIMPLE: Final[Mapping[type, Any]] = {
    np.int64: pa.int64(), np.int32: pa.int32(), np.bool_: pa.bool_(), str: pa.string(),
    dict: pa.map_(pa.string(), pa.int64())}


def _type_of(name: str, kind: type) -> Any:
    return pa.list_(_SIMPLE[RAGGED[name]]) if kind is ListColumn else _SIMPLE[kind]


ROW_SCHEMA: Final = pa.schema([pa.field(name, _type_of(name, kind), nullable=False) for name, kind in COLUMNS.items()],
                              metadata={_VERSION: str(SCHEMA).encode()})


def to_arrow(batch: Batch) -> Any:
    """Return the batch as a pyarrow RecordBatch of ROW_SCHEMA."""
    return pa.record_batch([_to_column(name, kind, getattr(batch, name)) for name, kind in COLUMNS.items()], ROW_SCHEMA)


def _to_column(name: str, kind: type, column: Any) -> Any:
    if kind is ListColumn:
        return pa.ListArray.from_arrays(pa.array(column.offsets, pa.int32()), pa.array(column.values),
                                        type=_type_of(name, kind))
    if kind is str:
        return _texts(column)
    if kind is dict:
        pairs = [[(key, saturated(value, np.int64)) for key, value in cell.items()] for cell in column]
        return pa.array(pairs, _SIMPLE[dict])
    return pa.array(column)


def _texts(column: list[str]) -> Any:
    try:
        return pa.array(column, pa.string())
    except UnicodeEncodeError:  # JSON can hold half a surrogate pair, and UTF-8 can not
        return pa.array([text.encode("utf-8", "replace").decode() for text in column], pa.string())


def from_arrow(record: Any) -> Batch:
    """Return a pyarrow RecordBatch of ROW_SCHEMA as a Batch, whose arrays may be views and not writable."""
    return Batch(**{name: _from_column(kind, record.column(name)) for name, kind in COLUMNS.items()})


def _from_column(kind: type, column: Any) -> Any:
    if kind is ListColumn:
        offsets = column.offsets.to_numpy().astype(np.int64)
        return ListColumn(column.values.to_numpy()[offsets[0] : offsets[-1]], offsets - offsets[0])
    if kind is str:
        return column.to_pylist()
    if kind is dict:
        return [dict(pairs) for pairs in column.to_pylist()]
    return column.to_numpy(zero_copy_only=False)


def stream_head() -> bytes:
    """Return what an Arrow IPC stream of rows begins with; each batch follows as stream_part()."""
    return bytes(ROW_SCHEMA.serialize())


def stream_part(batch: Batch) -> bytes:
    """Return the batch as one message of an Arrow IPC stream."""
    return bytes(to_arrow(batch).serialize())


def read_stream(path: Path) -> Iterator[Any]:
    """Yield the record batches of an Arrow IPC stream, up to the last whole one, one in memory at a time.

    Raises UsageError if the rows are of a newer schema.
    """
    with pa.OSFile(str(path), "rb") as source:
        messages = pa.ipc.MessageReader.open_stream(source)
        schema = None
        while True:
            try:
                message = messages.read_next_message()
                record = pa.ipc.read_record_batch(message, schema) if schema else None
            except (StopIteration, OSError, pa.ArrowInvalid):
                return  # the end, or what was cut off when the run was killed
            if record is not None:
                yield record
            else:
                schema = pa.ipc.read_schema(message)
                _check_schema(schema, path)


def rows_to_parquet(records: Iterable[Any], sink: BinaryIO, see: Callable[[Batch], Batch] | None = None) -> None:
    """Write record batches of ROW_SCHEMA into a Parquet file (zstd), a row group in memory at a time.

    `see` is given each batch and returns the one to write, which may be the same.
    """
    write_parquet((_seen(one, see) for one in records) if see else records, sink, ROW_SCHEMA)


def _seen(record: Any, see: Callable[[Batch], Batch]) -> Any:
    batch = from_arrow(record)
    after = see(batch)
    return record if after is batch else to_arrow(after)


def write_parquet(records: Iterable[Any], sink: BinaryIO, schema: Any, deltas: Sequence[str] = ()) -> None:
    """Write record batches of `schema`, which has the columns of ROW_SCHEMA, a row group in memory at a time.

    `deltas` are further columns of integers that differ little from one to the next.
    """
    words = [field.name for field in schema if field.type == pa.string()]
    packed = ("due", "sent", "end", *deltas, *(f"{name}.list.element" for name in RAGGED))
    with pq.ParquetWriter(sink, schema, compression="zstd", use_dictionary=words,
                          column_encoding=dict.fromkeys(packed, "DELTA_BINARY_PACKED")) as writer:
        held: list[Any] = []
        for record in records:
            held.append(record)
            if sum(part.nbytes for part in held) >= _GROUP:
                writer.write_table(pa.Table.from_batches(held))
                held = []
        if held:
            writer.write_table(pa.Table.from_batches(held))


def read_parquet(path: Path) -> Iterator[Any]:
    """Yield the rows of a Parquet file as record batches, one row group in memory at a time.

    Raises UsageError if the file is damaged or of a newer schema.
    """
    try:
        with pq.ParquetFile(path) as file:
            _check_schema(file.schema_arrow, path)
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group, columns=list(COLUMNS)).combine_chunks().to_batches()
    except (pa.ArrowInvalid, OSError) as error:
        raise UsageError(f"{path} is damaged: {error}") from error


def _check_schema(schema: Any, path: Path) -> None:
    version = (schema.metadata or {}).get(_VERSION, b"")
    if not version.isdigit():
        raise UsageError(f"{path} holds no rows of loadgen")
    if int(version) > SCHEMA:
        raise UsageError(f"{path} was written by a newer loadgen (schema {int(version)}, known is {SCHEMA}): "
                         "upgrade loadgen to read it")
