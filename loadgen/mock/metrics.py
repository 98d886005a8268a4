"""What GET /metrics says: counts and histograms under vLLM's names, in the Prometheus text format."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

from loadgen.mock.truth import Record
from loadgen.prometheus_text import head, histogram, page, sample
from loadgen.types import SECOND

_TTFT: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
)  # fmt: skip
_ITL: Final = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
_E2E: Final = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
)  # fmt: skip


class PrometheusHistogram:
    """A Prometheus histogram of ns, with vLLM's bounds in seconds."""

    def __init__(self, name: str, about: str, bounds: Sequence[float]) -> None:
        self.name, self.about = name, about
        self.bounds = bounds
        self.edges = [round(bound * SECOND) for bound in bounds]
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0

    def observe(self, value: int) -> None:
        self.counts[bisect_left(self.edges, value)] += 1
        self.total += value

    def write(self, labels: Mapping[str, str]) -> Iterator[str]:
        """Write the text lines of this histogram."""
        below = list(accumulate(self.counts))
        return histogram(self.name, self.about, zip(map(str, self.bounds), below, strict=False), self.total / SECOND,
                         below[-1], labels)


class Metrics:
    """Counters over all requests that ended, successes only in the histograms, as vLLM does."""

    def __init__(self, model: str) -> None:
        self.labels = {"model_name": model}
        self.ttft = PrometheusHistogram("vllm:time_to_first_token_seconds", "Time to first token.", _TTFT)
        self.itl = PrometheusHistogram("vllm:inter_token_latency_seconds", "Time between token events.", _ITL)
        self.e2e = PrometheusHistogram("vllm:e2e_request_latency_seconds", "Time from arrival to last token.", _E2E)
        self.queue = PrometheusHistogram("vllm:request_queue_time_seconds", "Time spent waiting for a slot.", _E2E)
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.finished = {"stop": 0, "length": 0, "abort": 0, "error": 0}

    def add(self, record: Record) -> None:
        """Count a request that has ended."""
        self.prompt_tokens += record.prompt_tokens
        self.generation_tokens += record.tokens
        writes = record.writes
        if record.finish not in self.finished or not writes:
            self.finished["abort" if record.gone else "error"] += 1
            return
        self.finished[record.finish] += 1
        self.queue.observe(record.queued)
        self.e2e.observe(writes[-1] - record.arrival)
        if record.stream:
            self.ttft.observe(writes[0] - record.arrival)
            observe = self.itl.observe
            before = writes[0]
            for at in writes[1:]:
                observe(at - before)
                before = at

    def write(self, running: int, waiting: int, slots: int) -> bytes:
        """Write the whole page; instants of now come in as arguments."""
        usage = running / slots if slots else 0.0
        values = (("num_requests_running", "gauge", "Requests that run.", running),
                  ("num_requests_waiting", "gauge", "Requests that wait for a slot.", waiting),
                  ("kv_cache_usage_perc", "gauge", "Slots in use, 1 for all.", usage),
                  ("prompt_tokens_total", "counter", "Tokens of prompts.", self.prompt_tokens),
                  ("generation_tokens_total", "counter", "Tokens of answers.", self.generation_tokens),
                  ("prefix_cache_queries_total", "counter", "Tokens looked up in the cache.", self.prompt_tokens),
                  ("prefix_cache_hits_total", "counter", "Tokens found in the cache.", 0))
        lines: list[str] = []
        for name, kind, about, value in values:
            lines += [*head(f"vllm:{name}", kind, about), sample(f"vllm:{name}", value, self.labels)]
        lines += head("vllm:request_success_total", "counter", "Requests that ended, by the reason.")
        for reason, count in self.finished.items():
            lines.append(sample("vllm:request_success_total", count, {**self.labels, "finished_reason": reason}))
        for one in (self.ttft, self.itl, self.e2e, self.queue):
            lines += one.write(self.labels)
        return page(lines).encode()
