"""Tensors as bytes, shapes, and perf_analyzer's input files."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.backends.triton.inputs import Inputs, made_up, parse_shapes, read_file, value_of
from loadgen.backends.triton.tensors import NUMPY, Tensor, TensorModel, fit, flat, pack, unpack_texts
from loadgen.types import UsageError
from loadgen.workload import lengths
from support.triton_models import model_with

IMAGES = model_with("image FP32 -1,3,-1,-1", "label BYTES -1,1", "extra INT64 -1,1?", decoupled=False, output="score",
                    batches=True)
INTEGERS = [name for name in NUMPY if "INT" in name]


def tensor(datatype: str, *shape: int) -> Tensor:
    return Tensor("x", datatype, shape or (-1,))


@given(st.lists(st.text()))
def test_texts_come_back(texts: list[str]) -> None:
    assert unpack_texts(pack(tensor("BYTES"), texts)) == texts


@given(st.sampled_from(INTEGERS), st.data())
def test_whole_numbers_come_back(datatype: str, data: st.DataObject) -> None:
    limits = np.iinfo(NUMPY[datatype])
    values = data.draw(st.lists(st.integers(int(limits.min), int(limits.max))))
    assert np.frombuffer(pack(tensor(datatype), values), NUMPY[datatype]).tolist() == values
    for outside in (int(limits.min) - 1, int(limits.max) + 1):
        with pytest.raises(UsageError, match=rf"the tensor x {datatype}\[-1\] can't hold {outside}"):
            pack(tensor(datatype), [*values, outside])


@given(st.lists(st.floats(width=32, allow_nan=False)))
def test_floats_come_back(values: list[float]) -> None:
    assert np.frombuffer(pack(tensor("FP32"), values), "<f4").tolist() == values
    assert np.frombuffer(pack(tensor("FP64"), values), "<f8").tolist() == values


def test_half_precision_and_truth() -> None:
    assert pack(tensor("FP16"), [1.0, -2]) == struct.pack("<2e", 1, -2)
    assert pack(tensor("BF16"), [1.0, -2]) == b"\x80\x3f\x00\xc0"
    assert pack(tensor("BOOL"), [True, 0, 1]) == b"\1\0\1"


@pytest.mark.parametrize(("datatype", "value", "words"), [
    ("FP32", "1", "holds numbers, not '1'"), ("FP32", True, "holds numbers, not True"),
    ("INT32", 1.5, "holds whole numbers, not 1.5"), ("UINT8", False, "holds whole numbers, not False"),
    ("BOOL", 2, "holds true and false, not 2"), ("BYTES", 3, "holds texts, not 3"), ("BYTES", None, "holds texts"),
    ("COMPLEX", 1, "has a datatype that can't be sent"), ("INT8", -129, "can't hold -129"),
])
def test_an_element_of_the_wrong_kind_is_named(datatype: str, value: object, words: str) -> None:
    with pytest.raises(UsageError, match=rf"the tensor x {datatype}\[-1\] {words}"):
        pack(tensor(datatype), [value])


@given(st.binary(max_size=30))
def test_texts_of_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        texts = unpack_texts(raw)
    except ValueError:
        return
    assert 4 * len(texts) <= len(raw)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.booleans(), st.data())
def test_a_shape_has_as_many_elements_as_were_given(sizes: list[int], batches: bool, data: st.DataObject) -> None:
    hidden = data.draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes)))
    wanted = [-1 if hide else size for hide, size in zip(hidden, sizes, strict=True)]
    one = tensor("FP32", *([-1] if batches else []), *wanted)
    assert fit(one, prod(sizes), batches, sizes) == ((1, *sizes) if batches else tuple(sizes))
    if hidden.count(True) <= 1:
        assert fit(one, prod(sizes), batches) == ((1, *sizes) if batches else tuple(sizes))


@pytest.mark.parametrize(("shape", "count", "given_shape", "words"), [
    ((3, 4), 11, None, r"of shape \[3, 4\] needs 12 elements; 11 were given"),
    ((-1, 4), 11, None, r"of shape \[1, 4\] needs 4 elements; 11 were given"),
    ((-1, -1), 11, None, r"is variable: write --shape x:N,N with numbers"),
    ((3, -1), 12, [4, 3], r"can't have the shape \[4, 3\]: the model needs \[3, -1\]"),
    ((3, -1), 12, [12], r"can't have the shape \[12\]"),
    ((-1, 4), 12, [2, 4], r"of shape \[2, 4\] needs 8 elements; 12 were given"),
])
def test_a_shape_that_does_not_fit_is_told(shape: Sequence[int], count: int, given_shape: Sequence[int] | None,
                                           words: str) -> None:
    with pytest.raises(UsageError, match=words):
        fit(tensor("FP32", *shape), count, False, given_shape)


def test_several_variable_dimensions_of_one_element_are_one() -> None:
    assert fit(tensor("INT32", -1, -1), 1, True) == (1, 1)
    assert fit(tensor("INT32", -1, -1), 1, False) == (1, 1)
    assert flat([[1, [2]], (3,)]) == [1, 2, 3]
    assert flat("ab") == ["ab"]


# Files.


def write(path: Path, data: object) -> Path:
    path = path / "data.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def file_of(path: Path, *entries: object, model: TensorModel = IMAGES, shapes: Sequence[str] = ()) -> Inputs:
    return read_file(write(path, {"data": entries}), model, parse_shapes(shapes, model))


def test_every_form_of_an_entry(tmp_path: Path) -> None:
    raw = struct.pack("<3f", 1, 2, 3)
    text = base64.b64encode(raw).decode()
    forms: list[Any] = [{"content": [1, 2, 3], "shape": [3, 1, 1]}, {"content": {"b64": text}, "shape": [3, 1, 1]},
                        {"b64": text}, [1.0, 2.0, 3.0], [[[1]], [[2]], [[3]]]]
    inputs = file_of(tmp_path, *({"image": form, "label": "cat"} for form in forms), shapes=["image:3,1,1"])
    assert [(step["image"].shape, step["image"].raw) for step in inputs.steps] == [((1, 3, 1, 1), raw)] * 5
    assert inputs.step(7)["label"].raw == b"\3\0\0\0cat"
    assert (inputs.count, inputs.describe()["entries"], inputs.count_tokens) == (5, 5, None)
    assert inputs.request(3).index == 3
    assert inputs.request(3).max_output_tokens is None


def test_the_shape_of_an_entry_outranks_the_flag(tmp_path: Path) -> None:
    inputs = file_of(tmp_path, {"image": {"content": [0] * 12, "shape": [3, 2, 2]}, "label": ["a"]},
                     {"image": [0] * 3, "label": ["a"]}, shapes=["image:3,1,1"])
    assert [step["image"].shape for step in inputs.steps] == [(1, 3, 2, 2), (1, 3, 1, 1)]


def test_texts_in_base64_are_framed(tmp_path: Path) -> None:
    framed = base64.b64encode(b"\3\0\0\0cat").decode()
    entry = {"image": {"content": [1, 2, 3], "shape": [3, 1, 1]}, "label": {"b64": framed}}
    assert file_of(tmp_path, entry).step(0)["label"].raw == b"\3\0\0\0cat"
    entry["label"] = {"b64": base64.b64encode(b"cat").decode()}
    with pytest.raises(UsageError, match=r"label BYTES\[-1, 1\] is given as \"b64\" of 3 bytes, which are not 4 bytes"):
        file_of(tmp_path, entry)


def test_one_stream_is_a_list_and_several_are_refused(tmp_path: Path) -> None:
    entry = {"image": {"content": [1, 2, 3], "shape": [3, 1, 1]}, "label": ["a"]}
    assert file_of(tmp_path, [entry, entry]).count == 2
    with pytest.raises(UsageError, match="entry 0: several streams of data are for sequence models"):
        file_of(tmp_path, [entry], [entry])


GOOD = {"content": [1, 2, 3], "shape": [3, 1, 1]}


@pytest.mark.parametrize(("entry", "words"), [
    ({"image": GOOD}, r"entry 0: the tensor label BYTES\[-1, 1\] is missing; there is image"),
    ({"image": GOOD, "lable": ["a"], "label": "a"}, r"no input tensor 'lable'; did you mean label\?; it has image"),
    ({"image": [1] * 12, "label": "a"}, r"image FP32\[-1, 3, -1, -1\] is variable: write --shape image:3,N,N"),
    ({"image": {"content": [1, 2], "shape": [3, 1, 1]}, "label": "a"}, "needs 3 elements; 2 were given"),
    ({"image": {"content": ["a"] * 3, "shape": [3, 1, 1]}, "label": "a"}, "holds numbers, not 'a'"),
    ({"image": {"content": [1] * 4, "shape": [4, 1, 1]}, "label": "a"},
     r"can't have the shape \[4, 1, 1\]: the model needs \[3, -1, -1\] \(without the batch\)"),
    ({"image": {"content": [1] * 3, "shape": "3"}, "label": "a"}, "is a list of whole numbers, not '3'"),
    ({"image": {"contents": [1]}, "label": "a"}, r"given as an object with 'contents': write \{\"content\""),
    ({"image": {"b64": "@"}, "label": "a"}, "which is not base64"),
    ({"image": {"b64": "AAAA"}, "label": "a"}, 'has elements of 4 bytes; "b64" has 3 bytes'),
    ("image", "an entry is an object of tensors, not 'image'"),
])
def test_what_is_wrong_in_an_entry_is_named(tmp_path: Path, entry: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        file_of(tmp_path, entry)


@pytest.mark.parametrize(("content", "words"), [
    ("{", "is not JSON"), ("[]", "has no entries"), ('{"data": []}', "has no entries"), ('{"data": {}}', "no entries"),
])
def test_what_is_wrong_with_a_file(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_file(write(tmp_path, content), IMAGES, {})
    with pytest.raises(UsageError, match=r"can't be read .*: name a JSON file"):
        read_file(tmp_path, IMAGES, {})


def test_what_is_filled_otherwise_need_not_be_there(tmp_path: Path) -> None:
    inputs = read_file(write(tmp_path, {"data": [{"label": "a"}]}), IMAGES, {}, ["image"])
    assert list(inputs.step(0)) == ["label"]


@pytest.mark.parametrize("text", ["image", "image:", "image:3,x", "image:3,-1", ":3", "image:3,,4"])
def test_a_shape_is_a_name_and_sizes(text: str) -> None:
    with pytest.raises(UsageError, match="write it as name:3,224,224"):
        parse_shapes([text], IMAGES)


def test_a_shape_names_a_tensor() -> None:
    assert parse_shapes(["image:3,2,2"], IMAGES) == {"image": (3, 2, 2)}
    with pytest.raises(UsageError, match=r"no input tensor 'imgae'; did you mean image\?"):
        parse_shapes(["imgae:3,2,2"], IMAGES)


# Made-up values.


@pytest.mark.parametrize("datatype", [*NUMPY, "BF16", "BYTES"])
def test_made_up_tensors_have_their_size(datatype: str) -> None:
    model = model_with(f"x {datatype} 2,3", output="y")
    for kind in ("random", "zero"):
        inputs = made_up(kind, model, {}, 1)
        value = inputs.step(0)["x"]
        assert value.shape == (2, 3)
        assert value_of(model, "x", {"b64": base64.b64encode(value.raw).decode()}, {}) == value
        assert made_up(kind, model, {}, 1) == inputs
    assert made_up("random", model, {}, 2).step(0)["x"].raw != made_up("random", model, {}, 3).step(0)["x"].raw


def test_made_up_tensors_need_a_shape_and_leave_out_what_is_optional() -> None:
    with pytest.raises(UsageError, match=r"is variable: write --shape image:3,N,N with numbers for N, or give"):
        made_up("random", IMAGES, {}, 0)
    step = made_up("zero", IMAGES, {"image": (3, 2, 2)}, 0).step(0)
    assert {name: (value.shape, value.raw) for name, value in step.items()} == {
        "image": ((1, 3, 2, 2), b"\0" * 48), "label": ((1, 1), b"\0\0\0\0")}
    more = made_up("zero", IMAGES, {"image": (3, 2, 2), "extra": (1,)}, 0, ["label"])
    assert list(more.step(0)) == ["image", "extra"]


def test_lengths_to_ask_for_come_with_the_requests() -> None:
    inputs = Inputs([{}], outputs=lengths.parse("7", 0, "output"))
    assert inputs.request(1).max_output_tokens == 7
    assert inputs.count is None
