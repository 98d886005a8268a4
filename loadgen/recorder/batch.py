"""The Batch: many Rows as columns, for folding with numpy and for writing to files."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import compress
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from loadgen.types import RequestRow

Integers = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class ListColumn:
    """A list for each row, laid end to end: row i holds values[offsets[i]:offsets[i + 1]]; offsets is int64[n + 1]."""

    values: npt.NDArray[Any]
    offsets: Integers

    def __len__(self) -> int:
        return self.offsets.size - 1

    def __getitem__(self, row: int) -> npt.NDArray[Any]:
        """Return the list of one row, a view."""
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> Integers:
        """How long the list of each row is; int64[n]."""
        return np.diff(self.offsets)

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]], dtype: type[np.integer[Any]]) -> ListColumn:
        """Join lists, arrays of array("q") or numpy arrays of integers, in any mixture.

        A number beyond `dtype` becomes its largest or smallest: a server can say anything.
        """
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        joined = np.frombuffer(b"".join([_int64(part) for part in lists]), np.int64)
        if dtype is not np.int64:
            limits = np.iinfo(dtype)
            joined = joined.clip(limits.min, limits.max).astype(dtype)
        return cls(joined, offsets)

    def select(self, mask: npt.NDArray[np.bool_]) -> ListColumn:
        """Return the lists of the rows where `mask`, bool[n], is true."""
        lengths = self.lengths
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[mask])])
        return ListColumn(self.values[np.repeat(mask, lengths)], offsets)


def _int64(part: Any) -> Any:
    """Return the integers of one list as something that holds them as int64 in memory."""
    if isinstance(part, array) and part.typecode == "q":
        return part
    if isinstance(part, np.ndarray):
        return np.ascontiguousarray(part, np.int64)
    try:
        return array("q", part)
    except OverflowError:
        return array("q", [saturated(value, np.int64) for value in part])


def saturated(value: int, kind: type) -> int:
    """Return `value`, or the largest or smallest number of the numpy integer type `kind` where it is beyond that."""
    limits = np.iinfo(kind)
    return min(max(value, int(limits.min)), int(limits.max))


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as columns, by the names of Row's fields; all n long.

    Instants are int64 ns since the start of the schedule, counts int32, both ABSENT where there is none.
    """

    index: Integers
    phase: Counts
    due: Integers
    sent: Integers
    sent_end: Integers
    first_byte: Integers
    first_answer: Integers
    end: Integers
    connect: Integers
    tls: Integers
    token_at: ListColumn  # int64
    token_count: ListColumn  # int32
    token_lag: ListColumn  # int64
    coalesced: Counts
    unstamped: Counts
    reads: Counts
    input_tokens: Counts
    input_source: list[str]
    output_tokens: Counts
    output_source: list[str]
    usage_tokens: Counts
    asked_tokens: Counts
    finish_reason: list[str]
    failure: list[str]
    failure_type: list[str]
    detail: list[str]
    status: Counts
    sender: Counts
    target: Counts
    attempt: Counts
    held: npt.NDArray[np.bool_]
    reconnects: Counts
    server: list[Mapping[str, int]]

    @classmethod
    def of(cls, rows: Sequence[RequestRow]) -> Batch:
        """Turn rows into columns. A number beyond its column becomes the column's largest or smallest."""
        columns: dict[str, Any] = {}
        for name, kind in COLUMNS.items():
            cells = [getattr(row, name) for row in rows]
            columns[name] = cells if kind in (str, dict) else _column(name, kind, cells)
        return cls(**columns)

    def __len__(self) -> int:
        return self.index.size

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """Which rows are successes; bool[n], made anew each time."""
        return np.asarray([not failure for failure in self.failure], np.bool_)

    def select(self, mask: npt.NDArray[np.bool_]) -> Batch:
        """Return the rows where `mask`, bool[n], is true, as copies."""
        return Batch(**{name: _selected(getattr(self, name), mask) for name in COLUMNS})


RAGGED: Final[Mapping[str, type[np.integer[Any]]]] = {
    "token_at": np.int64, "token_count": np.int32, "token_lag": np.int64}
# Annotations are text here, so that a column's type is said once, in Batch.
_DTYPE: Final[Mapping[str, type]] = {
    "Integers": np.int64, "Counts": np.int32, "npt.NDArray[np.bool_]": np.bool_, "list[str]": str,
    "ListColumn": ListColumn, "list[Mapping[str, int]]": dict}
COLUMNS: Final[Mapping[str, type]] = {field.name: _DTYPE[str(field.type)] for field in fields(Batch)}
"""What each column holds: a numpy type, str, dict, or ListColumn (whose type is in RAGGED)."""


def _column(name: str, kind: type, cells: list[Any]) -> Any:
    if kind is ListColumn:
        return ListColumn.of(cells, RAGGED[name])
    try:
        return np.fromiter(cells, kind, len(cells))
    except OverflowError:
        return np.fromiter((saturated(cell, kind) for cell in cells), kind, len(cells))


def _selected(column: Any, mask: npt.NDArray[np.bool_]) -> Any:
    if isinstance(column, ListColumn):
        return column.select(mask)
    if isinstance(column, np.ndarray):
        return column[mask]
    chosen: Iterable[Any] = compress(column, mask.tolist())
    return list(chosen)
