"""Holds what a run measured against the histograms that the server itself filled meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from real.prometheus import Histogram, Scrape
from real.servers import ServerProcess

MS: Final = 1_000_000
SHARES: Final = (0.5, 0.9)
_PATIENCE: Final = 10.0  # s until the server has counted what it sent

NAMES: Final = {
    "ttft": "vllm:time_to_first_token_seconds",
    "itl": "vllm:inter_token_latency_seconds",
    "tpot": "vllm:request_time_per_output_token_seconds",
    "e2e": "vllm:e2e_request_latency_seconds",
}

# How far our mean may be from the server's: a share of it, and ns. The server's clock starts after it has read and
# parsed the request and stops before the answer is written, so ttft and e2e hold its HTTP layer on our side only; gaps
# hold it at both ends.
TOLERANCE: Final = {"ttft": (0.02, 6 * MS), "itl": (0.02, MS // 20), "tpot": (0.02, MS // 20), "e2e": (0.02, 6 * MS)}
EARLY: Final = MS  # how much less than the server we may see; nothing arrives before it was sent


@dataclass(frozen=True)
class Line:
    """One metric: ours beside the server's."""

    metric: str
    server: Histogram
    count: int
    mean: float
    percentiles: tuple[int, ...]  # at SHARES

    @property
    def allowed(self) -> float:
        share, absolute = TOLERANCE[self.metric]
        return share * self.server.mean + absolute

    @property
    def off(self) -> float:
        """By how much our mean is above the server's, ns."""
        return self.mean - self.server.mean

    @property
    def buckets_off(self) -> list[int]:
        """How many buckets our percentiles are from those that hold the server's."""
        return [self.server.place(ours) - self.server.bucket(share)
                for share, ours in zip(SHARES, self.percentiles, strict=True)]

    @property
    def agrees(self) -> bool:
        """Whether the means are near, and the percentiles in the server's bucket or a neighbour of it."""
        return abs(self.off) <= self.allowed and max(map(abs, self.buckets_off)) <= 1

    def text(self) -> str:
        """Return a row of a Markdown table; times in ms."""
        cells = [self.metric, f"{self.count:,}", f"{self.server.mean / MS:,.2f}", f"{self.mean / MS:,.2f}",
                 f"{self.off / MS:+.2f}", f"{self.allowed / MS:.2f}"]
        for share, ours in zip(SHARES, self.percentiles, strict=True):
            low, high = self.server.bounds(self.server.bucket(share))
            cells += [f"{low / MS:g} to {high / MS:g}", f"{ours / MS:,.2f}"]
        return f"| {' | '.join(cells)} |"


def scrape(server: ServerProcess, ended: float = 0) -> Scrape:
    """Scrape /metrics once at least `ended` requests have been counted as ended. Raises TimeoutError after 10 s."""
    limit = time.monotonic() + _PATIENCE
    while True:
        found = Scrape(server.get("/metrics"))
        if finished(found) >= ended:
            return found
        if time.monotonic() > limit:
            raise TimeoutError(f"the server counts {finished(found)} of {ended} requests")
        time.sleep(0.1)


def finished(found: Scrape) -> float:
    """Return how many requests the server has ended, however they did."""
    return found.counter("vllm:request_success_total")


def compare(summary: dict[str, Any], before: Scrape, after: Scrape) -> list[Line]:
    """Return a line for each metric that both sides have."""
    lines = []
    for metric, name in NAMES.items():
        ours = summary["metrics"][metric]
        added = after.histogram(name) - before.histogram(name)
        lines.append(Line(metric, added, ours["count"], ours["mean"], tuple(ours[f"p{share * 100:g}"]
                                                                            for share in SHARES)))
    return lines


def table(lines: list[Line]) -> str:
    """Return the comparison as a Markdown table; times in ms."""
    names = ["metric", "n", "mean, server", "mean, loadgen", "off", "allowed"]
    for share in SHARES:
        names += [f"p{share * 100:g}, server's bucket", f"p{share * 100:g}, loadgen"]
    return "\n".join([f"| {' | '.join(names)} |", "|---" + "|---:" * (len(names) - 1) + "|",
                      *(line.text() for line in lines)])


def in_flight(rows: list[dict[str, Any]]) -> int:
    """Return the most requests that were open at once."""
    edges = sorted([(row["sent"], 1) for row in rows] + [(row["end"], -1) for row in rows])
    return int(np.cumsum([step for _, step in edges]).max())
