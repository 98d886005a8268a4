"""Prometheus text for tests: read, and made of a run in progress."""

from __future__ import annotations

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from loadgen.types import Progress
from support.made_runs import S

PROGRESS = Progress(elapsed=3 * S, total=7 * S, phase="measured", planned=250, offered=160, completed=150, failed=0,
                    in_flight=10, offered_rate=50.5, completed_rate=50.0, token_rate=1000.0, quantiles={}, failures={},
                    lag_p99=20_000, warnings=("lag",))


def parsed(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}
