"""The backend of MindIE: the seven dialects that one of its servers answers to, with its own times."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from loadgen.backends import dialect, failures, tgi
from loadgen.backends.cumulative_text import add_text
from loadgen.backends.dialect import Input, Messages
from loadgen.backends.openai import OpenAI
from loadgen.protocols.sse import SseEvents
from loadgen.types import MS, Failure, Output, Request, Timeline, TokenEvents, UsageError

US: Final = 1_000
TIMEOUT: Final = "Engine callback timeout."
PATHS: Final = {  # streamed, in one piece
    "chat": ("v1/chat/completions",) * 2, "completions": ("v1/completions",) * 2,
    "infer": ("infer",) * 2, "infer-token": ("infer_token",) * 2, "tgi": ("generate_stream", "generate"),
    "triton": ("v2/models/{model}/generate_stream", "v2/models/{model}/generate"), "vllm-legacy": ("generate",) * 2}
TIMES: Final = {"prefill_time": "server_prefill", "decode_time": "server_decode", "decode_time_arr": "server_decode"}
FORCED: Final = ("chat", "completions", "vllm-legacy")
SPEAKS: Final = {"infer": "mindie", "infer-token": "mindie", "tgi": "tgi", "triton": "triton",
                 "vllm-legacy": "vllm-legacy"}


class MindIE(OpenAI):
    """The length of answers is forced with ignore_eos where the dialect has it: chat, completions and vllm-legacy."""

    endpoints: ClassVar[tuple[str, ...]] = tuple(PATHS)
    about_path = "/v2"
    dialects: ClassVar[Mapping[str, tuple[str, str]]] = {
        "mindie": ("MindIE", "--backend mindie --endpoint infer"),
        "mindie-triton": ("MindIE's Triton dialect", "--backend mindie --endpoint triton"),
        "vllm-legacy": ("vLLM's legacy /generate", "--backend mindie --endpoint vllm-legacy")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.forces_length = self.takes_ignore_eos = self.endpoint in FORCED
        self.marks_end = self.endpoint != "vllm-legacy"
        self.takes_only_ids = self.endpoint == "infer-token"
        self.options_field = "" if self.endpoint in FORCED else "parameters"
        self.speaks = SPEAKS.get(self.endpoint, "openai")

    @classmethod
    def recognises(cls, answer: Mapping[str, Any], path: str = "") -> str:
        """Know an answer by the times and the details in it, a server by its name."""
        if path:
            return "mindie" if path == cls.about_path and "MindIE" in str(answer.get("name")) else ""
        if "choices" in answer:
            return ""
        if "text_output" in answer or "model_version" in answer:
            return "mindie-triton" if isinstance(answer.get("details"), Mapping) or "prefill_time" in answer else ""
        if "prefill_time" in answer or "decode_time" in answer:
            return "mindie"
        tgi_like = isinstance(answer.get("token"), Mapping) or "generated_text" in answer
        return "vllm-legacy" if isinstance(answer.get("text"), list) and not tgi_like else ""

    def _get_url(self) -> str:
        path = PATHS[self.endpoint][not self.stream]
        return dialect.join(self.base_url, path.format(model=self.model))

    def get_request_body(self, input: Input, max_out_len: int | None, output: Output, **args: Any) -> dict[str, Any]:
        forced = {} if max_out_len is None else {"ignore_eos": True}
        if self.endpoint in ("chat", "completions"):
            body = super().get_request_body(input, max_out_len, output, **args)
            body.pop("stream_options", None)  # the usage comes unasked
            return forced | body
        if self.endpoint == "vllm-legacy":  # its `model` names a LoRA adapter
            length = {} if max_out_len is None else {"max_tokens": max_out_len}
            return {"prompt": _content(input, self.endpoint), "stream": self.stream, **length, **forced,
                    **self.generation_kwargs}
        parameters: dict[str, Any] = {"details": True}
        if max_out_len is not None:
            parameters["max_new_tokens"] = max_out_len
        return {**self._prompt(input), "parameters": parameters | self.generation_kwargs}

    def _prompt(self, input: Input) -> dict[str, Any]:
        if self.endpoint == "infer-token":
            if not (isinstance(input, list) and input and isinstance(input[0], int)):
                raise UsageError("--endpoint infer-token takes token ids: add --token-ids and --tokenizer")
            return {"input_id": input, "stream": self.stream}
        prompt = _content(input, self.endpoint)
        if self.endpoint == "triton":
            return {"id": str(uuid.uuid4()), "text_input": prompt}
        return {"inputs": prompt, "stream": self.stream}

    def split_stream(self, payload: bytes) -> SseEvents | None:
        """Part a stream; at its NUL bytes in the legacy dialect, whose end is that of the message."""
        if self.endpoint != "vllm-legacy" or (b"\0" not in payload and b'"error"' in payload):
            return super().split_stream(payload)
        *data, rest = payload.split(b"\0")
        ends, end = [], 0
        for part in data:
            end += len(part) + 1
            ends.append(end)
        if data and not rest.strip():
            data.append(b"[DONE]")
            ends.append(len(payload))
        return SseEvents(data, ends, {}, bool(rest.strip()))

    def parse_stream_response(self, data: dict[str, Any], output: Output) -> None:
        if self.endpoint in ("chat", "completions"):
            super().parse_stream_response(data, output)
        elif self.endpoint == "triton":
            add_text(output, data["text_output"] or "")
            tgi.parse_details(data.get("details"), output)
        elif self.endpoint == "vllm-legacy":
            add_text(output, data["text"][0])
        else:
            tgi.parse_event(data, output)
        parse_times(data, output)

    def parse_text_response(self, data: Any, output: Output) -> None:
        if self.endpoint in ("chat", "completions"):
            super().parse_text_response(data, output)
        elif self.endpoint == "triton":
            output.content += data["text_output"] or ""
            tgi.parse_details(data.get("details"), output)
        elif self.endpoint == "vllm-legacy":  # the prompt, a space, and the answer
            output.content += data["text"][0].removeprefix(output.input or "").removeprefix(" ")
        else:
            data = data[0] if isinstance(data, list) else data
            tgi.parse_whole(data, output)
        parse_times(data, output)

    def decode(self, timeline: Timeline, request: Request) -> TokenEvents:
        """Decode an answer; bare text at its end, as after a timeout of the engine, is the server's own error."""
        events = super().decode(timeline, request)
        if events.failure is not None and events.failure.kind in ("truncated", "parse", "empty"):
            text = failures.bare_text(bytes(timeline.payload))
            if text and (timeline.complete or text == TIMEOUT):
                events.failure = Failure("in_band", text, "timeout" if text == TIMEOUT else "")
        return events


