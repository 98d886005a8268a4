"""Finds backends by name, entry point or file, and makes them for a target."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import sysconfig
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

from loadgen.backends import aisbench
from loadgen.backends.contract import LocalBackend, ServiceBackend
from loadgen.plan import Target
from loadgen.types import UsageError

GROUP: Final = "loadgen.backends"
_NOT_OWN: Final = (str(Path(__file__).parent.parent), sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), "<")
"""Where files are that a user did not write: ours, Python's, installed packages."""
BUILT_IN: Final = {
    "openai": "loadgen.backends.openai:OpenAI",
    "triton": "loadgen.backends.triton:Triton",
    "vllm": "loadgen.backends.vllm:VLLM",
    "tgi": "loadgen.backends.tgi:TGI",
    "mindie": "loadgen.backends.mindie:MindIE",
}


def names() -> dict[str, str]:
    """Return where each known backend is, by name; a built-in name outranks an entry point."""
    return {entry.name: entry.value for entry in importlib.metadata.entry_points(group=GROUP)} | BUILT_IN


def find(name: str) -> type[ServiceBackend]:
    """Return the class of a backend: a built-in name, an entry point of `loadgen.backends`, or "path/to/file.py:Class".

    Raises UsageError if there is none, or if it is no backend.
    """
    file, colon, class_name = name.rpartition(":")
    if colon and file.endswith(".py"):
        if not Path(file).is_file():
            raise UsageError(f"there is no backend file {file}: write --backend path/to/file.py:Class")
        return _class_of(load(Path(file)), class_name, name)
    if name.endswith(".py"):
        raise UsageError(f"--backend {name}: name the class too: {name}:Class")
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"there is no backend {name!r}{hint} Known: {', '.join(sorted(known))}; "
                         "your own is --backend path/to/file.py:Class")
    module, _, class_name = known[name].partition(":")
    try:
        return _class_of(importlib.import_module(module), class_name, name)
    except ImportError as error:
        raise UsageError(f"the backend {name!r} can't be loaded from {module}: {error}") from error


def make(target: Target, **options: Any) -> ServiceBackend:
    """Make the backend of a target, which then carries its headers and body. `options` go to the constructor too.

    A class need not take every argument of ServiceBackend: what it doesn't is left at its default, but an endpoint
    that can't take effect raises UsageError, as do URLs that differ in their path.
    """
    made = find(target.backend)
    if len({urlsplit(url).path.rstrip("/") for url in target.url}) > 1:
        raise UsageError(f"the URLs must have the same path, and differ: {', '.join(target.url)}")
    wanted = {**target.options, "model": target.model, "stream": target.stream, "api_key": target.api_key,
              "url": target.url[0] if target.url else "", **options}
    if target.endpoint:
        wanted["endpoint"] = target.endpoint
    accepted = _accepted(made)
    if accepted is not None:
        if "endpoint" in wanted and "endpoint" not in accepted:
            raise UsageError(f"the backend {target.backend} has no choice of endpoint: leave --endpoint out")
        wanted = {name: value for name, value in wanted.items() if name in accepted}
    try:
        backend = made(**wanted)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"the backend {target.backend} can't be made: {told(error)}") from error
    backend.add_headers(target.headers)
    backend.add_body(target.body)
    return backend


def takes(name: str, argument: str) -> bool:
    """Say whether the constructor of a backend has an argument."""
    accepted = _accepted(find(name))
    return accepted is None or argument in accepted


def _accepted(made: type[ServiceBackend]) -> set[str] | None:
    """Return the names of the constructor's arguments, None if it takes any."""
    parameters = inspect.signature(made).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters}


def load(path: Path) -> ModuleType:
    """Import a file as a module of its own, with what stands in for AISBench. Raises UsageError with file and line."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    name = f"loadgen_backend_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look for the classes of it
    sys.path.insert(0, str(path.resolve().parent))  # what it imports from beside it
    try:
        with aisbench.standing_in(find):
            spec.loader.exec_module(module)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    except Exception as error:
        raise UsageError(f"{path} can't be run: {told(error)}") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def _class_of(module: ModuleType, class_name: str, name: str) -> type[ServiceBackend]:
    """Return the backend class `class_name` of a module."""
    found = getattr(module, class_name, None)
    if isinstance(found, type) and issubclass(found, ServiceBackend):
        return found
    if isinstance(found, type) and issubclass(found, LocalBackend):
        raise UsageError(f"{name}: {class_name} is a local backend, and `run` measures servers")
    if found is not None:
        raise UsageError(f"{name}: {class_name} is no backend: derive it from loadgen.ServiceBackend")
    others = [key for key, value in vars(module).items()
              if isinstance(value, type) and issubclass(value, ServiceBackend) and value.__module__ == module.__name__]
    raise UsageError(f"{name}: there is no class {class_name!r}; backends there: {', '.join(others) or 'none'}")


def told(error: Exception) -> str:
    """Tell an exception with the line it came from: in code of the user's own if there is any on the way."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_NOT_OWN)] or frames
    where = f"{own[-1].filename}:{own[-1].lineno}: " if own else ""
    if isinstance(error, SyntaxError):
        where = f"{error.filename}:{error.lineno}: "
    return f"{where}{type(error).__name__}: {error}"
