"""Triton's HTTP inference with binary tensors: one request, one answer, whatever the model is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from loadgen.backends import failures, token_counts
from loadgen.backends.token_counts import Trace
from loadgen.backends.triton.inputs import Step
from loadgen.backends.triton.tensors import NUMPY, unpack_texts
from loadgen.types import Failure, Output, Request, Timeline, TokenEvents

LENGTH: Final = "Inference-Header-Content-Length"
"""The header that says how long the JSON before the tensors is."""

Parse = Callable[[dict[str, Any], Output], object]


def encode(step: Step, request_id: str, parameters: Mapping[str, Any]) -> tuple[bytes, int]:
    """Write the body, JSON and then the tensors, and how long the JSON is.

    Source: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
    """
    entries = [{"name": name, "datatype": value.tensor.datatype, "shape": value.shape,
                "parameters": {"binary_data_size": len(value.raw)}} for name, value in step.items()]
    head = msgspec.json.encode({"id": request_id, "inputs": entries,
                                "parameters": {"binary_data_output": True, **parameters}})
    return head + b"".join(value.raw for value in step.values()), len(head)


def decode(timeline: Timeline, request: Request, parse: Parse, tokenizer: Callable[[str], int] | None) -> TokenEvents:
    """Decode an answer, whose one event is its end; `parse` gets the outputs that tell of tokens, by name."""
    refusal = failures.refused(timeline)
    if refusal is not None:
        return TokenEvents(failure=refusal)
    payload, output = bytes(timeline.payload), Output()
    trace = Trace([len(payload)])
    found = _read(timeline, payload, parse, output) if timeline.complete and timeline.failure is None else None
    if output.done:
        trace.changes.append((0, True, 0, 0, output.usage_tokens))
    counted = token_counts.count(trace, output, request, tokenizer if output.content else None)
    events = token_counts.in_one_piece(counted)
    events.failure = timeline.failure or found
    if events.failure is None and not timeline.complete:
        events.failure = Failure("truncated", f"the connection ended in the middle, after {len(payload)} bytes")
    return events


def _read(timeline: Timeline, payload: bytes, parse: Parse, output: Output) -> Failure | None:
    try:
        length = failures.header(timeline.headers, LENGTH.lower())
        head = payload[:int(length)] if length else payload
        answer = msgspec.json.decode(head)
        failure = failures.in_band(answer)
        if failure is not None:
            return failure
        outputs = _by_name(answer["outputs"], payload[len(head):])
        if "text_output" in outputs:
            parse(outputs, output)
        output.done = True
    except (msgspec.DecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = f"{type(error).__name__}: {error}"
        return Failure("parse", f"not Triton's inference ({said}): {failures.text_of(payload)}")
    return None


def _by_name(entries: list[dict[str, Any]], tensors: bytes) -> dict[str, Any]:
    """Return the outputs that tell of tokens: texts, and the elements of the others. Raises ValueError."""
    found, at = {}, 0
    for entry in entries:
        size = (entry.get("parameters") or {}).get("binary_data_size")
        if size is None:
            found[entry["name"]] = entry["data"]
            continue
        raw, at = tensors[at:at + size], at + size
        if at > len(tensors):
            raise ValueError(f"the tensor {entry['name']} has {len(raw)} of {size} bytes")
        if entry["datatype"] == "BYTES":
            found[entry["name"]] = unpack_texts(raw)
        elif entry["datatype"] in NUMPY and size <= 8:
            found[entry["name"]] = [int.from_bytes(raw, "little")]
    return found
