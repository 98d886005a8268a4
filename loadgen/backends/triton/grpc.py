"""Triton's gRPC messages: tensors into a ModelInferRequest, captured responses into token events. For the desk only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as messages

from loadgen.backends import failures, token_counts
from loadgen.backends.token_counts import NO_CHANGE, Change, Trace
from loadgen.backends.triton.inputs import Step
from loadgen.backends.triton.tensors import TensorModel, unpack_texts
from loadgen.protocols.grpc.messages import split
from loadgen.types import ABSENT, Failure, Output, Request, Timeline, TokenEvents

SERVICE: Final = "/inference.GRPCInferenceService"
FINAL: Final = "triton_final_response"
WANT_FINAL: Final = "triton_enable_empty_final_response"

_read_reply: Final = messages.ModelStreamInferResponse.FromString
_read_whole: Final = messages.ModelInferResponse.FromString

Tokenizer = Callable[[str], int]


def encode(model: TensorModel, step: Step, request_id: str, parameters: Mapping[str, Any], stream: bool) -> bytes:
    """Write a ModelInferRequest; `stream`: for ModelStreamInfer, with an empty final response where there is one."""
    message = messages.ModelInferRequest(model_name=model.name, id=request_id)
    if stream:
        message.parameters[WANT_FINAL].bool_param = True
    for name, value in parameters.items():
        kind = {bool: "bool_param", int: "int64_param", float: "double_param"}.get(type(value), "string_param")
        setattr(message.parameters[name], kind, value if kind != "string_param" else str(value))
    for name, tensor in step.items():
        message.inputs.add(name=name, datatype=tensor.tensor.datatype, shape=tensor.shape)
        message.raw_input_contents.append(tensor.raw)
    encoded: bytes = message.SerializeToString()
    return encoded


def decode_stream(timeline: Timeline, request: Request, tokenizer: Tokenizer | None) -> TokenEvents:
    """Decode the responses of a ModelStreamInfer. Each that carries an output is an event; an empty final one is none.

    The proper end is the response parameter triton_final_response; an error_message is a failure, in_band.
    """
    output, trace = Output(), Trace([])
    found = _failing(lambda: _read_stream(bytes(timeline.payload), output, trace))
    return _events(timeline, request, output, trace, found, tokenizer)


def decode_whole(timeline: Timeline, request: Request, tokenizer: Tokenizer | None) -> TokenEvents:
    """Decode the response of a ModelInfer: its one event is its end."""
    output, trace = Output(), Trace([])
    found = _failing(lambda: _read_one(bytes(timeline.payload), output, trace))
    return _events(timeline, request, output, trace, found, tokenizer)


def _failing(read: Callable[[], Failure | None]) -> Failure | None:
    """Read messages; what is no message of Triton's is a parse failure."""
    try:
        return read()
    except (DecodeError, ValueError, IndexError) as error:
        return Failure("parse", f"not Triton's gRPC ({type(error).__name__}): {str(error)[:failures.EVIDENCE]}")


def _read_stream(payload: bytes, output: Output, trace: Trace) -> Failure | None:
    parts, note = split(payload), trace.changes.append
    trace.ends = parts.ends
    for position, data in enumerate(parts.data):
        reply = _read_reply(data)
        if reply.error_message:
            return Failure("in_band", reply.error_message[:failures.EVIDENCE])
        response = reply.infer_response
        if response.outputs:
            note(_take(response, output, position))
            if trace.finish == NO_CHANGE and output.finish_reason:
                trace.finish = position
        if FINAL in response.parameters and response.parameters[FINAL].bool_param:
            output.done = True
            return None
    return None


def _read_one(payload: bytes, output: Output, trace: Trace) -> Failure | None:
    parts = split(payload)
    trace.ends = parts.ends[:1]
    for data in parts.data[:1]:
        trace.changes.append(_take(_read_whole(data), output, 0))
        output.done = True
    return None


def _take(response: Any, output: Output, position: int) -> Change:
    """Add one response to the output. One of a model without text_output is an event too; what it holds is not read."""
    raws = response.raw_output_contents
    grew = True
    for place, tensor in enumerate(response.outputs):
        name = tensor.name
        if name == "text_output":
            texts = unpack_texts(raws[place]) if raws else [
                text.decode("utf-8", "replace") for text in tensor.contents.bytes_contents]
            text = texts[0] if len(texts) == 1 else "".join(texts)
            output.content += text
            grew = bool(text)
        elif name in READERS:
            READERS[name](raws[place] if raws else b"", output)
    return position, grew, 0, 0, output.usage_tokens


def _count_out(raw: bytes, output: Output) -> None:
    output.usage_tokens = max(output.usage_tokens, 0) + int.from_bytes(raw[:4], "little")
    output.usage_source = "server details"


def _count_in(raw: bytes, output: Output) -> None:
    output.input_tokens = int.from_bytes(raw[:4], "little")


def _reason(raw: bytes, output: Output) -> None:
    texts = unpack_texts(raw)
    if texts and texts[0] not in ("", "None"):
        output.finish_reason = texts[0]


READERS: Final[Mapping[str, Callable[[bytes, Output], None]]] = {
    "num_output_tokens": _count_out, "num_input_tokens": _count_in, "finish_reason": _reason}
"""How the vLLM backend's outputs beside the text are read; the counts are those of one response."""


def _events(timeline: Timeline, request: Request, output: Output, trace: Trace, found: Failure | None,
            tokenizer: Tokenizer | None) -> TokenEvents:
    text = bool(output.content) or output.usage_tokens > 0
    events = token_counts.count(trace, output, request, tokenizer if text else None)
    events.failure = _outcome(timeline, output, found, bool(events.ends))
    return events


def _outcome(timeline: Timeline, output: Output, found: Failure | None, tokens: bool) -> Failure | None:
    """Return why this answer is no success, the most telling reason first; None if it is one."""
    if found is not None and found.kind == "in_band":
        return found
    if timeline.status != ABSENT and not 200 <= timeline.status < 300:
        return failures.refused(timeline)
    if timeline.failure is not None:
        return explained(timeline.failure)
    if found is not None:
        return found
    if not timeline.complete:
        return Failure("truncated", f"the stream ended in the middle, after {len(timeline.payload)} bytes")
    if not output.done:
        return Failure("truncated", f"the answer ended without {FINAL}" if timeline.payload
                       else "the answer ended without a response")
    return None if tokens else Failure("empty", "a proper end without one response that carries an output")


def explained(failure: Failure) -> Failure:
    """Say what to do about a call that the model can't take."""
    if "decoupled" in failure.detail and failure.kind.startswith("grpc"):
        hint = "this model answers with any number of responses, which a unary call can't take: leave out --endpoint"
        return Failure(failure.kind, f"{failure.detail}: {hint}"[:failures.EVIDENCE], failure.type)
    return failure
