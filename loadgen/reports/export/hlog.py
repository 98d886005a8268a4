"""The interval logs of runs as one HdrHistogram log: every metric a tag, all on one clock."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

from loadgen.summary.run_data import RunData

_BASE: Final = re.compile(r"^#\[BaseTime: ([0-9.]+)", re.MULTILINE)
_LINE: Final = re.compile(r"^Tag=([^,]*),([0-9.]+),(.*)$", re.MULTILINE)
_HEADER: Final = re.compile(r"\A(?:#.*\n)+")
_UNSAFE: Final = re.compile(r"[^\w.-]")


def render(results: Sequence[RunData]) -> Iterator[str]:
    """Join the logs: lines in the order of time, stamps from the earliest start; of several runs tags are run.metric.

    Nothing comes of runs without a log.
    """
    logs = [(result.name if len(results) > 1 else "", text) for result in results for text in result.logs().values()]
    if not logs:
        return
    first = min((text for _, text in logs), key=_base)
    lines = sorted(line for name, text in logs for line in _shifted(name, text, _base(text) - _base(first)))
    head = _HEADER.match(first)
    yield head.group() if head else ""
    yield '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
    for start, tag, rest in lines:
        yield f"Tag={tag},{start},{rest}\n"


def _base(text: str) -> Decimal:
    found = _BASE.search(text)
    return Decimal(found.group(1)) if found else Decimal(0)


def _shifted(name: str, text: str, shift: Decimal) -> Iterator[tuple[Decimal, str, str]]:
    prefix = _UNSAFE.sub("_", name) + "." if name else ""
    for tag, start, rest in _LINE.findall(text):
        yield Decimal(start) + shift, prefix + tag, rest
