from array import array
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.recorder.batch import COLUMNS, RAGGED, Batch, ListColumn
from loadgen.types import ABSENT, RequestRow

INSTANT = st.integers(-1, 2**62)
COUNT = st.integers(-1, 2**31 - 1)
WORD = st.text(max_size=8)


@st.composite
def rows(draw: st.DrawFn) -> RequestRow:
    events = draw(st.lists(st.tuples(INSTANT, st.integers(0, 9), INSTANT), max_size=5))
    return RequestRow(
        draw(st.integers(0, 10**9)), draw(st.integers(0, 2)), draw(INSTANT), sent=draw(INSTANT), end=draw(INSTANT),
        token_at=[e[0] for e in events], token_count=[e[1] for e in events], token_lag=[e[2] for e in events],
        input_tokens=draw(COUNT), output_source=draw(WORD), detail=draw(WORD), held=draw(st.booleans()),
        failure=draw(st.sampled_from(["", "connect", "timeout"])),
        server=draw(st.dictionaries(st.sampled_from(["server_queue", "server_prefill"]), INSTANT)))


def as_rows(batch: Batch) -> list[RequestRow]:
    return [RequestRow(**{name: cell(getattr(batch, name)[i]) for name in COLUMNS}) for i in range(len(batch))]


def cell(value: object) -> object:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def test_the_columns_are_the_fields_of_a_row_in_order() -> None:
    assert [field.name for field in fields(RequestRow)] == list(COLUMNS)
    assert {name for name, kind in COLUMNS.items() if kind is ListColumn} == set(RAGGED)


@given(st.lists(rows(), max_size=6))
def test_a_batch_holds_every_field_of_every_row(given_rows: list[RequestRow]) -> None:
    batch = Batch.of(given_rows)
    assert len(batch) == len(given_rows)
    assert as_rows(batch) == given_rows


@given(st.lists(rows(), max_size=6))
def test_good_rows_are_those_without_a_failure(given_rows: list[RequestRow]) -> None:
    good = Batch.of(given_rows).good
    assert (good.tolist(), good.dtype) == ([row.failure == "" for row in given_rows], np.bool_)


@given(st.lists(st.tuples(rows(), st.booleans()), max_size=6))
def test_select_keeps_the_rows_of_the_mask(marked: list[tuple[RequestRow, bool]]) -> None:
    batch = Batch.of([row for row, _ in marked])
    mask = np.asarray([keep for _, keep in marked], np.bool_)
    chosen = batch.select(mask)
    assert as_rows(chosen) == [row for row, keep in marked if keep]
    assert chosen.token_at.offsets[0] == 0


@given(st.lists(st.lists(st.integers(-5, 2**40), max_size=4), max_size=5))
def test_ragged_lists_come_back_whatever_holds_them(lists: list[list[int]]) -> None:
    forms = [list, lambda x: array("q", x), lambda x: np.asarray(x, np.int64)]
    mixed = [forms[i % 3](part) for i, part in enumerate(lists)]
    ragged = ListColumn.of(mixed, np.int64)
    assert [ragged[i].tolist() for i in range(len(ragged))] == lists
    assert ragged.lengths.tolist() == [len(part) for part in lists]
    assert ragged.values.dtype == np.int64


def test_narrow_and_strided_arrays_are_read_by_value() -> None:
    wide = np.arange(10, dtype=np.int64)[::2]
    narrow = np.asarray([7, 8], np.int32)
    assert ListColumn.of([wide, narrow, array("i", [9])], np.int32).values.tolist() == [0, 2, 4, 6, 8, 7, 8, 9]
    assert ListColumn.of([wide], np.int32).values.dtype == np.int32


def test_types_of_the_columns() -> None:
    batch = Batch.of([RequestRow(0, 1, 5, token_at=[1], token_count=[1], token_lag=[1])])
    assert batch.due.dtype == np.int64
    assert batch.status.dtype == np.int32
    assert batch.status[0] == ABSENT
    assert batch.held.dtype == np.bool_
    assert (batch.token_at.values.dtype, batch.token_count.values.dtype) == (np.int64, np.int32)


def test_an_empty_batch_is_a_batch() -> None:
    batch = Batch.of([])
    assert len(batch) == len(batch.token_at) == 0
    assert len(batch.select(np.zeros(0, np.bool_))) == 0


def test_numbers_that_a_server_made_up_do_not_stop_the_run() -> None:
    batch = Batch.of([RequestRow(0, 1, 5, usage_tokens=10**30, output_tokens=-(10**30), end=10**30, token_at=[10**30],
                          token_count=[2**40], token_lag=[-(10**30)])])
    assert batch.usage_tokens[0] == 2**31 - 1
    assert batch.output_tokens[0] == -(2**31)
    assert batch.end[0] == batch.token_at[0][0] == 2**63 - 1
    assert batch.token_count[0][0] == 2**31 - 1
    assert batch.token_lag[0][0] == -(2**63)


def test_text_where_a_number_belongs_is_a_bug() -> None:
    with pytest.raises((TypeError, ValueError)):
        Batch.of([RequestRow(0, 1, "soon")])  # type: ignore[arg-type]
