"""summary.json of one run, or a list of those of several; sweep.json and comparison.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from loadgen.summary.run_data import RunData


def render(results: Sequence[RunData]) -> Iterator[str]:
    """Write what summary.json holds; of several runs a list, each with its name as `run`."""
    summaries = [result.report.to_json() for result in results]
    if len(results) == 1:
        yield json.dumps(summaries[0], indent=2) + "\n"
    else:
        named = [{"run": result.name, **summary} for result, summary in zip(results, summaries, strict=True)]
        yield json.dumps(named, indent=2) + "\n"


class Document(Protocol):
    """A Sweep or a Comparison."""

    def to_json(self) -> Mapping[str, Any]:
        """Return it as values of JSON."""


def document(found: Document) -> str:
    """Write what sweep.json or comparison.json holds."""
    return json.dumps(found.to_json(), indent=2) + "\n"
