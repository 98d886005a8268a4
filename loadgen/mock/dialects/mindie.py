"""MindIE as the mock speaks it: the OpenAI, native, TGI, Triton and legacy vLLM dialects of one server."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec

from loadgen.mock.dialects import requests
from loadgen.mock.dialects.frames import SSE, SSE_DONE, FramedAnswer, Framing
from loadgen.mock.dialects.interface import AnswerBytes, MockRequest, RequestRefusedError, Times
from loadgen.mock.dialects.mindie_shapes import Legacy, MindIETriton, Native, Perf
from loadgen.mock.dialects.openai_shape import Completion, Manner

CHAT: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"
NUL: Final = Framing(b"", b"\0", comment=b"")
TIGHT: Final = Framing(b"data:")
_TRITON: Final = re.compile(r"/v2/models/[^/]+/generate(_stream)?")
_KINDS: Final = {404: "Not Found", 422: "Input Validation Error", 429: "overloaded", 500: "Incomplete Generation"}
_encode = msgspec.json.encode


class _Paths(Collection[str]):
    """The paths that generate, of which one has the model's name in it."""

    def __init__(self, model: str) -> None:
        triton = f"/v2/models/{model}/generate"
        self._known = (CHAT, COMPLETIONS, "/infer", "/infer_token", "/generate", "/generate_stream", triton,
                       triton + "_stream")  # fmt: skip

    def __contains__(self, path: object) -> bool:
        return path in self._known

    def __iter__(self) -> Any:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class MindIEDialect:
    """A string prompt counts as its words. With `full_text` events of the Triton and the legacy dialect have the whole
    text so far, as with MindIE's fullTextEnabled.
    """

    def __init__(
        self, model: str, output_tokens: int, per_event: int, max_model_len: int, full_text: bool = False
    ) -> None:
        self.paths: Collection[str] = _Paths(model)
        self.model, self.output_tokens, self.per_event = model, output_tokens, per_event
        self.max_model_len, self.full_text = max_model_len, full_text
        self.created = int(time.time())

    def read(self, path: str, body: bytes) -> MockRequest:
        asked = requests.body_of(body, self._refusal)
        kind, field = _kind_of(path, asked)
        inner = kind in ("native", "tgi", "triton")
        options = (asked.get("parameters") or {}) if inner else asked
        count = requests.prompt_tokens(asked.get(field))
        if not count:
            raise self._refusal(422, f"Request should contain '{field}'")
        name = "max_new_tokens" if inner else "max_tokens"
        wanted = requests.length_of(options, name, self.output_tokens, self._refusal)
        if wanted + count > self.max_model_len:
            raise self._refusal(422, f"token length must be in (0, {self.max_model_len}], but got {wanted + count}")
        stream = path.endswith("_stream") if kind in ("tgi", "triton") else asked.get("stream") is True
        prompt = asked[field] if isinstance(asked[field], str) else ""
        return MockRequest(path, stream, wanted, count, ignore_eos=not inner and asked.get("ignore_eos") is True,
                           kind=kind,
                   details=options.get("details") is True, prompt=prompt)  # fmt: skip

    def answer(self, ask: MockRequest, number: int, tokens: int, times: Times) -> AnswerBytes:
        perf = Perf(times, self.per_event)
        ident = f"endpoint_common_{number}"
        if ask.kind in ("chat", "completions"):
            manner = Manner(role_first=ask.kind == "chat", usage_at_end=True, usage=perf.usage, top=perf.top)
            shape = Completion(ask, ident, self.model, self.created, ask.kind == "chat", manner, self._error(500))
            return FramedAnswer(shape, SSE_DONE, self.per_event, tokens)
        if ask.kind == "triton":
            triton = MindIETriton(ask, ident, self.model, self.full_text, perf, self._error(500))
            return FramedAnswer(triton, TIGHT, self.per_event, tokens)
        if ask.kind == "legacy":
            return FramedAnswer(Legacy(ask, self.full_text, self._error(500)), NUL, self.per_event, tokens)
        native = Native(ask, ask.kind == "native", perf, self._error(500))
        return FramedAnswer(native, SSE, self.per_event, tokens)

    def overloaded(self, ask: MockRequest) -> RequestRefusedError:
        return self._refusal(429, "the server has too many requests")

    def error(self, status: int, message: str, kind: str = "") -> bytes:
        return _encode(self._error(status, message))

    def look_up(self, path: str) -> bytes | None:
        found = LOOK_UPS.get(path)
        return None if found is None else found(self)

    def _error(self, status: int, message: str = "injected: the engine died") -> dict[str, Any]:
        return {"error": message, "error_type": _KINDS.get(status, "Error")}

    def _refusal(self, status: int, message: str) -> RequestRefusedError:
        return RequestRefusedError(status, _encode(self._error(status, message)))


def _models(server: MindIEDialect) -> bytes:
    model = {"id": server.model, "object": "model", "created": server.created, "owned_by": "MindIE Server"}
    return _encode({"object": "list", "data": [model]})


def _about(server: MindIEDialect) -> bytes:
    return _encode({"name": "MindIE Server", "version": "2.1.RC1", "extensions": {"max_iter_times": 512}})


LOOK_UPS: Final[dict[str, Callable[[MindIEDialect], bytes]]] = {
    "/v1/models": _models, "/v2": _about, "/v2/health/ready": lambda _: b"", "/v2/health/live": lambda _: b"",
}  # fmt: skip


def _kind_of(path: str, asked: dict[str, Any]) -> tuple[str, str]:
    """Say which dialect a request is of, and the field with its prompt."""
    if path in (CHAT, COMPLETIONS):
        return ("chat", "messages") if path == CHAT else ("completions", "prompt")
    if path in ("/infer", "/infer_token"):
        return "native", "inputs" if path == "/infer" else "input_id"
    if _TRITON.fullmatch(path):
        return "triton", "text_input"
    return ("legacy", "prompt") if "prompt" in asked else ("tgi", "inputs")
