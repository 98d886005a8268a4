"""What the answers of the mock's Triton hold, as JSON of the generate extension and as gRPC messages."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tritonclient.grpc import service_pb2 as messages

from loadgen.mock.dialects.interface import BARE, MockRequest
from loadgen.mock.dialects.words import words
from loadgen.protocols.grpc.request import frame

VERSION: Final = "1"
FAILED: Final = "injected: the engine died"


@dataclass(frozen=True, slots=True)
class TritonGeneration:
    """One answer of the generate extension; see frames.Shape. Counts are there if they were asked for."""

    ask: MockRequest
    model: str

    def opening(self) -> list[dict[str, Any]]:
        return []

    def event(self, first: int, count: int, finish: str) -> dict[str, Any]:
        told: dict[str, Any] = {"finish_reason": finish or "None"} if self.ask.details else {}
        told |= {"model_name": self.model, "model_version": VERSION}
        if self.ask.usage:
            told |= {"num_input_tokens": self.ask.prompt_tokens, "num_output_tokens": count}
        return {**told, "text_output": words(first, count)}

    def closing(self, tokens: int) -> list[dict[str, Any]]:
        return []

    def whole(self, tokens: int, finish: str) -> Any:
        return self.event(0, tokens, finish) if finish else {}

    def error(self) -> dict[str, Any]:
        return {"error": FAILED}

    def headers(self, tokens: int) -> Mapping[str, str]:
        return {}


class GrpcAnswer:
    """One answer of ModelStreamInfer; see dialect.Answer. An answer in one piece has one message with text."""

    def __init__(self, ask: MockRequest, model: str, per_event: int, tokens: int) -> None:
        self._ask, self._model, self._per_event, self._tokens = ask, model, per_event, tokens

    def opening(self) -> bytes:
        return b""

    def event(self, position: int) -> bytes:
        return self._message(position, "")

    def _message(self, position: int, finish: str) -> bytes:
        if not self._ask.stream:
            return self._text(0, self._tokens, finish)
        first = position * self._per_event
        return self._text(first, min(self._per_event, self._tokens - first), finish)

    def _text(self, first: int, count: int, finish: str) -> bytes:
        reply = self._reply()
        response = reply.infer_response
        self._put(response, "text_output", "BYTES", _packed(words(first, count)))
        if self._ask.details:
            self._put(response, "finish_reason", "BYTES", _packed(finish or "None"))
        if self._ask.usage:
            self._put(response, "num_input_tokens", "UINT32", struct.pack("<I", self._ask.prompt_tokens))
            self._put(response, "num_output_tokens", "UINT32", struct.pack("<I", count))
        return frame(reply.SerializeToString())

    def _reply(self, final: bool = False, error: str = "") -> Any:
        reply = messages.ModelStreamInferResponse(error_message=error)
        response = reply.infer_response
        response.model_name, response.model_version, response.id = self._model, VERSION, self._ask.tag
        response.parameters["triton_final_response"].bool_param = final
        return reply

    def _put(self, response: Any, name: str, datatype: str, raw: bytes) -> None:
        response.outputs.add(name=name, datatype=datatype, shape=[1])
        response.raw_output_contents.append(raw)

    def ending(self, position: int, finish: str) -> bytes:
        last = self._message(position, finish) if position >= 0 else b""
        return last + frame(self._reply(final=True).SerializeToString())

    def trailing_off(self, position: int) -> bytes:
        return self._message(position, "")

    def torn(self) -> bytes:
        whole = b"" if self._ask.stream else self.ending(0, "length")
        return whole[:len(whole) // 2]

    def garbage(self) -> bytes:
        return frame(b"\xff\xff\xff")

    def comment(self) -> bytes:
        return b""

    def bare(self) -> bytes:
        return frame(BARE)

    def headers(self, tokens: int) -> Mapping[str, str]:
        return {}

    def failure(self) -> bytes:
        return self.error()

    def error(self) -> bytes:
        return frame(self._reply(error=FAILED).SerializeToString())

    def whole(self, finish: str, tokens: int) -> bytes:
        return self.ending(0, finish)


def _packed(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<I", len(data)) + data
