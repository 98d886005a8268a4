"""One entry of `models` in a config file: its fields with their types, its class, and what to say if one is wrong."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from json import dumps
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from loadgen.backends import aisbench, registry
from loadgen.backends.interface import ServiceBackend
from loadgen.backends.local.interface import LocalBackend
from loadgen.types import UsageError

SCORING: Final = ("pred_postprocessor", "returns_tool_calls")
"""Fields about scoring answers, which nothing here does and no load depends on."""


class Entry:
    """The fields of one entry. `where` names it in messages; `path` is the file, `module` what came of it."""

    def __init__(self, where: str, fields: Mapping[str, Any], module: ModuleType, path: Path) -> None:
        self.where = where
        self.fields = dict(fields)
        self._module = module
        self._path = path

    def place(self, made: type) -> str:
        """Name a class as `--backend` would."""
        if stock := made.__dict__.get("aisbench"):
            return str((aisbench.SERVICE.get(stock) or aisbench.LOCAL[stock])[0])
        for name, place in registry.names().items():
            if place == f"{made.__module__}:{made.__qualname__}":
                return name
        if "." in made.__qualname__:
            raise self.wrong("type", f"{made.__qualname__} is not a class at the top level of its file: move it there")
        own = made.__module__ == self._module.__name__
        return f"{self._path if own else sys.modules[made.__module__].__file__}:{made.__qualname__}"

    def unused(self, name: str, keys: Iterable[str], reason: str) -> tuple[str, ...]:
        """Return the note about fields that are set and have no effect, if there are any."""
        found = [key for key in keys if self.fields.get(key)]
        return (f"{name}: {', '.join(found)} not used: {reason}",) if found else ()

    def text(self, key: str) -> str:
        value = self.fields.get(key)
        if value is not None and not isinstance(value, str):
            raise self.wrong(key, f"{value!r} is not a text")
        return (value or "").strip()

    def number(self, key: str, default: Any, *, whole: bool = False, least: float = 0) -> Any:
        value = self.fields.get(key)
        if value is None or value == "":
            return default
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not least <= value < 1e9:
            raise self.wrong(key, f"{value!r} is not a {'whole ' if whole else ''}number of at least {least:g}")
        return value

    def json(self, options: dict[str, Any]) -> dict[str, Any]:
        """Check that options can be written into plan.json, from which the run can be run again."""
        for key, value in options.items():
            try:
                dumps(value, allow_nan=False)
            except (TypeError, ValueError):
                raise self.wrong(key, f"{value!r:.80} has no form in JSON, which a run is written down in") from None
        return options

    def wrong(self, key: str, reason: str) -> UsageError:
        return UsageError(f"{self.where}: {key}: {reason}")


def file_name(name: str) -> str:
    """Return the name of a model as that of a directory."""
    return re.sub(r"[^\w.-]", "_", name)


def class_of(entry: Entry) -> type[ServiceBackend] | type[LocalBackend]:
    """Return the class of an entry, which `attr` has to fit. Raises UsageError for anything else."""
    made = entry.fields.get("type")
    if isinstance(made, aisbench.Absent):
        raise entry.wrong("type", f"{made.name} of AISBench has no counterpart here: "
                          f"there are {', '.join((*aisbench.SERVICE, *aisbench.LOCAL))}")
    if not (isinstance(made, type) and issubclass(made, ServiceBackend | LocalBackend)):
        raise entry.wrong("type", f"{made!r} is not a backend class: derive it from loadgen.ServiceBackend, or from "
                          "loadgen.LocalBackend for a model that is loaded here")
    if made in (ServiceBackend, LocalBackend, aisbench.BaseAPIModel, aisbench.BaseModel):
        raise entry.wrong("type", f"{made.__name__} is what backends derive from: write a class of your own")
    kind = "local" if issubclass(made, LocalBackend) else "service"
    attr = entry.fields.get("attr", kind)
    if attr not in ("service", "local"):
        raise entry.wrong("attr", f"{attr!r} is neither \"service\" nor \"local\"")
    if attr != kind:
        what = "a model that is loaded here" if kind == "local" else "a server's backend"
        raise entry.wrong("attr", f"{made.__name__} is {what}: write attr=\"{kind}\"")
    return made
