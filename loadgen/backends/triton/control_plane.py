"""The questions of Triton's control plane, over either of its protocols; answers are in the JSON form of both."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from loadgen.backends.hooks import HttpAnswer
from loadgen.protocols.grpc.messages import split
from loadgen.protocols.http.address import Address
from loadgen.types import SECOND, Call, Timeline

_PATIENCE = 10_000_000_000  # ns for one question

Metadata = tuple[tuple[str, str], ...]


class TritonRefusedError(Exception):
    """A question without an answer: `kind` is a failure class, the text what the server said."""

    def __init__(self, kind: str, said: str) -> None:
        super().__init__(said)
        self.kind = kind


class Plane(Protocol):
    """Where questions go. Each answer is a table; each question raises RefusedError."""

    def server(self) -> Mapping[str, Any]:
        """Ask for name and version, once the server is ready."""

    def index(self) -> list[Mapping[str, Any]]:
        """Ask for the models of the repository: name, version, state, reason."""

    def ready(self, model: str) -> bool:
        """Ask whether a model can be asked; a model that is not there is not ready."""

    def metadata(self, model: str) -> Mapping[str, Any]:
        """Ask for the tensors of a model."""

    def config(self, model: str) -> Mapping[str, Any]:
        """Ask for the configuration of a model."""

    def statistics(self, model: str) -> list[Mapping[str, Any]]:
        """Ask for the counters of a model, by version."""


@dataclass(frozen=True, slots=True)
class HttpPlane:
    """The control plane over HTTP; `ask` carries a call."""

    address: Address
    headers: Metadata
    ask: Callable[[Address, Call, float], HttpAnswer]

    def server(self) -> Mapping[str, Any]:
        self._get("/v2/health/ready", whole=False)
        return self._table("/v2")

    def index(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self._get("/v2/repository/index", b"{}")
        return found

    def ready(self, model: str) -> bool:
        return self._answer(f"/v2/models/{model}/ready").status == 200

    def metadata(self, model: str) -> Mapping[str, Any]:
        return self._table(f"/v2/models/{model}")

    def config(self, model: str) -> Mapping[str, Any]:
        return self._table(f"/v2/models/{model}/config")

    def statistics(self, model: str) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self._table(f"/v2/models/{model}/stats").get("model_stats", [])
        return found

    def _answer(self, path: str, body: bytes = b"") -> HttpAnswer:
        try:
            return self.ask(self.address, Call(path, body, self.headers, "POST" if body else "GET"), _PATIENCE / SECOND)
        except (OSError, http.client.HTTPException) as error:
            said = str(error) if str(error).isprintable() else ""
            raise TritonRefusedError("connect", f"no HTTP answer ({said or type(error).__name__})") from None

    def _table(self, path: str) -> Mapping[str, Any]:
        found = self._get(path)
        if not isinstance(found, Mapping):
            raise TritonRefusedError("parse", f"{path} answers with no table: {str(found)[:200]}")
        return found

    def _get(self, path: str, body: bytes = b"", whole: bool = True) -> Any:
        answer = self._answer(path, body)
        said = answer.body[:500].decode("utf-8", "replace")
        if answer.status != 200:
            kind = f"http_{answer.status // 100}xx"
            raise TritonRefusedError(kind, f"HTTP {answer.status} from {path}: {said or 'no body'}")
        try:
            return msgspec.json.decode(answer.body) if whole else None
        except msgspec.DecodeError:
            raise TritonRefusedError("parse", f"{path} answers with no JSON: {said}") from None


@dataclass(frozen=True, slots=True)
class GrpcPlane:
    """The control plane over gRPC; `ask` carries a call."""

    address: Address
    headers: Metadata
    ask: Callable[[Address, Call, int], Timeline]

    def server(self) -> Mapping[str, Any]:
        if not self._call("ServerReady").get("ready"):
            raise TritonRefusedError("grpc_unavailable", "the server says that it is not ready")
        return self._call("ServerMetadata")

    def index(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self._call("RepositoryIndex").get("models", [])
        return found

    def ready(self, model: str) -> bool:
        return bool(self._call("ModelReady", name=model).get("ready"))

    def metadata(self, model: str) -> Mapping[str, Any]:
        return self._call("ModelMetadata", name=model)

    def config(self, model: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._call("ModelConfig", name=model).get("config", {})
        return found

    def statistics(self, model: str) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self._call("ModelStatistics", name=model).get("model_stats", [])
        return found

    def _call(self, method: str, **fields: Any) -> Mapping[str, Any]:
        from google.protobuf.json_format import MessageToDict
        from google.protobuf.message import DecodeError
        from tritonclient.grpc import service_pb2 as messages

        question = getattr(messages, f"{method}Request")(**fields)
        call = Call(f"/inference.GRPCInferenceService/{method}", question.SerializeToString(), self.headers)
        timeline = self.ask(self.address, call, _PATIENCE)
        if timeline.failure is not None:
            raise TritonRefusedError(timeline.failure.kind, timeline.failure.detail)
        try:
            message = getattr(messages, f"{method}Response").FromString(split(timeline.payload).data[0])
        except (DecodeError, IndexError) as error:
            raise TritonRefusedError("parse", f"{method} is answered with no message of Triton's ({error})") from None
        found: Mapping[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
        return found
