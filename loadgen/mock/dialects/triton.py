"""Triton as the mock speaks it: a decoupled model like the vLLM backend's, over the generate extension and gRPC."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as messages

from loadgen.mock.dialects import requests
from loadgen.mock.dialects.frames import SSE, FramedAnswer
from loadgen.mock.dialects.interface import AnswerBytes, MockRequest, RequestRefusedError, Times
from loadgen.mock.dialects.triton_answers import VERSION, GrpcAnswer, TritonGeneration
from loadgen.protocols.grpc.request import frame

SERVICE: Final = "/inference.GRPCInferenceService/"
INPUTS: Final = {"text_input": "BYTES", "stream": "BOOL", "max_tokens": "INT32", "sampling_parameters": "BYTES",
                 "exclude_input_in_output": "BOOL", "return_finish_reason": "BOOL", "return_num_input_tokens": "BOOL",
                 "return_num_output_tokens": "BOOL"}
OUTPUTS: Final = {"text_output": "BYTES", "finish_reason": "BYTES", "num_input_tokens": "UINT32",
                  "num_output_tokens": "UINT32"}
OVERLOADED: Final = "Exceeds maximum queue size"
_TYPES: Final = {"BYTES": "TYPE_STRING"}
_READ: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "BYTES": lambda raw: raw[4:].decode("utf-8", "replace"), "BOOL": lambda raw: raw != b"\0",
    "INT32": lambda raw: int.from_bytes(raw, "little", signed=True)}
_encode = msgspec.json.encode


class TritonDialect:
    """/v2 over HTTP and inference.GRPCInferenceService on the same port; `counts` gives requests that have ended.

    A prompt counts as its words. ModelStreamInfer takes one request a stream, and ends with an empty final response.
    """

    def __init__(self, model: str, output_tokens: int, per_event: int) -> None:
        self.model, self.output_tokens, self.per_event = model, output_tokens, per_event
        self._base = f"/v2/models/{model}"
        self._stream = f"{SERVICE}ModelStreamInfer"
        self.paths: Collection[str] = (f"{self._base}/generate_stream", f"{self._base}/generate", self._stream)
        self.counts: Callable[[], int] = lambda: 0

    def read(self, path: str, body: bytes) -> MockRequest:
        if path == self._stream:
            asked, tag = self._tensors(body)
            stream = bool(asked.get("stream"))
        else:
            asked, tag = requests.body_of(body, _refusal), ""
            stream = path.endswith("_stream")
        prompt = requests.prompt_tokens(asked.get("text_input"))
        if not prompt:
            raise _refusal(400, "expected tensor 'text_input' to have a text")
        sampling = self._sampling(asked.get("sampling_parameters"))
        wanted = requests.length_of({**asked, **sampling}, "max_tokens", self.output_tokens, _refusal)
        return MockRequest(path, stream, wanted, prompt, tag=tag, least_tokens=int(sampling.get("min_tokens") or 0),
                   ignore_eos=sampling.get("ignore_eos") is True, usage=bool(asked.get("return_num_output_tokens")),
                   details=bool(asked.get("return_finish_reason")))

    def _sampling(self, text: object) -> dict[str, Any]:
        if not text:
            return {}
        try:
            found = msgspec.json.decode(str(text))
        except msgspec.DecodeError:
            found = None
        if not isinstance(found, dict):
            raise _refusal(400, "sampling_parameters is not a JSON object")
        return found

    def _tensors(self, body: bytes) -> tuple[dict[str, Any], str]:
        """Read a ModelInferRequest: its tensors by name, and its id."""
        try:
            message = messages.ModelInferRequest.FromString(body)
        except DecodeError as error:
            raise _refusal(400, f"no ModelInferRequest: {error}") from None
        if message.model_name != self.model:
            raise _refusal(404, f"Request for unknown model: '{message.model_name}' is not found")
        found: dict[str, Any] = {}
        for tensor, raw in zip(message.inputs, message.raw_input_contents, strict=False):
            if INPUTS.get(tensor.name) != tensor.datatype:
                raise _refusal(400, f"unexpected inference input '{tensor.name}' for model '{self.model}'")
            found[tensor.name] = _READ[tensor.datatype](raw)
        return found, message.id

    def answer(self, ask: MockRequest, number: int, tokens: int, times: Times) -> AnswerBytes:
        if ask.path == self._stream:
            return GrpcAnswer(ask, self.model, self.per_event, tokens)
        return FramedAnswer(TritonGeneration(ask, self.model), SSE, self.per_event, tokens)

    def overloaded(self, ask: MockRequest) -> RequestRefusedError:
        if ask.path == self._stream:
            reply = messages.ModelStreamInferResponse(error_message=OVERLOADED)
            return RequestRefusedError(200, frame(reply.SerializeToString()))
        return _refusal(503, OVERLOADED)

    def error(self, status: int, message: str, kind: str = "") -> bytes:
        return _encode({"error": message})

    def look_up(self, path: str) -> bytes | None:
        answers: dict[str, Callable[[], Any]] = {
            "/v2": self._server, "/v2/health/ready": dict, "/v2/health/live": dict, f"{self._base}/ready": dict,
            "/v2/repository/index": lambda: self._index()["models"], self._base: self._metadata,
            f"{self._base}/config": self._config, f"{self._base}/stats": self._statistics}
        return _encode(answers[path]()) if path in answers else None

    def unary(self, path: str, message: bytes) -> bytes | None:
        """Answer a call of the control plane; None for any other, and for another model."""
        ready = {"ready": True}
        answers: dict[str, Callable[[], Mapping[str, Any]]] = {
            "ServerLive": lambda: {"live": True}, "ServerReady": lambda: ready, "ServerMetadata": self._server,
            "RepositoryIndex": self._index, "ModelReady": lambda: ready, "ModelMetadata": self._metadata,
            "ModelConfig": lambda: {"config": self._config()}, "ModelStatistics": self._statistics}
        name = path.removeprefix(SERVICE)
        if name not in answers:
            return None
        told = answers[name]()
        if name.startswith("Model") and getattr(messages, f"{name}Request").FromString(message).name != self.model:
            told = {"ready": False} if name == "ModelReady" else {}
        found: bytes = ParseDict(told, getattr(messages, f"{name}Response")()).SerializeToString()
        return found

    def _server(self) -> Mapping[str, Any]:
        return {"name": "triton", "version": "2.51.0", "extensions": ["model_repository", "statistics", "parameters"]}

    def _index(self) -> Mapping[str, Any]:
        return {"models": [{"name": self.model, "version": VERSION, "state": "READY"}]}

    def _metadata(self) -> Mapping[str, Any]:
        return {"name": self.model, "versions": [VERSION], "platform": "mock",
                "inputs": [{"name": name, "datatype": kind, "shape": [1]} for name, kind in INPUTS.items()],
                "outputs": [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in OUTPUTS.items()]}

    def _config(self) -> Mapping[str, Any]:
        return {"name": self.model, "max_batch_size": 0, "model_transaction_policy": {"decoupled": True},
                "input": [{"name": name, "data_type": _TYPES.get(kind, f"TYPE_{kind}"), "dims": [1],
                           "optional": name != "text_input"} for name, kind in INPUTS.items()],
                "output": [{"name": name, "data_type": _TYPES.get(kind, f"TYPE_{kind}"), "dims": [-1]}
                           for name, kind in OUTPUTS.items()]}

    def _statistics(self) -> Mapping[str, Any]:
        ended = self.counts()
        count = {"count": ended, "ns": 0}
        return {"model_stats": [{"name": self.model, "version": VERSION, "inference_count": ended,
                                 "execution_count": ended, "inference_stats": {"success": count, "queue": count}}]}


def _refusal(status: int, message: str) -> RequestRefusedError:
    return RequestRefusedError(400 if status == 422 else status, _encode({"error": message}))
