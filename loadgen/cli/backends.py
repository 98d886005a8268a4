"""`loadgen backends`: what backends there are, what each can and can't measure, and a check of one of your own."""

from __future__ import annotations

import argparse
import inspect
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Final

from loadgen.cli.flags import FLAGS
from loadgen.exit_codes import FAILED, OK
from loadgen.types import UsageError

WIDTH: Final = 110
STREAMED: Final = "streamed: ttft, itl, tpot, e2e; with --no-stream an answer has one instant, its end: e2e alone"
LOADED_HERE: Final = "loaded with --path DIR before the clock starts; every token is stamped where it is made"
_EPILOG: Final = """\
examples:
  loadgen backends                                            all of them
  loadgen backends mindie                                     one, whole
  loadgen backends check my_server.py:MyServer --capture bytes.raw
"""


def add_parser(subparsers: Any) -> None:
    """Add `backends` to the command line."""
    parser = subparsers.add_parser(
        "backends", help="list the backends, or check one of your own against a captured answer", epilog=_EPILOG,
        usage="loadgen backends [NAME | check NAME --capture FILE]",
        description="List the backends, tell about one, or replay a captured answer through one.")
    parser.add_argument("words", nargs="*", metavar="NAME", help="a backend, as run --backend takes it; or: check NAME")
    parser.add_argument("--capture", metavar="FILE",
                        help="for check: an answer as it came, with its head (curl -si) or without")
    parser.add_argument("--stream", action=argparse.BooleanOptionalAction, default=True,
                        help="for check: the answer is a stream (yes)")
    parser.add_argument("--endpoint", metavar="NAME", default="", help="for check: the endpoint that answered")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List, tell or check. Returns 1 if a check found something wrong."""
    match args.words:
        case []:
            lines = table()
        case ["check", name]:
            return _check(name, args)
        case [name]:
            lines = about(name)
        case _:
            raise UsageError("write `loadgen backends`, `loadgen backends NAME` or "
                             "`loadgen backends check NAME --capture FILE`")
    if args.capture:
        raise UsageError("--capture goes with check: loadgen backends check NAME --capture FILE")
    print("\n".join(lines))
    return OK


def _check(name: str, args: argparse.Namespace) -> int:
    from loadgen.cli import check

    if not args.capture:
        raise UsageError("what shall be replayed? Add --capture FILE: an answer of the server, saved with curl -si")
    lines, sound = check.check(name, args.capture, stream=args.stream, endpoint=args.endpoint)
    print("\n".join(lines))
    sys.stdout.flush()
    return OK if sound else FAILED


def table() -> list[str]:
    """Return the lines of the list of all backends, drawn from their classes."""
    from loadgen.backends import registry

    rows = [("backend", "endpoints (the first is the default)", "output length", "")]
    notes = []
    for name, place in registry.names().items():
        try:
            made = registry.find(name)
        except UsageError as error:
            notes.append(f"{name}: {error}")
            continue
        rows.append((name, ", ".join(made.endpoints), _length([line[2] for line in _endpoints(name)]),
                     "" if name in registry.BUILT_IN else place))
        notes.append(f"{name}: {first_sentence(made)}")
    return [*_columns(rows), "", *_wrapped(notes), "",
            "loadgen backends NAME tells more; your own is --backend path/to/file.py:Class"]


def about(name: str) -> list[str]:
    """Return the lines about one backend. Raises UsageError if there is none of that name."""
    from loadgen.backends import registry

    made = registry.find(name)
    where, told = ("model", LOADED_HERE) if registry.is_local(name) else ("path, streamed", STREAMED)
    rows = [("endpoint", where, "output length", "prompts"), *_endpoints(name)]
    own = [f"--option {key}=...   {_default(parameter)}" for key, parameter in _options(made)]
    return [f"{name}   {registry.names().get(name, '')}".rstrip(), "", *_wrapped([inspect.getdoc(made) or ""]), "",
            *_columns(rows), "", *(["options of its own:", *own, ""] if own else []),
            told,
            *(["length asked for: the server may stop earlier, so compare what was asked with what came"]
              if any(row[2] != "forced" for row in rows[1:]) else [])]


def first_sentence(made: type) -> str:
    """Return the first sentence of a class's own docstring."""
    text = " ".join((made.__doc__ or "no description").split())
    return text.partition(". ")[0].rstrip(".") + "."


def _endpoints(name: str) -> list[tuple[str, str, str, str]]:
    """Return (endpoint, path, output length, what prompts it takes) of each endpoint of a backend."""
    from loadgen.backends import registry
    from loadgen.plan import Target

    if registry.is_local(name):
        return _local_endpoints(name)
    found = []
    for endpoint in registry.find_service(name).endpoints:
        chosen = endpoint if registry.takes(name, "endpoint") else ""
        backend = registry.make(Target(name, ("http://host",), "MODEL", chosen))
        length = "forced" if backend.forces_length else "asked for"
        prompts = "token ids" if backend.takes_only_ids else "messages" if endpoint == "chat" else "text"
        found.append((endpoint, backend.request_path(), length, prompts))
    return found


def _local_endpoints(name: str) -> list[tuple[str, str, str, str]]:
    """Return the same of a model that is loaded here; one of a user's own may have no endpoints."""
    from loadgen.backends import registry

    made = registry.find(name)
    length = "forced" if made.forces_length else "asked for"
    return [(endpoint or "-", "in a process of its own", length, "text" if endpoint == "completions" else "messages")
            for endpoint in made.endpoints or ("",)]


def _length(lengths: Sequence[str]) -> str:
    return lengths[0] if len(set(lengths)) == 1 else "differs"


def _options(made: type) -> Iterator[tuple[str, inspect.Parameter]]:
    """Yield the constructor's own arguments, beside those that every backend has."""
    from loadgen.backends.interface import ServiceBackend

    common = {*inspect.signature(ServiceBackend.__init__).parameters, *(flag.path.partition(".")[2] for flag in FLAGS
                                                                         if flag.path.startswith("model."))}
    for key, parameter in inspect.signature(made).parameters.items():
        if key not in common and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            yield key, parameter


def _default(parameter: inspect.Parameter) -> str:
    return "" if parameter.default is parameter.empty else f"default {parameter.default!r}"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _wrapped(paragraphs: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for paragraph in "\n\n".join(paragraphs).split("\n\n"):
        lines += textwrap.wrap(" ".join(paragraph.split()), WIDTH, subsequent_indent="  ")
    return lines
