"""Entries of `models` about a model that is loaded here, as users of AISBench have them with attr="local"."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

from loadgen.backends.local.interface import LocalBackend
from loadgen.config.models_entry import SCORING, Entry, file_name
from loadgen.suggest import did_you_mean
from loadgen.types import UsageError

KNOWN: Final = ("attr", "type", "abbr", "path", "max_out_len", "batch_size", "max_seq_len", "trust_remote_code")
LAUNCHING: Final = ("run_cfg",)
"""Fields about how AISBench starts a model's processes; here, there is one."""
REFUSED: Final[Mapping[str, str]] = {
    "meta_template": "prompts are messages with roles of their own: leave it out",
    "request_rate": "requests come as the flags say: leave it out and give --rate",
    "stream": "what generate does decides: it yields, takes a streamer, or returns texts; leave it out",
}


def read(entry: Entry, made: type[LocalBackend]) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Return the name of a model, what it decides of a plan ("table.key": value), and what to tell.

    All requests are there at once unless a rate is given, as many at a time as make a batch. Raises UsageError that
    names a field which is unknown, wrong, or can't take effect.
    """
    own = _own(made)
    _check_fields(entry, own)
    name = entry.text("abbr") or made.__name__
    batch = entry.number("batch_size", 1, whole=True, least=1)
    values: dict[str, Any] = {
        "target.backend": entry.place(made), "model.path": entry.text("path"), "model.batch_size": batch,
        "model.max_seq_len": entry.number("max_seq_len", 0, whole=True, least=1),
        "model.trust_remote_code": bool(entry.fields.get("trust_remote_code")),
        "target.options": entry.json({key: value for key, value in entry.fields.items() if key in own
                                      and key not in KNOWN}),
        "load.concurrency": batch, "load.cooldown": False, "load.warmup": 0}
    if made.__dict__.get("aisbench"):
        values["target.endpoint"] = made.endpoints[0]
    if entry.fields.get("max_out_len") is not None:
        values["workload.output_tokens"] = str(entry.number("max_out_len", 0, whole=True, least=1))
    notes = (*entry.unused(name, SCORING, "answers are not scored"),
             *entry.unused(name, LAUNCHING, "one process is started"))
    return file_name(name), values, notes


def _own(made: type[LocalBackend]) -> tuple[str, ...]:
    """Return the arguments of the class's constructor, those of its bases too where it hands them on."""
    names: list[str] = []
    for kind in made.__mro__:
        if "__init__" not in kind.__dict__:
            continue
        parameters = inspect.signature(kind.__init__).parameters  # type: ignore[misc]
        names += [name for name, parameter in parameters.items()
                  if name != "self" and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)]
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    return tuple(dict.fromkeys(names))


def _check_fields(entry: Entry, own: tuple[str, ...]) -> None:
    known = (*KNOWN, *SCORING, *LAUNCHING, *own)
    for key, value in entry.fields.items():
        if key in REFUSED:
            if value:
                raise entry.wrong(key, REFUSED[key])
        elif key not in known:
            raise UsageError(f"{entry.where}: unknown field {key!r}{did_you_mean(key, known)}")
    for key in ("generation_kwargs", "model_kwargs"):
        if not isinstance(entry.fields.get(key) or {}, Mapping):
            raise entry.wrong(key, "write dict(temperature=0.5, ...)")
