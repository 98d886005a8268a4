"""What a report says besides its table, as items: texts of a few words each, which renderers lay out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from loadgen.outcomes.report import Report
from loadgen.reports.format import clean, count, duration, quantity, rate, share
from loadgen.reports.text.table import percentile
from loadgen.types import CENSORED
from loadgen.units import parse_duration

MOST_CLASSES: Final = 8


class FailureClass(NamedTuple):
    """A class of failure, how often it was met, the server's own words for its type, and one example."""

    kind: str
    times: int
    types: tuple[str, ...]
    example: str


def title(report: Report) -> list[str]:
    """Say what was run against what: version, dialect, server, model, load. Not cleaned."""
    target, resolved = of(report.plan, "target"), of(report.plan, "resolved")
    version = report.provenance.get("loadgen") or report.provenance.get("version") or ""
    urls = [*target.get("url", ())]
    model = resolved.get("model") or report.provenance.get("model") or target.get("model", "")
    dialect = [target.get("backend", ""), resolved.get("endpoint") or target.get("endpoint", ""),
               "stream" if target.get("stream", True) else "no stream"]
    items = [f"loadgen {version}".strip(), " ".join(filter(None, dialect)),
             " ".join(urls[:1]) + (f" and {len(urls) - 1} more" if urls[1:] else ""), model, load(report)]
    return [item for item in items if item]


def load(report: Report) -> str:
    """Say what load was offered: law, rate, length, seed, schedule; "" if the plan does not say."""
    asked = of(report.plan, "load")
    if not asked:
        return ""
    law = asked.get("arrivals", "poisson")
    if law == "gamma":
        law += f" {asked.get('burstiness', 1):g}"
    policy = f"concurrency {count(asked.get('concurrency'))}"
    if asked.get("rate") or report.schedule.get("shape"):
        shape = clean(str(report.schedule.get("shape", "")))
        policy = f"{law} {quantity(asked['rate'], 'per_second')}" if asked.get("rate") else f"{law}, {shape}"
    length = parse_duration(str(asked.get("duration", "0")))
    digest = str(report.schedule.get("sha256", ""))[:6]
    parts = [policy + (f" for {quantity(length, 'ns')}" if length else f", {count(asked.get('requests'))} requests"),
             f"seed {asked.get('seed', 0)}", f"schedule {digest}" if digest else ""]
    return ", ".join(filter(None, parts))


def requests(report: Report) -> list[str]:
    """Say what became of the measured requests."""
    seen = report.requests
    failures = {kind: times for kind, times in of(seen, "failures").items() if kind != CENSORED}
    classes = ", ".join(f"{clean(kind)} {count(times)}" for kind, times in failures.items())
    offered = report.rates.get("offered")
    return [f"offered {count(seen.get('offered'))}" + (f" ({rate(offered)}/s)" if offered is not None else ""),
            f"sent {count(seen.get('sent'))}", f"succeeded {count(seen.get('succeeded'))}",
            f"failed {count(seen.get('failed'))}" + (f" ({classes})" if classes else ""),
            f"censored {count(seen.get('censored'))}"]


def not_measured(report: Report) -> list[str]:
    """Count the requests of the warm-up and the cool-down, and their failures."""
    return [f"{word} {count(times)}" for word, times in _beside_the_window(report.requests)]


def _beside_the_window(seen: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for key, word in (("warmup", "warm-up"), ("cooldown", "cool-down")):
        of_phase = seen.get(key)
        times = of_phase.get("offered", 0) if isinstance(of_phase, Mapping) else of_phase
        if times:
            yield word, times
        if isinstance(of_phase, Mapping) and of_phase.get("failed"):
            yield f"{word} failed", of_phase["failed"]


def throughput(report: Report) -> list[str]:
    """Say what was answered per second."""
    rates = report.rates
    uncounted = _uncounted(report)
    items = [f"{rate(rates[key])} {unit}" for key, unit in (
        ("completed", "requests/s"), ("output_tokens", "output tokens/s"), ("input_tokens", "input tokens/s"))
        if rates.get(key) is not None and key not in uncounted]
    if report.verdict.gates and rates.get("goodput") is not None and rates.get("offered"):
        items.append(f"goodput {rate(rates['goodput'])}/s ({share(min(1.0, rates['goodput'] / rates['offered']))})")
    return items


def _uncounted(report: Report) -> tuple[str, ...]:
    """Return the rates of tokens that nobody counted, as those of a model that makes none."""
    return tuple(f"{side}_tokens" for side in ("output", "input")
                 if set(of(report.requests, f"{side}_sources")) == {""})


def failures(report: Report) -> list[FailureClass]:
    """List the classes of failure, the most frequent first. Texts are the server's, not cleaned."""
    seen = report.requests
    classes = sorted(of(seen, "failures").items(), key=lambda item: -item[1])
    return [FailureClass(kind, times, tuple(name for name in list(of(of(seen, "types"), kind))[:3] if name),
                         str(of(seen, "examples").get(kind, ""))) for kind, times in classes]


def client(report: Report) -> list[str]:
    """Say how the generator itself was doing."""
    items = []
    for name, word in (("lag", "lag p99"), ("receive_lag", "receive lag p99")):
        metric = report.metrics.get(name)
        if metric and metric.count:
            items.append(f"{word} {percentile(metric, 'p99')}")
    for name, word, writer in (("loop_stall_max", "loop stall", duration), ("coalesced", "coalesced", share)):
        if report.client.get(name) is not None:
            items.append(f"{word} {writer(report.client[name])}")
    return items


def machine(client: Mapping[str, Any]) -> str:
    """Say what the run was measured with: stamps, senders, and the share of a core that each of them took."""
    senders, stamps, elapsed = client.get("senders"), client.get("stamps"), client.get("elapsed_s")
    parts = [f"{stamps} stamps" if stamps else "", f"{senders} sender{'s' if senders != 1 else ''}" if senders else "",
             f"{client.get('cpu_s', 0) / elapsed / senders * 100:.0f} % cpu" if elapsed and senders else ""]
    return clean(", ".join(filter(None, parts)))


def of(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a table inside a table; an empty one if it is not there."""
    found = data.get(key)
    return found if isinstance(found, Mapping) else {}
