"""Models of Triton for tests, as captured servers describe them."""

from __future__ import annotations

from typing import Any

import msgspec

from loadgen.backends.triton.backend import Triton
from loadgen.backends.triton.tensors import Tensor, TensorModel, model_of
from loadgen.types import Request
from support.replay import capture


def told(name: str) -> TensorModel:
    """The model of a captured metadata and configuration."""
    metadata, config = (capture(f"{name}_{part}.raw").rpartition(b"\r\n\r\n")[2] for part in ("metadata", "config"))
    return model_of(msgspec.json.decode(metadata), msgspec.json.decode(config))


PROMPT = Request(7, prompt="über", max_output_tokens=5)


def model_with(*inputs: str, decoupled: bool = True, output: str = "text_output", batches: bool = False) -> TensorModel:
    """A model whose inputs are written "name DATATYPE dims", optional with a "?" at the end."""
    found = {}
    for text in inputs:
        name, datatype, dims = text.removesuffix("?").split()
        found[name] = Tensor(name, datatype, tuple(map(int, dims.split(","))), text.endswith("?"))
    return TensorModel("m", "1", found, {output: Tensor(output, "BYTES", (-1,))}, decoupled, batches)


PLAIN = model_with("text_input BYTES 1", "stream BOOL 1")


def backend_for(model: TensorModel | None, endpoint: str = "grpc", **options: Any) -> Triton:
    backend = Triton(model="m", url="http://server:8000", endpoint=endpoint, **options)
    backend.known = model
    return backend
