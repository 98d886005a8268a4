"""Tensors as Triton has them: what a model takes and gives, and values as the bytes that go over the wire."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np

from loadgen.suggest import did_you_mean
from loadgen.types import UsageError

NUMPY: Final = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
"""Datatypes whose elements numpy has. Besides them there are BYTES, and BF16, the upper half of FP32."""
SIZES: Final = {name: np.dtype(code).itemsize for name, code in NUMPY.items()} | {"BF16": 2}
FLOATS: Final = ("FP16", "FP32", "FP64", "BF16")
SAMPLING: Final = "sampling_parameters"
LENGTHS: Final = ("max_tokens", "request_output_len")
LEAST: Final = ("min_tokens", "min_length")
"""Inputs of text models for how an answer is made, and how long it becomes at most and at least."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a model. `shape` has -1 for what is variable, and begins with the batch if there is one."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.datatype}{list(self.shape)}"


@dataclass(frozen=True, slots=True)
class TensorModel:
    """What a server tells of a model. `batches` says that the first dimension of every tensor is the batch."""

    name: str
    version: str
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    decoupled: bool = False
    batches: bool = False

    @property
    def generates(self) -> bool:
        """Whether it makes text of a prompt, as the vLLM backend and the TensorRT-LLM ensemble do."""
        return "text_input" in self.inputs and "text_output" in self.outputs

    def input(self, name: str) -> Tensor:
        """Return an input by its name. Raises UsageError that names the nearest."""
        if name in self.inputs:
            return self.inputs[name]
        raise UsageError(f"the model {self.name} has no input tensor {name!r}{did_you_mean(name, self.inputs)}; it has "
                         f"{', '.join(map(str, self.inputs.values()))}")


def model_of(metadata: Mapping[str, Any], config: Mapping[str, Any]) -> TensorModel:
    """Make a Model of the server's answers about it, in their JSON form (numbers may be text, as protobuf writes)."""
    optional = {entry["name"] for entry in config.get("input", ()) if entry.get("optional")}
    inputs = _tensors(metadata.get("inputs", ()), optional)
    policy = config.get("model_transaction_policy") or {}
    return TensorModel(metadata["name"], (metadata.get("versions") or [""])[-1], inputs,
                 _tensors(metadata.get("outputs", ()), set()), bool(policy.get("decoupled")),
                 int(config.get("max_batch_size") or 0) > 0)


def _tensors(entries: Sequence[Mapping[str, Any]], optional: set[str]) -> dict[str, Tensor]:
    return {entry["name"]: Tensor(entry["name"], entry["datatype"], tuple(map(int, entry.get("shape", ()))),
                                  entry["name"] in optional) for entry in entries}


def flat(values: Any) -> list[Any]:
    """Return the elements of a value or of lists in lists, row by row."""
    if not isinstance(values, list | tuple):
        return [values]
    found: list[Any] = []
    for value in values:
        found.extend(flat(value) if isinstance(value, list | tuple) else (value,))
    return found


def pack(tensor: Tensor, values: Sequence[Any]) -> bytes:
    """Put elements into the bytes of a tensor: little endian; BYTES are 4 bytes of length and the text each.

    Raises UsageError that names the tensor, for an element that its datatype can't hold.
    """
    if tensor.datatype == "BYTES":
        return b"".join(_framed(tensor, value) for value in values)
    if tensor.datatype not in SIZES:
        raise UsageError(f"the tensor {tensor} has a datatype that can't be sent")
    for value in values:
        _check(tensor, value)
    if tensor.datatype == "BF16":
        return (np.array(values, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    try:
        return np.array(values, np.dtype(NUMPY[tensor.datatype])).tobytes()
    except OverflowError:
        limits = np.iinfo(NUMPY[tensor.datatype])
        outside = next(value for value in values if not limits.min <= value <= limits.max)
        raise UsageError(f"the tensor {tensor} can't hold {outside}") from None


def _framed(tensor: Tensor, value: Any) -> bytes:
    if not isinstance(value, str | bytes):
        raise UsageError(f"the tensor {tensor} holds texts, not {value!r}")
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<I", len(data)) + data


def _check(tensor: Tensor, value: Any) -> None:
    kind = type(value)
    if tensor.datatype == "BOOL":
        if kind is not bool and not (kind is int and value in (0, 1)):
            raise UsageError(f"the tensor {tensor} holds true and false, not {value!r}")
    elif kind is not int and not (kind is float and tensor.datatype in FLOATS):
        wanted = "numbers" if tensor.datatype in FLOATS else "whole numbers"
        raise UsageError(f"the tensor {tensor} holds {wanted}, not {value!r}")


def unpack_texts(raw: bytes) -> list[str]:
    """Read the elements of a BYTES tensor; what is no UTF-8 is replaced. Raises ValueError if the framing is wrong."""
    texts, at = [], 0
    while at < len(raw):
        if at + 4 > len(raw):
            raise ValueError("a BYTES tensor ends inside a length")
        end = at + 4 + int.from_bytes(raw[at:at + 4], "little")
        if end > len(raw):
            raise ValueError("a BYTES tensor ends inside an element")
        texts.append(raw[at + 4:end].decode("utf-8", "replace"))
        at = end
    return texts


def fit(tensor: Tensor, count: int, batches: bool, given: Sequence[int] | None = None) -> tuple[int, ...]:
    """Return the shape of a tensor of `count` elements: `given` is without the batch, which is 1.

    Without `given`, one variable dimension takes what the others leave, and several are 1 if that fits. Raises
    UsageError that names the tensor, what was given and what is needed.
    """
    wanted = tensor.shape[1:] if batches else tensor.shape
    shape = tuple(given) if given is not None else wanted
    if len(shape) != len(wanted) or any(need not in (-1, size) for need, size in zip(wanted, shape, strict=True)):
        raise UsageError(f"the tensor {tensor} can't have the shape {list(shape)}: the model needs {list(wanted)}"
                         f"{' (without the batch)' if batches else ''}")
    open_ones = [place for place, size in enumerate(shape) if size == -1]
    known = prod(size for size in shape if size != -1)
    if open_ones:
        if len(open_ones) > 1 and count != known:
            dims = ",".join("N" if size == -1 else str(size) for size in shape)
            raise UsageError(f"the shape of the tensor {tensor} is variable: write --shape {tensor.name}:{dims} with "
                             "numbers, or a shape in the input data")
        shape = tuple(1 if size == -1 else size for size in shape)
        if known and count % known == 0:
            shape = (*shape[:open_ones[0]], count // known, *shape[open_ones[0] + 1:])
    if prod(shape) != count:
        raise UsageError(f"the tensor {tensor} of shape {list(shape)} needs {prod(shape)} elements; {count} were given")
    return (1, *shape) if batches else shape
