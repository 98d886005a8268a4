"""Reads from a request's JSON what every dialect asks for: the prompt, the length, the shape of the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from loadgen.mock.dialects.interface import RequestRefusedError

Refuse = Callable[[int, str], RequestRefusedError]
"""Make the refusal of a dialect: status, message."""


def body_of(body: bytes, refuse: Refuse) -> dict[str, Any]:
    """Decode the body of a request. Raise the refusal of one that is no JSON object."""
    try:
        asked = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refuse(422, f"Failed to parse the request body as JSON: {error}") from None
    if not isinstance(asked, dict):
        raise refuse(422, "the body is not a JSON object")
    return asked


def prompt_tokens(prompt: object) -> int:
    """Count the tokens of a prompt: words of a text, ids of a list, the parts of messages; 0 for no prompt."""
    if isinstance(prompt, str):
        return prompt.count(" ") + 1 if prompt else 0
    if not isinstance(prompt, list):
        return 0
    if all(type(part) is int for part in prompt):
        return len(prompt)
    return sum(prompt_tokens(part.get("content") or part.get("text")) for part in prompt if isinstance(part, Mapping))


def length_of(options: Mapping[str, Any], field: str, default: int, refuse: Refuse) -> int:
    """Read how many tokens are asked for."""
    wanted = options.get(field)
    if wanted is None:
        return default
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
        raise refuse(422, f"Input validation error: `{field}` must be strictly positive, got {wanted}")
    return wanted
