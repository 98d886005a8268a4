"""Opens the images of a prompt, for models in a process of their own: from data: URLs, base64 and files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loadgen.workload.images import data_of, opened

_SHOWN = 60  # characters of an image's name that are told


def open_images(input: Any) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return messages in transformers' form, and the images that their parts of type image stand for, opened.

    `input` is a text or messages in OpenAI's form, whose parts `image_url` become `{"type": "image"}`. Raises
    ValueError that says which image can't be read.
    """
    if isinstance(input, str):
        return [{"role": "user", "content": [{"type": "text", "text": input}]}], []
    if not (input and isinstance(input[0], Mapping)):
        raise ValueError("a vision-language model takes texts and messages, no token ids")
    images: list[Any] = []
    messages = []
    for message in input:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        messages.append({**message, "content": [_part(part, images) for part in parts]})
    return messages, images


def _part(part: Mapping[str, Any], images: list[Any]) -> Mapping[str, Any]:
    if part.get("type") not in ("image_url", "image"):
        return part
    given = part.get("image_url", part.get("image"))
    source = given.get("url") if isinstance(given, Mapping) else given
    images.append(open_image(str(source), len(images) + 1))
    return {"type": "image"}


def open_image(source: str, number: int) -> Any:
    """Return a PIL image in RGB. `number` is its place in the request, for the ValueError if it can't be read."""
    shown = source if len(source) <= _SHOWN else source[:_SHOWN] + "..."
    try:
        if source.startswith(("http://", "https://")):
            raise ValueError("a model that is loaded here fetches nothing: give the file, or its data as data:")
        return opened(data_of(source)).convert("RGB")
    except (OSError, ValueError) as error:
        raise ValueError(f"image {number} of the request ({shown}) can't be read: {error}") from None
