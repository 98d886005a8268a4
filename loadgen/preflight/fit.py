"""What a server tells of itself, held against the plan before the clock starts: who it is, and what fits it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from loadgen.backends.detect_dialect import dialects, server_of
from loadgen.backends.interface import ServiceBackend
from loadgen.types import Request, UsageError
from loadgen.workload import Source

SAMPLE: Final = 100
"""How many of the first requests are held against the server's limits."""

Get = Callable[[str], Any]
"""Return the JSON that the server answers to a GET of a path, None without any."""


def first_request(backend: ServiceBackend) -> Request:
    """Return the small request that tries a server."""
    if backend.takes_only_ids:
        return Request(-1, prompt_ids=(1, 2, 3), max_output_tokens=1)
    return Request(-1, prompt="Hello from loadgen.", max_output_tokens=1)


def facts(backend: ServiceBackend, get: Get) -> dict[str, Any]:
    """Return what the server tells of itself; nothing if it doesn't."""
    listing = get(backend.models_path) if backend.models_path else None
    return backend.facts_from(listing) if isinstance(listing, Mapping) else {}


def wrong_server(backend: ServiceBackend, get: Get) -> str:
    """Say which server this is if it is another than the backend's, "" if that can't be said."""
    found = server_of(get)
    if found in ("", backend.speaks, *backend.dialects):
        return ""
    name, flags = dialects()[found]
    return f"this looks like a server of {name}: {flags}"


def check_fit(told: Mapping[str, Any], source: Source) -> str:
    """Hold the first requests against the server's limits: prompt alone, and with its answer.

    A prompt whose tokens nobody counted is taken for its words, of which it has no more than tokens. Returns a warning
    if some don't fit, and raises UsageError with the numbers if none does.
    """
    most_input, most = told.get("max_input_tokens"), told.get("max_total_tokens")
    if most_input is None and most is None:
        return ""
    count = min(SAMPLE, source.count or SAMPLE)
    lengths = [_lengths(source.request(index)) for index in range(count)]
    long = [(given, asked) for given, asked in lengths
            if (isinstance(most_input, int) and given > most_input)
            or (isinstance(most, int) and given + asked > most)]
    if not long:
        return ""
    given, asked = max(long, key=sum)
    limits = [f"a prompt of {most_input:,}"] if isinstance(most_input, int) and given > most_input else []
    limits += [f"{most:,} together"] if isinstance(most, int) and given + asked > most else []
    words = (f"prompts of {given:,} tokens and answers of {asked:,} don't fit the server, which takes "
             f"{' and '.join(limits)} tokens: a smaller --input-tokens or --output-tokens")
    if len(long) == count:
        raise UsageError(words)
    return f"{len(long)} of the first {count} requests won't fit: {words}"


def _lengths(request: Request) -> tuple[int, int]:
    """Return the tokens of the prompt, as far as they are known, and those that are asked for."""
    given = request.input_tokens
    if given < 0:
        given = len(request.prompt_ids or ()) or len((request.prompt or "").split())
    return given, request.max_output_tokens or 0
