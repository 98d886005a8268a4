"""What the server itself counted while a run went on: ModelStatistics and the metrics page, before and after."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from loadgen.backends.triton.control_plane import Plane, TritonRefusedError

TIMES: Final = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit",
                "cache_miss")
COUNTS: Final = ("inference_count", "execution_count")
METRICS_PORT: Final = 8002
_READS: Final = 20
_BETWEEN: Final = 0.05  # s
_LINE: Final = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)")

Counts = dict[str, Any]


class TritonCounters:
    """Counters of models and of the metrics page, since `start`. Several servers are added up.

    `sleep` waits (s), `fetch` gets a page.
    """

    def __init__(self, planes: Sequence[Plane], models: Sequence[str], metrics: Sequence[str], version: str,
                 sleep: Callable[[float], None], fetch: Callable[[str], str]) -> None:
        self._planes, self._models, self._metrics = planes, models, metrics
        self._version = version
        self._sleep, self._fetch = sleep, fetch
        self._before: tuple[dict[str, Counts], dict[str, float]] = ({}, {})

    def start(self) -> None:
        """Read the counters."""
        self._before = self._settled(), self._page()

    def facts(self) -> dict[str, Any]:
        """Read the counters again and return what changed, for the report.

        `models` has for each model its counts, and {count, ns} of each step; `metrics` the change of the counters of
        the page, and its gauges as they are now.
        """
        try:
            after = self._settled()
        except TritonRefusedError as error:
            return {"name": "triton", "version": self._version, "error": f"no statistics after the run: {error}"}
        models = {name: changed(after[name], self._before[0].get(name, {})) for name in after}
        before, page = self._before[1], self._page()
        metrics = {name: round(value - before.get(name, 0.0), 6) if is_counter(name) else value
                   for name, value in page.items()}
        return {"name": "triton", "version": self._version, "models": models, "metrics": metrics}

    def _settled(self) -> dict[str, Counts]:
        """Read the counters until they stand still: Triton counts a request a moment after its last response."""
        found = self._statistics()
        for _ in range(_READS):
            self._sleep(_BETWEEN)
            before, found = found, self._statistics()
            if found == before:
                break
        return found

    def _statistics(self) -> dict[str, Counts]:
        return {model: total([entry for plane in self._planes for entry in plane.statistics(model)])
                for model in self._models}

    def _page(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for url in self._metrics:
            for name, value in read_page(self._fetch(url), self._models).items():
                found[name] = found.get(name, 0.0) + value if is_counter(name) else value
        return found


def total(entries: Sequence[Mapping[str, Any]]) -> Counts:
    """Add up what versions and servers counted of one model."""
    steps = [entry.get("inference_stats", {}) for entry in entries]
    return {**{name: sum(int(entry.get(name, 0)) for entry in entries) for name in COUNTS},
            **{name: {key: sum(int(step.get(name, {}).get(key, 0)) for step in steps) for key in ("count", "ns")}
               for name in TIMES}}


def changed(after: Counts, before: Counts) -> Counts:
    """Subtract counters from later ones."""
    return {name: changed(value, before.get(name, {})) if isinstance(value, dict) else value - before.get(name, 0)
            for name, value in after.items()}


def is_counter(name: str) -> bool:
    """Say whether a metric of Triton's only grows; the others are as they are at an instant."""
    return name.startswith("nv_") and not re.match(r"nv_(gpu_(util|mem|power_[ul])|cpu_|energy_now|pinned|inference_"
                                                   r"(pending|load))", name)


def read_page(page: str, models: Sequence[str]) -> dict[str, float]:
    """Read the metrics of some models, and those that are of no model; versions and the like are added up.

    A name has the labels behind it that tell things apart: `nv_inference_request_failure{model=llm,reason=OTHER}`.
    """
    found: dict[str, float] = {}
    for line in page.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
        if labels.get("model", models[0]) not in models:
            continue
        labels.pop("version", None)
        written = ",".join(f"{key}={labels[key]}" for key in sorted(labels))
        name = f"{match[1]}{{{written}}}" if written else match[1]
        try:
            found[name] = found.get(name, 0.0) + float(match[3])
        except ValueError:
            continue
    return found


def whole_url(url: str) -> str:
    """Return an address with its scheme; host:port alone is gRPC's, as users of Triton write it."""
    return url if "://" in url else f"grpc://{url}"


def metrics_url(url: str) -> str:
    """Return where the metrics page of a server usually is: port 8002 of its host."""
    host = urlsplit(whole_url(url)).hostname or ""
    return f"http://{f'[{host}]' if ':' in host else host}:{METRICS_PORT}/metrics"
