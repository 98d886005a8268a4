"""Plans as files and mappings: reads TOML and JSON into a Plan, writes a Plan back, and lays flags over it."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final, get_type_hints

from loadgen.config.plan_check import check
from loadgen.plan import Duration, Plan
from loadgen.redact import KEY_VARIABLE, MASK, is_secret, mask_header
from loadgen.suggest import did_you_mean
from loadgen.types import UsageError
from loadgen.units import format_duration, parse_duration

__all__ = ["check", "from_dict", "load", "override", "read_share", "reveal", "to_dict"]

TABLES: Final = get_type_hints(Plan)
"""Name of each table of a plan file, and the dataclass that it becomes."""
IGNORED: Final = frozenset({"resolved", "schema"})
"""What a run adds to its plan.json for readers; a plan that is read back does without them."""
AUTO: Final = "auto"
"""How the warm-up's own choice (-1) is written."""
_RIVALS: Final = (("load.rate", "load.concurrency"), ("load.rate", "load.load_shape"),
                  ("load.concurrency", "load.load_shape"), ("load.requests", "load.duration"))
_UNSET: Final = {"load.requests": 0, "load.duration": Duration(0), "load.rate": 0.0, "load.concurrency": 0,
                 "load.load_shape": None}


def load(path: str | Path) -> Plan:
    """Read a plan from a .toml or .json file, or from a run directory (its plan.json).

    Secrets that were masked when the file was written stay masked; `reveal` puts them back. A plan that a run wrote
    forgets its directory, so that the same run once more gets one of its own. Raise UsageError for a file that can't be
    read, is neither format, or holds a key or a value that no plan has.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "plan.json"
        if not file.exists():
            raise UsageError(f"{path} is not a run directory: it has no plan.json")
    readers: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": json.loads}
    if file.suffix not in readers:
        raise UsageError(f"{file}: a plan is a .toml or a .json file, or a run directory")
    try:
        data = readers[file.suffix](file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"can't read the plan {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 (byte {error.start})") from None
    except ValueError as error:
        raise UsageError(f"{file} is not valid {file.suffix[1:].upper()}: {error}") from None
    try:
        plan = from_dict(data)
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None
    return replace(plan, out=replace(plan.out, dir="")) if IGNORED & data.keys() else plan


def from_dict(data: Mapping[str, Any]) -> Plan:
    """Make a Plan of nested tables, as `to_dict` writes them; what is left out keeps its default.

    Raise UsageError that names an unknown table or key and the nearest right one, or a value of the wrong type.
    """
    if not isinstance(data, Mapping):
        raise UsageError(f"a plan is a table of tables, not {_named(data)}")
    tables = {}
    for name, content in data.items():
        if name in IGNORED:
            continue
        if name not in TABLES:
            raise UsageError(f"unknown table [{name}]{_hint(name, list(TABLES), _table_of(name))}")
        if not isinstance(content, Mapping):
            raise UsageError(f"[{name}] is a table of settings, not {_named(content)}")
        tables[name] = _section(name, content)
    return Plan(**tables)


def to_dict(plan: Plan, mask: bool = True) -> dict[str, dict[str, Any]]:
    """Write a Plan as nested tables of JSON values: durations as text, unset values left out.

    With `mask`, the api key and the values of headers that carry one are replaced by "***".
    """
    tables: dict[str, dict[str, Any]] = {}
    for table in TABLES:
        section = getattr(plan, table)
        hints = get_type_hints(type(section))
        tables[table] = {name: _written(kind, value) for name, kind in hints.items()
                         if (value := getattr(section, name)) is not None}
    if mask:
        target = tables["target"]
        target["api_key"] = MASK if target["api_key"] else ""
        target["headers"] = {name: mask_header(name, value) for name, value in target["headers"].items()}
    return tables


def override(plan: Plan, flags: Mapping[str, Any]) -> Plan:
    """Lay values over a Plan; `flags` maps "table.key" to a value of that field's own type.

    Headers and body fields are added to the plan's, everything else replaces it. A flag whose rival is in the plan
    (rate, load shape and concurrency; requests and duration) takes the rival's place.
    """
    asked, flags = flags, dict(flags)
    for one, other in _RIVALS:
        for given, rival in ((one, other), (other, one)):
            if given in asked and rival not in asked and asked[given] != _UNSET[given]:
                flags[rival] = _UNSET[rival]
    for table in TABLES:
        section = getattr(plan, table)
        changes = {path.partition(".")[2]: value for path, value in flags.items() if path.startswith(f"{table}.")}
        for key, value in changes.items():
            if isinstance(value, Mapping):
                changes[key] = _merged(getattr(section, key), value, str.lower if key == "headers" else str)
        plan = replace(plan, **{table: replace(section, **changes)})
    return plan


def reveal(plan: Plan, environment: Mapping[str, str] = os.environ) -> Plan:
    """Put the key of LOADGEN_API_KEY where the plan has none, and where its own was masked.

    Without that variable the plan comes back as it is; `check` then refuses what is still masked.
    """
    key = environment.get(KEY_VARIABLE, "")
    target = plan.target
    if not key:
        return plan
    headers = {name: value.replace(MASK, key) if is_secret(name) else value for name, value in target.headers.items()}
    masked = target.api_key in ("", MASK)
    return replace(plan, target=replace(target, api_key=key if masked else target.api_key, headers=headers))


def _merged(old: Mapping[str, Any], new: Mapping[str, Any], same: Callable[[str], str]) -> dict[str, Any]:
    """Lay `new` over `old`; names are one name where `same` gives the same text, as headers are in any case."""
    replaced = {same(name) for name in new}
    return {name: value for name, value in old.items() if same(name) not in replaced} | dict(new)


def _section(table: str, content: Mapping[str, Any]) -> Any:
    kind = TABLES[table]
    hints = get_type_hints(kind)
    for key in content:
        if key not in hints:
            raise UsageError(f"unknown key {key!r} in [{table}]{_hint(key, list(hints), _home_of(key))}")
    values = {key: _read(f"{table}.{key}", hints[key], value) for key, value in content.items()}
    return kind(**values)


def _table_of(key: str) -> str:
    """Say where a setting belongs that was written at the top of the file."""
    home = _home_of(key)
    return home and f"{home}; settings stand under their table"


def _home_of(key: str) -> str:
    homes = [table for table, kind in TABLES.items() if key in {field.name for field in fields(kind)}]
    return f"; {key} belongs in [{homes[0]}]" if homes else ""


def _hint(word: str, words: list[str], better: str) -> str:
    return better or did_you_mean(word, words) or f"; there are {', '.join(words)}"


def _read(path: str, kind: Any, value: Any) -> Any:
    """Turn one value of a file into the field's own type."""
    expected, convert = _KINDS[kind]
    if path == "load.warmup" and value == AUTO:
        return Duration(-1)
    if path == "judgement.precision" and isinstance(value, str):
        return read_share(value)
    try:
        return convert(value)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    except (TypeError, ValueError):
        raise UsageError(f"{path} is {expected}, not {_named(value)}") from None


