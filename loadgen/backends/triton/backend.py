"""The backend of Triton: gRPC, HTTP generate and HTTP inference, with tensors chosen from the model's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from loadgen.backends import dialect, token_counts
from loadgen.backends.dialect import Input
from loadgen.backends.hooks import Connected, Server
from loadgen.backends.interface import ServiceBackend, without_null
from loadgen.backends.triton import infer
from loadgen.backends.triton.inputs import Inputs, Step, value_of
from loadgen.backends.triton.tensors import LEAST, LENGTHS, SAMPLING, TensorModel
from loadgen.protocols import sse
from loadgen.protocols.sse import SseEvents
from loadgen.types import Call, Output, Request, Timeline, TokenEvents, UsageError

if TYPE_CHECKING:
    from loadgen.plan import Plan
    from loadgen.workload import Source

PATHS: Final = {True: "v2/models/{model}/generate_stream", False: "v2/models/{model}/generate"}
BLANK: Final = ("bad_words", "stop_words")  # older TensorRT-LLM ensembles want them, if only empty
WANTED: Final = ("exclude_input_in_output", "return_finish_reason", "return_num_input_tokens",
                 "return_num_output_tokens")


class Triton(ServiceBackend):
    """Text models (vLLM backend, TensorRT-LLM ensemble) by token, any other by response or end to end.

    `grpc` is ModelStreamInfer for decoupled models and ModelInfer for others; `generate` the HTTP extension for text;
    `infer` plain HTTP inference. Fields of `body` that name no input tensor go into sampling_parameters.
    """

    endpoints: ClassVar[tuple[str, ...]] = ("grpc", "generate", "infer")
    health_path = "/v2/health/ready"
    models_path = "/v2/repository/index"
    forces_length = True
    speaks = "triton"
    grpc_endpoints: ClassVar[tuple[str, ...]] = ("grpc",)
    takes_input_data = True
    about_path = "/v2"
    dialects: ClassVar[Mapping[str, tuple[str, str]]] = {
        "triton": ("Triton's generate extension", "--backend triton --endpoint generate")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.protocol = "grpc" if self.endpoint in self.grpc_endpoints else "http"
        self.marks_end = self.endpoint != "generate"
        self.known: TensorModel | None = None  # what the server tells of the model
        self.inputs: Inputs | None = None  # tensors that are not made of prompts
        self.shapes: Mapping[str, tuple[int, ...]] = {}
        self.server_url = self.base_url

    def connect(self, plan: Plan, server: Server) -> Connected:
        """Ask for the model and its tensors, and fill them. Raises UsageError for what the model can't be asked."""
        from loadgen.backends.triton.connect import connect

        return connect(plan, self, server)

    def source(self, plan: Plan) -> Source | None:
        """Return the tensors, None where prompts are asked."""
        return self.inputs

    @classmethod
    def recognises(cls, answer: Mapping[str, Any], path: str = "") -> str:
        """Know an answer by its text_output, without what only MindIE adds; a server by its extensions."""
        if path:
            return "triton" if path == cls.about_path and "extensions" in answer else ""
        mindie = isinstance(answer.get("details"), Mapping) or "prefill_time" in answer
        return "triton" if ("text_output" in answer or "model_version" in answer) and not mindie else ""

    def _get_url(self) -> str:
        path = PATHS[self.stream] if self.endpoint == "generate" else "v2/models/{model}/infer"
        return dialect.join(self.base_url, path.format(model=self.model))

    def get_request_body(self, input: Input, max_out_len: int | None, output: Output, **args: Any) -> dict[str, Any]:
        """Return the input tensors by name; {} for a model that takes no text."""
        if self.known is not None and not self.known.generates:
            return {}
        body: dict[str, Any] = {"text_input": text_of(input), "stream": self.stream}
        if self.known is None:
            return body | ({} if max_out_len is None else {"max_tokens": max_out_len}) | self.generation_kwargs
        has = self.known.inputs
        body |= dict.fromkeys(WANTED, True) | {name: "" for name in BLANK if name in has and not has[name].optional}
        if max_out_len is not None:
            body |= dict.fromkeys((*LENGTHS, *LEAST), max_out_len)
        body = {name: value for name, value in body.items() if name in has}
        if SAMPLING in has:
            length = {} if max_out_len is None else {"max_tokens": max_out_len, "min_tokens": max_out_len,
                                                     "ignore_eos": True}
            body[SAMPLING] = length
        return self._placed(body, self.generation_kwargs)

    def _placed(self, body: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
        """Add fields: those that name no tensor go into the sampling parameters, where the model has them."""
        sampling = body.get(SAMPLING)
        if self.known is None or not isinstance(sampling, Mapping):
            return without_null({**body, **extra}, extra)
        inner = {name: value for name, value in extra.items() if name not in self.known.inputs and name != "parameters"}
        outer = {name: value for name, value in extra.items() if name not in inner}
        body = {**body, SAMPLING: without_null({**sampling, **inner}, inner)}
        return without_null({**body, **outer}, outer)

    def encode(self, request: Request) -> Call:
        """Put a request into the endpoint's wire form. Raises UsageError that names a tensor which can't be made."""
        prompt = request.prompt_ids or request.messages or request.prompt or ""
        body = self._request_body(prompt, request.max_output_tokens, Output())
        for extra in (self.body, request.body):
            body = self._placed(body, extra)
        if request.images and self.known is not None and "image" in self.known.inputs:
            body["image"] = [image.partition(";base64,")[2] or image for image in request.images]
        if isinstance(body.get(SAMPLING), Mapping):
            body[SAMPLING] = msgspec.json.encode(body[SAMPLING]).decode()
        if self.endpoint == "generate":
            return Call(self.request_path(), msgspec.json.encode(body), tuple(self.headers.items()))
        parameters = body.pop("parameters", {})
        return self._call(self.tensors(body, request.index), str(request.index), parameters)

    def tensors(self, body: Mapping[str, Any], index: int) -> Step:
        """Make the tensors of a request: those of the input data, then the fields of its body."""
        if self.known is None:
            raise UsageError(f"nothing is known of the model {self.model!r}: its metadata has to be read first")
        model = self.known
        given = self.inputs.step(index) if self.inputs else {}
        named = {name: value_of(model, name, value, self.shapes) for name, value in body.items()
                 if name not in given or name in self.body}
        step = {**given, **named}
        for tensor in model.inputs.values():
            if tensor.name not in step and not tensor.optional:
                raise UsageError(f"the model {model.name} needs the tensor {tensor}: write "
                                 f"--body {tensor.name}=VALUE, or give --input-data FILE")
        return step

    def _call(self, step: Step, request_id: str, parameters: Mapping[str, Any]) -> Call:
        assert self.known is not None
        headers = {name: value for name, value in self.headers.items() if name.lower() != "content-type"}
        if self.endpoint == "grpc":
            from loadgen.backends.triton import grpc

            method = "ModelStreamInfer" if self.known.decoupled else "ModelInfer"
            message = grpc.encode(self.known, step, request_id, parameters, self.known.decoupled)
            return Call(f"{grpc.SERVICE}/{method}", message, tuple(headers.items()))
        body, length = infer.encode(step, request_id, parameters)
        headers |= {"Content-Type": "application/octet-stream", infer.LENGTH: str(length)}
        return Call(self.request_path(), body, tuple(headers.items()))

    def decode(self, timeline: Timeline, request: Request) -> TokenEvents:
        if self.endpoint == "grpc":
            from loadgen.backends.triton import grpc

            unary = self.known is not None and not self.known.decoupled
            read = grpc.decode_whole if unary else grpc.decode_stream
            events = read(timeline, request, self.tokenizer)
            return events if self.stream else token_counts.in_one_piece(events)
        if self.endpoint == "infer":
            return infer.decode(timeline, request, self.parse_text_response, self.tokenizer)
        return super().decode(timeline, request)

    def split_stream(self, payload: bytes) -> SseEvents | None:
        """Part a stream into events; its proper end is the end of the body, which Triton marks with nothing else.

        Where a finish reason was asked for, there is none without it.
        """
        events = super().split_stream(payload)
        asked = self.known is not None and "return_finish_reason" in self.known.inputs
        if events is None or events.rest or not events.data or (asked and self.body.get("return_finish_reason", True)):
            return events
        return sse.SseEvents([*events.data, b"[DONE]"], [*events.ends, len(payload)], events.names, False)

    def parse_stream_response(self, data: dict[str, Any], output: Output) -> None:
        output.content += "".join(_texts(data["text_output"]))
        if (count := data.get("num_output_tokens")) is not None:
            output.usage_tokens = max(output.usage_tokens, 0) + _number(count)
            output.usage_source = "server details"
        if (count := data.get("num_input_tokens")) is not None:
            output.input_tokens = _number(count)
        if reason := "".join(_texts(data.get("finish_reason", ""))):
            output.finish_reason = "" if reason == "None" else reason

    def parse_text_response(self, data: dict[str, Any], output: Output) -> None:
        self.parse_stream_response(data, output)

    def model_from(self, listing: Mapping[str, Any]) -> str:
        raise UsageError("which model? give --model")


def text_of(input: Input) -> str:
    """Return a prompt as text. Raises UsageError for what a text tensor can't hold."""
    if isinstance(input, str):
        return input
    what = "token ids: leave out --token-ids" if input and isinstance(input[0], int) else (
        "messages, to which the server would have to apply a chat template: give prompts as text")
    raise UsageError(f"Triton's text_input takes no {what}")


def _texts(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _number(value: Any) -> int:
    return int(value[0] if isinstance(value, list) else value)
