"""Holds what a client recorded against what the server logged, request by request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.clients import Integers, MeasurementError, Outcome

PERCENTILES = (0.5, 0.99)


@dataclass(slots=True)
class Served:
    """One request as the server logged it, ns."""

    ttft: int
    gaps: Integers
    arrival: int


def truth_of(requests: Iterable[Mapping[str, Any]]) -> dict[str, Served]:
    """Read GET /truth of the mock: the requests that have a tag, the first with each.

    `ttft` is first write - full arrival.
    """
    found: dict[str, Served] = {}
    for request in sorted(requests, key=lambda request: request["arrival"]):
        writes = np.asarray(request["writes"], np.int64)
        if request["tag"] and writes.size and request["tag"] not in found:
            found[request["tag"]] = Served(int(writes[0]) - request["arrival"], np.diff(writes), request["arrival"])
    return found


@dataclass(slots=True)
class Compared:
    """Recorded and true values of the requests that both know, in ns, by metric.

    `lost` are planned requests without a success on both sides.
    """

    matched: int
    lost: int
    recorded: dict[str, float]
    truth: dict[str, float]

    def error(self, name: str) -> float:
        """Return (recorded - true) / true."""
        return self.recorded[name] / self.truth[name] - 1


def compare(outcome: Outcome, truth: Mapping[str, Served]) -> Compared:
    """Compare the percentiles over the same requests. Raises MeasurementError if there are none."""
    tags = [tag for tag in outcome.seen if tag in truth]
    if not tags:
        raise MeasurementError(f"{outcome.client}: not one request matches the truth")
    seen = [outcome.seen[tag] for tag in tags]
    known = [truth[tag] for tag in tags]
    recorded = {**_quantiles("ttft", np.asarray([one.ttft for one in seen])),
                **_quantiles("itl", np.concatenate([one.gaps for one in seen]))}
    real = {**_quantiles("ttft", np.asarray([one.ttft for one in known])),
            **_quantiles("itl", np.concatenate([one.gaps for one in known]))}
    return Compared(len(tags), outcome.offered - len(tags), recorded, real)


def quantile(values: Integers, p: float) -> float:
    """Return the ceil(p n)-th smallest; nan of nothing."""
    return float(np.quantile(values, p, method="inverted_cdf")) if values.size else float("nan")


def _quantiles(name: str, values: Integers) -> dict[str, float]:
    return {f"{name}.p{round(100 * p)}": quantile(values, p) for p in PERCENTILES}
