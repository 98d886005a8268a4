"""Recognises the dialect of an answer by its fields, to tell who gave --backend the wrong server; knows no run."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final, Protocol

import msgspec

from loadgen.backends import built_in
from loadgen.types import Failure

_TOLD_BY: Final = ("parse", "truncated", "empty")


class Recogniser(Protocol):
    """The class of a backend that knows the answers of its dialects."""

    about_path: str
    dialects: ClassVar[Mapping[str, tuple[str, str]]]

    @classmethod
    def recognises(cls, answer: Mapping[str, Any], path: str = "") -> str: ...


def recognisers() -> list[type[Recogniser]]:
    """Return the built-in backends that recognise a dialect, those of special servers before that of many."""
    found = []
    for place in reversed(built_in.SERVICES.values()):
        module, _, name = place.partition(":")
        made = getattr(importlib.import_module(module), name)
        if "recognises" in vars(made):
            found.append(made)
    return found


def dialects(own: type[Recogniser] | None = None) -> dict[str, tuple[str, str]]:
    """Return what each dialect is called and the flags that speak it, by name; also those of a backend's `own`."""
    return {name: words for made in reversed(_known(own)) for name, words in made.dialects.items()}


def explained(failure: Failure, payload: bytes, speaks: str, own: type[Recogniser] | None = None) -> Failure:
    """Return the failure of an answer without a token, saying which other dialect it looks like, if it does.

    `own`, the class whose server was asked, is the first to recognise the answer.
    """
    if failure.kind not in _TOLD_BY:
        return failure
    dialect = dialect_of(payload, own)
    if not dialect or dialect == speaks or dialect.endswith("-" + speaks):
        return failure
    name, flags = dialects(own)[dialect]
    return replace(failure, detail=f"this looks like {name}: {flags}; {failure.detail}")


def dialect_of(payload: bytes, own: type[Recogniser] | None = None) -> str:
    """Return the dialect that the first JSON object of an answer, streamed or not, is of; "" if it tells none."""
    start = payload.find(b"{")
    if start < 0:
        return ""
    ends = [end for end in (payload.find(b"\n", start), payload.find(b"\0", start)) if end >= 0]
    for body in (payload[start:min(ends, default=len(payload))], payload[start:]):
        try:
            data = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        return _recognised(data, own) if isinstance(data, Mapping) else ""
    return ""


def _recognised(answer: Mapping[str, Any], own: type[Recogniser] | None) -> str:
    return next(filter(None, (made.recognises(answer) for made in _known(own))), "")


def _known(own: type[Recogniser] | None) -> list[type[Recogniser]]:
    return [*([own] if own else []), *recognisers()]


def server_of(get: Callable[[str], Any], own: type[Recogniser] | None = None) -> str:
    """Return the dialect of a server by what it answers to `get`, JSON or None by path; "" if that tells nothing."""
    known = _known(own)
    answers = {path: get(path) for path in dict.fromkeys(made.about_path for made in known) if path}
    for made in known:
        answer = answers.get(made.about_path)
        if isinstance(answer, Mapping) and (found := made.recognises(answer, made.about_path)):
            return found
    return ""
