"""The same as vllm_bench with a list for each request, as `vllm bench serve --save-result --save-detailed` writes.

The keys are those of vllm/benchmarks/serve.py of vllm-project/vllm: seconds, lists in one order, failures too.
generated_texts is not among them: a run keeps texts only when it is asked to, in outputs.jsonl.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from loadgen.reports.export.vllm_bench import summary
from loadgen.summary.run_data import RequestColumns, RunData
from loadgen.types import ABSENT, MEASURED, SECOND

Mask = npt.NDArray[np.bool_]


def render(results: Sequence[RunData]) -> Iterator[str]:
    """Write each run as an object on a line of its own, piece by piece: the gaps can be larger than memory."""
    for result in results:
        yield json.dumps(summary(result))[:-1]
        yield ', "itls": ['
        parts: dict[str, list[str]] = {key: [] for key in LISTS}
        for requests in result.requests():
            if _measured(requests).any():
                yield ("," if parts["errors"] else "") + _cells(_gaps(requests))
                for key, column in LISTS.items():
                    parts[key].append(_cells(column(requests)))
        yield "]"
        for key, cells in parts.items():
            yield f', "{key}": [{",".join(cells)}]'
        yield "}\n"


def _cells(values: list[Any]) -> str:
    """Write a list as JSON without its brackets."""
    return msgspec.json.encode(values).decode()[1:-1]


def _measured(requests: RequestColumns) -> Mask:
    return np.equal(requests.batch.phase, MEASURED)


def _seconds(name: str) -> Callable[[RequestColumns], list[float]]:
    """0.0 stands for what a request does not have, as there."""
    def column(requests: RequestColumns) -> list[float]:
        values = np.where(requests.batch.good, np.maximum(requests.metrics[name], 0), 0)[_measured(requests)]
        return list((values / SECOND).tolist())
    return column


def _gaps(requests: RequestColumns) -> list[list[float]]:
    """The gaps between the chunks of each request, none of a failed one."""
    good = requests.batch.good
    return [list((np.diff(requests.chunk_at[row]) / SECOND).tolist()) if good[row] else []
            for row in np.flatnonzero(_measured(requests)).tolist()]


def _lengths(name: str) -> Callable[[RequestColumns], list[int]]:
    def column(requests: RequestColumns) -> list[int]:
        return list(np.maximum(getattr(requests.batch, name)[_measured(requests)], 0).tolist())
    return column


def _output_lengths(requests: RequestColumns) -> list[int]:
    values = np.where(requests.batch.good, np.maximum(requests.batch.output_tokens, 0), 0)
    return list(values[_measured(requests)].tolist())


def _starts(requests: RequestColumns) -> list[float]:
    """Seconds since the start of the schedule; of what was never sent, when it was due."""
    batch = requests.batch
    return list((np.where(batch.sent == ABSENT, batch.due, batch.sent)[_measured(requests)] / SECOND).tolist())


def _errors(requests: RequestColumns) -> list[str]:
    batch = requests.batch
    return [": ".join(filter(None, (batch.failure[row], batch.failure_type[row], batch.detail[row])))
            for row in np.flatnonzero(_measured(requests)).tolist()]


LISTS: Final[dict[str, Callable[[RequestColumns], list[Any]]]] = {
    "input_lens": _lengths("input_tokens"), "output_lens": _output_lengths, "ttfts": _seconds("ttft"),
    "latencies": _seconds("e2e"), "start_times": _starts, "queue_times": _seconds("lag"), "errors": _errors}
"""Their lists but the gaps, and how the part of each comes out of some requests."""
