"""Finds backends by name, entry point or file, and makes them for a target."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from loadgen.backends import built_in
from loadgen.backends.errors import one_line
from loadgen.backends.interface import ServiceBackend
from loadgen.backends.local.interface import LocalBackend
from loadgen.plan import LocalModel, Target
from loadgen.suggest import did_you_mean
from loadgen.types import UsageError

if TYPE_CHECKING:
    from loadgen.backends.local.answers import Local

GROUP: Final = "loadgen.backends"
MODEL_FIELDS: Final = tuple(field.name for field in dataclasses.fields(LocalModel))
BUILT_IN: Final = {**built_in.SERVICES, **built_in.MODELS}
Found = type[ServiceBackend] | type[LocalBackend]
Made = TypeVar("Made", ServiceBackend, LocalBackend)


def names() -> dict[str, str]:
    """Return where each known backend is, by name; a built-in name outranks an entry point."""
    import importlib.metadata  # a moment to import, and to read what is installed: only for who asks for it

    return {entry.name: entry.value for entry in importlib.metadata.entry_points(group=GROUP)} | BUILT_IN


def find(name: str) -> Found:
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
    known = BUILT_IN if name in BUILT_IN else names()
    if name not in known:
        raise UsageError(f"there is no backend {name!r}{did_you_mean(name, known)}; there are "
                         f"{', '.join(sorted(known))}; "
                         "your own is --backend path/to/file.py:Class")
    module, _, class_name = known[name].partition(":")
    try:
        return _class_of(importlib.import_module(module), class_name, name)
    except ImportError as error:
        raise UsageError(f"the backend {name!r} can't be loaded from {module}: {error}") from error


def find_service(name: str) -> type[ServiceBackend]:
    """Return the class of a server's backend, as find does; raises UsageError for a local one."""
    found = find(name)
    if issubclass(found, LocalBackend):
        raise UsageError(f"{name} is a model in a process of its own, not a server: see `loadgen run --backend {name}`")
    return found


def is_local(name: str) -> bool:
    """Say whether a backend is a model in a process of its own. Raises UsageError as find does."""
    return issubclass(find(name), LocalBackend)


def _find_local(name: str) -> type[LocalBackend]:
    found = find(name)
    if issubclass(found, LocalBackend):
        return found
    raise UsageError(f"{name} is a server's backend, and no model that could be loaded here")


def make_local(target: Target) -> Local:
    """Make the desk's side of a local backend. Raises UsageError for an endpoint that it does not have."""
    from loadgen.backends.local.answers import Local, check_endpoint

    made = _find_local(target.backend)
    check_endpoint(made, target.endpoint, target.backend)
    return Local(made, target.endpoint, target.body, target.stream)


def load_local(target: Target, model: LocalModel) -> LocalBackend:
    """Load the model of a local backend, in this process. Raises UsageError that says why it can't be."""
    made = _find_local(target.backend)
    wanted = {**target.options, **{name: value for name in MODEL_FIELDS if (value := getattr(model, name))}}
    if target.endpoint:
        wanted["endpoint"] = target.endpoint
    accepted = _accepted(made)
    batch_size = wanted.get("batch_size", 0)
    if accepted is not None and "batch_size" not in accepted:
        wanted.pop("batch_size", None)
    foreign = [name for name in wanted if accepted is not None and name not in accepted]
    if foreign:
        raise UsageError(f"the backend {target.backend} takes no {foreign[0]}: it takes "
                         f"{', '.join(sorted(accepted or ()))}")
    backend = _constructed(made, wanted, target.backend)
    if batch_size:  # also of a class whose constructor has no argument for it
        backend.batch_size = batch_size
    return backend


def make(target: Target, **options: Any) -> ServiceBackend:
    """Make the backend of a target, which then carries its headers and body. `options` go to the constructor too.

    A class need not take every argument of ServiceBackend: what it doesn't is left at its default, but an endpoint
    that can't take effect raises UsageError, as do URLs that differ in their path.
    """
    made = find_service(target.backend)
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
    backend = _constructed(made, wanted, target.backend)
    backend.add_headers(target.headers)
    backend.add_body(target.body)
    return backend


def _constructed(made: type[Made], wanted: dict[str, Any], name: str) -> Made:
    """Call a constructor; what it raises but a UsageError becomes one, with the line it came from."""
    try:
        return made(**wanted)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"the backend {name} can't be made: {one_line(error)}") from error


def takes(name: str, argument: str) -> bool:
    """Say whether the constructor of a backend has an argument."""
    accepted = _accepted(find(name))
    return accepted is None or argument in accepted


def _accepted(made: Found) -> set[str] | None:
    """Return the names of the constructor's arguments, None if it takes any."""
    parameters = inspect.signature(made).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters}


def load(path: Path) -> ModuleType:
    """Import a file as a module of its own, with what stands in for AISBench, unless that was done and it is the same.

    Raises UsageError with file and line.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    from loadgen.backends import aisbench

    name, source = f"loadgen_backend_{path.stem}", path.read_bytes()
    known = getattr(sys.modules.get(name), "__spec__", None)
    if known is not None and (known.origin, known.loader_state) == (str(path.resolve()), source):
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look for the classes of it
    sys.path.insert(0, str(path.resolve().parent))  # what it imports from beside it
    try:
        with aisbench.standing_in(find):
            spec.loader.exec_module(module)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    except Exception as error:
        raise UsageError(f"{path} can't be run: {one_line(error)}") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    spec.loader_state = source
    return module


def _class_of(module: ModuleType, class_name: str, name: str) -> Found:
    """Return the backend class `class_name` of a module."""
    found = getattr(module, class_name, None)
    if isinstance(found, type) and issubclass(found, ServiceBackend | LocalBackend):
        return found
    if found is not None:
        raise UsageError(f"{name}: {class_name} is not a backend: derive it from loadgen.ServiceBackend, or from "
                         "loadgen.LocalBackend for a model that is loaded here")
    others = [key for key, value in vars(module).items() if isinstance(value, type)
              and issubclass(value, ServiceBackend | LocalBackend) and value.__module__ == module.__name__]
    raise UsageError(f"{name}: there is no class {class_name!r}; backends there: {', '.join(others) or 'none'}")