def read_share(text: str) -> float:
    """Read "5%" or "0.05" as 0.05. Raise UsageError for anything else."""
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise UsageError(f"invalid share {text!r}: write a percentage, as in 5%") from None


def _exactly(*kinds: type) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise TypeError
        return value
    return convert


def _strings(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise TypeError
    return tuple(value)


def _string_table(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value.values()):
        raise TypeError
    return dict(value)


def _json_table(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    json.dumps(value, allow_nan=False)  # a TOML date, or a NaN, has no JSON form
    return dict(value)


def _written(kind: Any, value: Any) -> Any:
    if kind is Duration:
        return AUTO if value < 0 else format_duration(value)
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _named(value: Any) -> str:
    return "null" if value is None else f"{type(value).__name__} {value!r:.60}"


_KINDS: Final[dict[Any, tuple[str, Callable[[Any], Any]]]] = {
    str: ("a text", _exactly(str)),
    bool: ("true or false", _exactly(bool)),
    str | None: ("a text", _exactly(str, type(None))),
    int: ("a whole number", _exactly(int)),
    int | None: ("a whole number", _exactly(int, type(None))),
    float: ("a number", lambda value: float(_exactly(int, float)(value))),
    Duration: ('a duration, as in "60s"', lambda value: Duration(parse_duration(_exactly(str)(value)))),
    tuple[str, ...]: ("a list of texts", _strings),
    Mapping[str, str]: ("a table of texts", _string_table),
    Mapping[str, Any]: ("a table of JSON values", _json_table),
}
