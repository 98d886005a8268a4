"""The pieces of the OpenAI dialect that its backends share: messages, choices, usage, model listings, URLs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loadgen.types import ABSENT, Output, UsageError

Messages = list[dict[str, Any]]
Input = str | list[int] | Messages


def parse_choice(choice: Mapping[str, Any], said: Mapping[str, Any] | None, output: Output) -> None:
    """Add one choice to the output; `said` is its delta or message, None in the completions dialect."""
    if said is None:
        if text := choice.get("text"):
            output.content += text
    else:
        text = said.get("content")
        if text:
            output.content += text
        if not text or len(said) > 1:
            _parse_other(said, output)
    if ids := choice.get("token_ids"):
        output.token_ids += ids
    if ids := choice.get("prompt_token_ids"):
        output.input_tokens = len(ids)
    if reason := choice.get("finish_reason"):
        output.finish_reason = reason


def _parse_other(said: Mapping[str, Any], output: Output) -> None:
    """Add what a model can say beside content: reasoning, a refusal, tool calls."""
    if text := said.get("reasoning_content") or said.get("reasoning"):
        output.reasoning_content += text
    if text := said.get("refusal"):
        output.content += text
    for call in said.get("tool_calls") or ():
        function = call.get("function") or {}
        output.tool_calls += (function.get("name") or "") + (function.get("arguments") or "")


def parse_usage(data: Mapping[str, Any], output: Output) -> None:
    """Take over the server's counts, if there are any."""
    usage = data.get("usage")
    if usage:
        output.usage_tokens = _count(usage.get("completion_tokens"))
        output.input_tokens = _count(usage.get("prompt_tokens"))


def _count(value: Any) -> int:
    return value if isinstance(value, int) else ABSENT


def as_messages(input: Input) -> Messages:
    """Return chat messages for any input; raises UsageError for token ids, which a chat endpoint can't take."""
    if isinstance(input, str):
        return [{"role": "user", "content": input}]
    if input and isinstance(input[0], int):
        raise UsageError("a chat endpoint takes no token ids: add --endpoint completions")
    return list(input)  # type: ignore[arg-type]


def join(base_url: str, endpoint: str) -> str:
    """Return the URL of an endpoint such as "v1/chat/completions" below an address that may hold part of it.

    http://a, http://a/v1 and http://a/v1/chat/completions all give the last. A query stays behind the path.
    """
    base, mark, query = base_url.partition("?")
    base = base.rstrip("/")
    if not base.endswith("/" + endpoint):
        first, _, rest = endpoint.partition("/")
        base = f"{base}/{rest if rest and base.endswith('/' + first) else endpoint}"
    return base + mark + query


def base_url_of(url: str, host: str, port: int, tls: bool) -> str:
    """Return the server's address with a slash at its end, from `url` if there is one."""
    url = url.strip()
    if not url:
        name = f"[{host}]" if ":" in host and not host.startswith("[") else host
        return f"http{'s' if tls else ''}://{name}:{port}/"
    if "://" not in url:
        url = f"http{'s' if tls else ''}://{url}"
    return url if url.endswith("/") or "?" in url else url + "/"


def model_from(listing: Mapping[str, Any]) -> str:
    """Return the name of the first model that a server lists; raises UsageError if there is none."""
    names = models_of(listing)
    if not names:
        raise UsageError("the server lists no model: name one with --model")
    return names[0]


def models_of(listing: Mapping[str, Any]) -> list[str]:
    """Return the names of all models of a /v1/models answer."""
    return [str(model["id"]) for model in listing.get("data") or () if isinstance(model, Mapping) and model.get("id")]


def model_note(listing: Mapping[str, Any]) -> str:
    """Say which model was taken if the server lists several, "" otherwise."""
    names = models_of(listing)
    if len(names) < 2:
        return ""
    others = ', '.join(names[1:5])
    return f"the server lists {len(names)} models and {names[0]} is measured; --model takes another: {others}"


def max_model_len(listing: Mapping[str, Any], model: str) -> int | None:
    """Return how many tokens fit the model, prompt and answer together, if the server says so."""
    for entry in listing.get("data") or ():
        if isinstance(entry, Mapping) and entry.get("id") == model:
            meta = entry.get("meta") or {}
            length = entry.get("max_model_len") or entry.get("context_length") or meta.get("n_ctx_train")
            return length if isinstance(length, int) else None
    return None
