"""The backend of text-generation-inference: its own dialect, and the OpenAI dialect as it speaks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from loadgen.backends import dialect
from loadgen.backends.dialect import Input
from loadgen.backends.openai import OpenAI
from loadgen.types import MS, Output, UsageError

MOST_STOPS: Final = 4
SERVER_TIMES: Final = {"x-queue-time": "server_queue", "x-inference-time": "server_inference",
                       "x-time-per-token": "server_time_per_token", "x-validation-time": "server_validation",
                       "x-total-time": "server_total"}
"""Headers of an answer in one piece, each in ms, and what their times are recorded as."""

FACTS: Final = ("max_total_tokens", "max_input_tokens", "max_input_length", "max_concurrent_requests",
                "max_batch_total_tokens", "model_id", "model_sha", "version")


class TGI(OpenAI):
    """/generate_stream and /generate (endpoint generate), /v1/chat/completions and /v1/completions.

    Nothing in the dialect makes an answer as long as was asked: `max_new_tokens` is only its upper bound.
    """

    endpoints: ClassVar[tuple[str, ...]] = ("generate", "chat", "completions")
    models_path = "/info"
    takes_ignore_eos = False
    about_path = "/info"
    dialects: ClassVar[Mapping[str, tuple[str, str]]] = {"tgi": ("TGI", "--backend tgi")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.endpoint == "generate":
            self.options_field, self.speaks = "parameters", "tgi"

    @classmethod
    def recognises(cls, answer: Mapping[str, Any], path: str = "") -> str:
        """Know an answer by its tokens, without the times that only MindIE adds; a server by its limit."""
        if path:
            return "tgi" if path == cls.about_path and "max_total_tokens" in answer else ""
        known = isinstance(answer.get("token"), Mapping) or "generated_text" in answer
        foreign = ("choices", "text_output", "model_version", "prefill_time", "decode_time")
        return "tgi" if known and not any(name in answer for name in foreign) else ""

    def _get_url(self) -> str:
        if self.endpoint != "generate":
            return super()._get_url()
        return dialect.join(self.base_url, "generate_stream" if self.stream else "generate")

    def get_request_body(self, input: Input, max_out_len: int | None, output: Output, **args: Any) -> dict[str, Any]:
        if self.endpoint != "generate":
            if isinstance(input, list) and input and isinstance(input[0], int):
                raise UsageError("TGI takes no token ids as a prompt: leave --token-ids out")
            return super().get_request_body(input, max_out_len, output, **args)
        parameters: dict[str, Any] = {"details": True}
        if max_out_len is not None:
            parameters["max_new_tokens"] = max_out_len
        return {"inputs": text_prompt(input, self.endpoint), "parameters": parameters | self.generation_kwargs}

    def check_body(self, body: Mapping[str, Any]) -> None:
        """Refuse what TGI's validation refuses: a temperature of 0, and more than four stop sequences."""
        options = body.get("parameters", body)
        temperature = options.get("temperature")
        if self.endpoint == "generate" and isinstance(temperature, int | float) and temperature <= 0:
            raise UsageError("TGI takes no temperature of 0: leave it out, and it decodes greedily")
        stop = options.get("stop")
        if isinstance(stop, list) and len(stop) > MOST_STOPS:
            raise UsageError(f"TGI takes at most {MOST_STOPS} stop sequences, not {len(stop)}: give fewer")

    def parse_text_response(self, data: Any, output: Output) -> None:
        if self.endpoint != "generate":
            super().parse_text_response(data, output)
        else:
            parse_whole(data[0] if isinstance(data, list) else data, output)
        parse_headers(output)

    def parse_stream_response(self, data: dict[str, Any], output: Output) -> None:
        if self.endpoint != "generate":
            super().parse_stream_response(data, output)
        else:
            parse_event(data, output)

    def model_from(self, listing: Mapping[str, Any]) -> str:
        if not listing.get("model_id"):
            raise UsageError("the server's /info names no model: name one with --model")
        return str(listing["model_id"])

    def facts_from(self, listing: Mapping[str, Any]) -> dict[str, Any]:
        facts = {name: listing[name] for name in FACTS if listing.get(name) is not None}
        if "max_input_length" in facts:  # as versions before 1.4 call it
            facts.setdefault("max_input_tokens", facts.pop("max_input_length"))
        return facts


def text_prompt(input: Input, endpoint: str) -> str:
    """Return the prompt of an endpoint that takes one text. Raises UsageError for anything else."""
    if isinstance(input, str):
        return input
    if input and isinstance(input[0], int):
        raise UsageError(f"--endpoint {endpoint} takes a text and no token ids: leave --token-ids out")
    raise UsageError(f"--endpoint {endpoint} takes a text, no messages or images: add --endpoint chat")


def parse_event(data: Mapping[str, Any], output: Output) -> None:
    """Read one event: a token (of MindIE: several), and with the last one the details."""
    token = data.get("token")
    if token:
        ids = token.get("id")
        if isinstance(ids, list):
            output.token_ids += ids
        elif ids is not None:
            output.token_ids.append(ids)
        if not token.get("special"):
            output.content += token.get("text") or ""
    if data.get("generated_text") is not None:
        output.done = True
        parse_details(data.get("details"), output)


def parse_whole(data: Mapping[str, Any], output: Output) -> None:
    """Read an answer in one piece."""
    output.content += data["generated_text"] or ""
    parse_details(data.get("details"), output)


def parse_details(details: Mapping[str, Any] | None, output: Output) -> None:
    """Read the details of an answer's end: why it ended, and the server's own counts."""
    if not details:
        return
    output.finish_reason = details.get("finish_reason") or ""
    if isinstance(details.get("generated_tokens"), int):
        output.usage_tokens, output.usage_source = details["generated_tokens"], "server details"
    prompt = details.get("input_length", details.get("prompt_tokens"))
    if isinstance(prompt, int):
        output.input_tokens = prompt


def parse_headers(output: Output) -> None:
    """Read what the headers of an answer in one piece tell: the server's times, and the tokens of the prompt."""
    for header, name in SERVER_TIMES.items():
        value = output.headers.get(header, "")
        if value.replace(".", "", 1).isdecimal():
            output.server[name] = round(float(value) * MS)
    prompt = output.headers.get("x-prompt-tokens", "")
    if prompt.isdecimal():
        output.input_tokens = int(prompt)
    generated = output.headers.get("x-generated-tokens", "")
    if output.usage_tokens < 0 and generated.isdecimal():
        output.usage_tokens, output.usage_source = int(generated), "server details"
