"""Prometheus text exposition format 0.0.4, as lines: heads, samples and cumulative histograms.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_NONE: Final[Mapping[str, str]] = {}


def head(name: str, kind: str, about: str) -> Iterator[str]:
    """Write what stands above the samples of a metric: its help and its type (counter, gauge or histogram)."""
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"


def sample(name: str, value: float | str, labels: Mapping[str, str] = _NONE) -> str:
    """Write a sample. A number is written as Python does; write a text where it has to have a form of its own."""
    written = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{written}}} {value}" if labels else f"{name} {value}"


def histogram(name: str, about: str, buckets: Iterable[tuple[str, int]], total: float, count: int,
              labels: Mapping[str, str] = _NONE) -> Iterator[str]:
    """Write a histogram. `buckets`: each upper bound as text, with how many values are at or below it; without +Inf.

    `total` is the sum of the `count` values, in the unit of the bounds.
    """
    yield from head(name, "histogram", about)
    for bound, below in (*buckets, ("+Inf", count)):
        yield sample(f"{name}_bucket", below, {**labels, "le": bound})
    yield sample(f"{name}_sum", total, labels)
    yield sample(f"{name}_count", count, labels)


def page(lines: Iterable[str]) -> str:
    """Join lines to a page: text that ends in a newline and is valid UTF-8."""
    return "\n".join(lines).encode("utf-8", "replace").decode() + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