def parse_times(data: Mapping[str, Any], output: Output) -> None:
    """Take over the server's own times: totals over the events of an answer. Queue waits are in us, others in ms."""
    for field, name in TIMES.items():
        value = data.get(field)
        if value is not None:
            _add(output.server, name, value, MS)
    counts = data.get("usage") or data.get("details")
    if isinstance(counts, Mapping) and "queue_wait_time" in counts:
        _add(output.server, "server_queue", counts["queue_wait_time"], US)
        _add_batch(output, counts.get("batch_size"))


def _add(server: dict[str, int], name: str, value: Any, unit: int) -> None:
    if isinstance(value, list):
        value = sum(each for each in value if isinstance(each, int | float))
    if isinstance(value, int | float) and value >= 0:
        server[name] = server.get(name, 0) + round(value * unit)


def _add_batch(output: Output, value: Any) -> None:
    """Keep the mean of the batch sizes that the request was part of."""
    sizes = [each for each in (value if isinstance(value, list) else (value,)) if isinstance(each, int)]
    if sizes:
        total, steps = output.memory.get("batches", (0, 0))
        total, steps = total + sum(sizes), steps + len(sizes)
        output.memory["batches"] = total, steps
        output.server["server_batch_size"] = round(total / steps)


def _content(input: Input, endpoint: str) -> str | Messages:
    """Return the prompt of an endpoint that takes one text, or the parts of one message. Raises UsageError."""
    if isinstance(input, list) and len(input) == 1 and isinstance(input[0], dict):
        content = input[0].get("content")
        if isinstance(content, list):
            return [_part(part) for part in content]
        if isinstance(content, str):
            return content
    return tgi.text_prompt(input, endpoint)


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part of a message as MindIE takes it: the URL of an image is a plain string."""
    url = part.get("image_url")
    return {**part, "image_url": url["url"]} if isinstance(url, Mapping) else dict(part)
