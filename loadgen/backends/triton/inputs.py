"""What the tensors of any model are filled with: a file in the format of perf_analyzer, random values, or zeros."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from loadgen.backends.triton.tensors import FLOATS, NUMPY, SIZES, Tensor, TensorModel, fit, flat, pack
from loadgen.types import Request, UsageError
from loadgen.workload.lengths import Lengths

STRING_LENGTH: Final = 128  # characters of a random text, as perf_analyzer makes them
LARGEST: Final = 128  # random whole numbers are below, so that every integer type and vocabulary has them
RANDOM: Final = "random"
ZERO: Final = "zero"


@dataclass(frozen=True, slots=True)
class Value:
    """One tensor, ready for the wire. `shape` begins with the batch if the model batches."""

    tensor: Tensor
    shape: tuple[int, ...]
    raw: bytes


Step = Mapping[str, Value]
"""The tensors of one request, by name."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The tensors of request after request: request i takes step i modulo their number. A workload.Source.

    `facts` is what is told of them in the provenance of a run; `each` says that a run without a length sends each once.
    `outputs` are the lengths to ask for, where the model takes one and the steps don't say it.
    """

    steps: Sequence[Step]
    facts: Mapping[str, Any] = field(default_factory=dict)
    each: bool = False
    outputs: Lengths | None = None

    count_tokens = None

    @property
    def count(self) -> int | None:
        return len(self.steps) if self.each else None

    def request(self, index: int) -> Request:
        """Return the request at an index; its tensors are those of `step(index)`."""
        return Request(index, max_output_tokens=self.outputs.at(index) if self.outputs else None)

    def step(self, index: int) -> Step:
        return self.steps[index % len(self.steps)]

    def describe(self) -> dict[str, Any]:
        """Say what is sent, for the provenance of a run."""
        return dict(self.facts)


def parse_shapes(texts: Iterable[str], model: TensorModel) -> dict[str, tuple[int, ...]]:
    """Read "name:3,224,224", one for each tensor, without the batch. Raises UsageError."""
    shapes = {}
    for text in texts:
        name, colon, dims = text.rpartition(":")
        sizes = dims.split(",")
        if not colon or not name or not all(size.isascii() and size.isdecimal() for size in sizes):
            raise UsageError(f"--shape {text!r}: write it as name:3,224,224")
        model.input(name)
        shapes[name] = tuple(map(int, sizes))
    return shapes


def value_of(model: TensorModel, name: str, given: Any, shapes: Mapping[str, Sequence[int]]) -> Value:
    """Make a tensor of a value as JSON holds it: an element, lists of them, or perf_analyzer's objects.

    Those are {"b64": text}, {"content": list or {"b64": text}, "shape": [dims]}. Raises UsageError.
    """
    tensor = model.input(name)
    shape = shapes.get(name)
    if isinstance(given, Mapping):
        unknown = given.keys() - {"b64", "content", "shape"}
        if unknown or not given.keys() & {"b64", "content"}:
            keys = ", ".join(map(repr, given)) or "nothing"
            raise UsageError(f"the tensor {tensor} is given as an object with {keys}: write "
                             "{\"content\": [...], \"shape\": [...]} or {\"b64\": \"...\"}")
        shape = _dims(tensor, given["shape"]) if "shape" in given else shape
        given = given.get("content", given)
    if isinstance(given, Mapping):
        raw = _decoded(tensor, given.get("b64"))
        return Value(tensor, fit(tensor, _elements(tensor, raw), model.batches, shape), raw)
    values = flat(given)
    return Value(tensor, fit(tensor, len(values), model.batches, shape), pack(tensor, values))


def _dims(tensor: Tensor, given: Any) -> tuple[int, ...]:
    if not isinstance(given, list) or not all(type(size) is int and size >= 0 for size in given):
        raise UsageError(f"the shape of the tensor {tensor} is a list of whole numbers, not {given!r}")
    return tuple(given)


def _decoded(tensor: Tensor, text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise UsageError(f"the tensor {tensor} is given as \"b64\", which is not base64") from None


def _elements(tensor: Tensor, raw: bytes) -> int:
    """Count the elements in the bytes of a tensor."""
    if tensor.datatype == "BYTES":
        count = at = 0
        while at + 4 <= len(raw):
            at += 4 + int.from_bytes(raw[at:at + 4], "little")
            count += 1
        if at == len(raw):
            return count
        raise UsageError(f"the tensor {tensor} is given as \"b64\" of {len(raw)} bytes, which are not 4 bytes of "
                         "length and the text for each element")
    size = SIZES.get(tensor.datatype, 1)
    if len(raw) % size:
        raise UsageError(f"the tensor {tensor} has elements of {size} bytes; \"b64\" has {len(raw)} bytes")
    return len(raw) // size


def read_file(path: Path, model: TensorModel, shapes: Mapping[str, Sequence[int]],
              filled: Collection[str] = ()) -> Inputs:
    """Read a file in perf_analyzer's format. `filled` are tensors that need not be there.

    Raises UsageError that names the entry and the tensor, what was given and what is needed.
    Source: https://github.com/triton-inference-server/perf_analyzer/blob/main/docs/input_data.md
    """
    try:
        content = path.read_bytes()
        data = msgspec.json.decode(content)
    except OSError as error:
        raise UsageError(f"--input-data {path} can't be read ({error.strerror}): name a JSON file, a folder of "
                         "perf_analyzer is not taken") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--input-data {path} is not JSON: {error}") from None
    entries = data.get("data") if isinstance(data, Mapping) else None
    if not isinstance(entries, list) or not entries:
        raise UsageError(f'--input-data {path} has no entries: write {{"data": [{{"tensor": [...]}}, ...]}}')
    if len(entries) == 1 and isinstance(entries[0], list):
        entries = entries[0]
    needed = [tensor for tensor in model.inputs.values() if not tensor.optional and tensor.name not in filled]
    steps = []
    for place, entry in enumerate(entries):
        try:
            steps.append(_step(entry, model, shapes, needed))
        except UsageError as error:
            raise UsageError(f"--input-data {path}, entry {place}: {error}") from None
    facts = {"kind": "input data", "file": str(path), "sha256": hashlib.sha256(content).hexdigest(),
             "entries": len(steps)}
    return Inputs(steps, facts, each=True)


def _step(entry: Any, model: TensorModel, shapes: Mapping[str, Sequence[int]], needed: Sequence[Tensor]) -> Step:
    if isinstance(entry, list):
        raise UsageError("several streams of data are for sequence models, which are not measured: write one list")
    if not isinstance(entry, Mapping):
        raise UsageError(f"an entry is an object of tensors, not {entry!r}")
    for tensor in needed:
        if tensor.name not in entry:
            raise UsageError(f"the tensor {tensor} is missing; there is {', '.join(entry) or 'nothing'}")
    return {name: value_of(model, name, given, shapes) for name, given in entry.items()}


def made_up(kind: str, model: TensorModel, shapes: Mapping[str, Sequence[int]], seed: int,
            filled: Collection[str] = ()) -> Inputs:
    """Fill every tensor that the model needs with random values (texts of 128 letters) or zeros (empty texts).

    They are made once and sent with each request, as perf_analyzer does. `filled` are tensors that are given otherwise.
    Raises UsageError for a variable shape that --shape doesn't name.
    """
    rng = np.random.default_rng([seed, 0x7217])
    step = {}
    for name, tensor in model.inputs.items():
        if (tensor.optional and name not in shapes) or name in filled:
            continue
        shape = _whole(tensor, model.batches, shapes.get(name))
        count = prod(shape)
        step[name] = Value(tensor, shape, _zeros(tensor, count) if kind == ZERO else _drawn(tensor, count, rng))
    facts = {"kind": f"{kind} tensors", "seed": seed,
             "shapes": {name: list(value.shape) for name, value in step.items()}}
    return Inputs([step], facts)


def _whole(tensor: Tensor, batches: bool, given: Sequence[int] | None) -> tuple[int, ...]:
    wanted = tensor.shape[1:] if batches else tensor.shape
    if given is None and -1 in wanted:
        dims = ",".join("N" if size == -1 else str(size) for size in wanted)
        raise UsageError(f"the shape of the tensor {tensor} is variable: write --shape {tensor.name}:{dims} with "
                         "numbers for N, or give --input-data FILE")
    return fit(tensor, prod(wanted if given is None else given), batches, given)


def _zeros(tensor: Tensor, count: int) -> bytes:
    return b"\0" * (count * (4 if tensor.datatype == "BYTES" else SIZES.get(tensor.datatype, 1)))


def _drawn(tensor: Tensor, count: int, rng: np.random.Generator) -> bytes:
    if tensor.datatype == "BYTES":
        letters = rng.integers(97, 123, (count, STRING_LENGTH), dtype=np.uint8)
        return pack(tensor, [bytes(row) for row in letters])
    if tensor.datatype == "BF16":
        return pack(tensor, rng.random(count).tolist())
    if tensor.datatype in FLOATS:
        return rng.random(count).astype(NUMPY[tensor.datatype]).tobytes()
    highest = 2 if tensor.datatype == "BOOL" else LARGEST
    return rng.integers(0, highest, count).astype(NUMPY[tensor.datatype]).tobytes()
