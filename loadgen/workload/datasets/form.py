"""What the form of a dataset is, and the form of prompts files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from loadgen.workload.jsonl import FORM, PROMPT_KEYS, Lines, Records


@dataclass(frozen=True, slots=True)
class Form:
    """One form of dataset files: how it looks, and what reads it.

    `recognises` is told the first line of a file. `read(path, chat)` makes its requests, as messages or, without
    `chat`, as texts; it raises UsageError for a file that is broken. `facts` go into the provenance of a run.
    """

    example: str
    recognises: Callable[[bytes], bool]
    read: Callable[[Path, bool], Records]
    facts: Mapping[str, Any] = field(default_factory=dict)


def first_object(head: bytes) -> Any:
    """Return the JSON value of the first line of a file; None if it has none."""
    try:
        return msgspec.json.decode(head.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _recognises(head: bytes) -> bool:
    data = first_object(head)
    return isinstance(data, str) or (isinstance(data, dict) and not data.keys().isdisjoint(("messages", *PROMPT_KEYS)))


PROMPTS: Final = Form(FORM, _recognises, lambda path, chat: Lines(path))
"""The form of --prompts."""
