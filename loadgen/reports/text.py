"""The final table as plain text: the verdict first, then what was seen, in 100 to 120 columns and without colour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TextIO

from rich.cells import cell_len

from loadgen.report import Report
from loadgen.reports.format import clean, count, duration, quantity, rate, share
from loadgen.reports.judged import gates, headline, reasons, remarks
from loadgen.reports.layout import LABEL, cut, flow, row
from loadgen.reports.server import server
from loadgen.reports.table import percentile, table
from loadgen.types import CENSORED
from loadgen.units import parse_duration

NARROWEST: Final = 60
_MOST_CLASSES: Final = 8


def render(report: Report, width: int = 120, files: str = "") -> str:
    """Write the report in at most `width` columns (60 at least), lines separated by newlines.

    `files` says where the files of the run are, items two spaces apart. A pure function; texts of the server are made
    safe for a terminal.
    """
    width = max(NARROWEST, width)
    latencies = table(report, width - 2) or ["no request succeeded: there is no latency to show"]
    blocks = [
        _title(report, width),
        [_first(report, width), *reasons(report, width)],
        [*_requests(report, width), *_throughput(report, width), *_failures(report, width)],
        [*(f"  {line}" for line in latencies), *_client(report, width),
         *server(report, width)],
        [*gates(report, width), *remarks(report, width), *row("files", files.split("  "), width, "  ")],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def write(report: Report, stream: TextIO, width: int, files: str) -> None:
    """Print the report on a stream, in colour if that is a terminal that has any."""
    from rich.console import Console

    from loadgen.reports.colour import paint

    text = render(report, width, files)
    encoding = stream.encoding or "utf-8"
    text = text.encode(encoding, "replace").decode(encoding)
    if stream.isatty():
        Console(file=stream, highlight=False, soft_wrap=True).print(paint(text))
    else:
        print(text, file=stream)


def _title(report: Report, width: int) -> list[str]:
    target, resolved = _of(report.plan, "target"), _of(report.plan, "resolved")
    version = report.provenance.get("loadgen") or report.provenance.get("version") or ""
    urls = [*target.get("url", ())]
    model = resolved.get("model") or report.provenance.get("model") or target.get("model", "")
    dialect = [target.get("backend", ""), resolved.get("endpoint") or target.get("endpoint", ""),
               "stream" if target.get("stream", True) else "no stream"]
    items = [f"loadgen {version}".strip(), " ".join(filter(None, dialect)),
             " ".join(urls[:1]) + (f" and {len(urls) - 1} more" if urls[1:] else ""), model, _load(report)]
    return flow([clean(item, width - 4) for item in items if item], width, "", "    ")


def _load(report: Report) -> str:
    load = _of(report.plan, "load")
    if not load:
        return ""
    law = load.get("arrivals", "poisson")
    if law == "gamma":
        law += f" {load.get('burstiness', 1):g}"
    policy = f"concurrency {count(load.get('concurrency'))}"
    if load.get("rate"):
        policy = f"{law} {quantity(load['rate'], 'per_second')}"
    length = parse_duration(str(load.get("duration", "0")))
    digest = str(report.schedule.get("sha256", ""))[:6]
    parts = [policy + (f" for {quantity(length, 'ns')}" if length else f", {count(load.get('requests'))} requests"),
             f"seed {load.get('seed', 0)}", f"schedule {digest}" if digest else ""]
    return ", ".join(filter(None, parts))


def _first(report: Report, width: int) -> str:
    """Write the line of the verdict, and beside it, where there is room, what it was measured with."""
    word, meaning = headline(report)
    said, beside = f"    {word}   {meaning}", _machine(report.client)
    room = width - cell_len(said) - cell_len(beside)
    return f"{said}{' ' * room}{beside}" if beside and room >= 3 else cut(said, width)


def _requests(report: Report, width: int) -> list[str]:
    seen = report.requests
    failures = {kind: times for kind, times in _of(seen, "failures").items() if kind != CENSORED}
    classes = ", ".join(f"{clean(kind)} {count(times)}" for kind, times in failures.items())
    offered = report.rates.get("offered")
    items = [f"offered {count(seen.get('offered'))}" + (f" ({rate(offered)}/s)" if offered is not None else ""),
             f"sent {count(seen.get('sent'))}", f"succeeded {count(seen.get('succeeded'))}",
             f"failed {count(seen.get('failed'))}" + (f" ({classes})" if classes else ""),
             f"censored {count(seen.get('censored'))}"]
    beside = [f"{word} {count(times)}" for word, times in _beside_the_window(seen)]
    return [*row("requests", items, width), *row("not measured", beside, width)]


def _beside_the_window(seen: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for key, word in (("warmup", "warm-up"), ("cooldown", "cool-down")):
        of_phase = seen.get(key)
        times = of_phase.get("offered", 0) if isinstance(of_phase, Mapping) else of_phase
        if times:
            yield word, times
        if isinstance(of_phase, Mapping) and of_phase.get("failed"):
            yield f"{word} failed", of_phase["failed"]


def _throughput(report: Report, width: int) -> list[str]:
    rates = report.rates
    uncounted = _uncounted(report)
    items = [f"{rate(rates[key])} {unit}" for key, unit in (
        ("completed", "requests/s"), ("output_tokens", "output tokens/s"), ("input_tokens", "input tokens/s"))
        if rates.get(key) is not None and key not in uncounted]
    if report.verdict.gates and rates.get("goodput") is not None and rates.get("offered"):
        items.append(f"goodput {rate(rates['goodput'])}/s ({share(min(1.0, rates['goodput'] / rates['offered']))})")
    return row("throughput", items, width)


def _uncounted(report: Report) -> tuple[str, ...]:
    """Return the rates of tokens that nobody counted, as those of a model that makes none."""
    return tuple(f"{side}_tokens" for side in ("output", "input")
                 if set(_of(report.requests, f"{side}_sources")) == {""})


def _failures(report: Report, width: int) -> Iterator[str]:
    """Give one line to each class of failure: the server's own type and one example of its words."""
    seen = report.requests
    classes = sorted(_of(seen, "failures").items(), key=lambda item: -item[1])
    for kind, times in classes[:_MOST_CLASSES]:
        types = _of(_of(seen, "types"), kind)
        names = ", ".join(clean(name, 40) for name in list(types)[:3] if name)
        example = clean(str(_of(seen, "examples").get(kind, "")))
        said = ": ".join(filter(None, [names, example]))
        if said:
            yield cut(f"  {'failure':<{LABEL}} {clean(kind)} {count(times)}   {said}", width)
    if len(classes) > _MOST_CLASSES:
        yield f"  {'':<{LABEL}} and {len(classes) - _MOST_CLASSES} more classes, in summary.json"


def _client(report: Report, width: int) -> list[str]:
    items = []
    for name, word in (("lag", "lag p99"), ("receive_lag", "receive lag p99")):
        metric = report.metrics.get(name)
        if metric and metric.count:
            items.append(f"{word} {percentile(metric, 'p99')}")
    for name, word, writer in (("loop_stall_max", "loop stall", duration), ("coalesced", "coalesced", share)):
        if report.client.get(name) is not None:
            items.append(f"{word} {writer(report.client[name])}")
    return row("client", items, width)


def _machine(client: Mapping[str, Any]) -> str:
    """Say what the run was measured with: stamps, senders, and the share of a core that each of them took."""
    senders, stamps, elapsed = client.get("senders"), client.get("stamps"), client.get("elapsed_s")
    parts = [f"{stamps} stamps" if stamps else "", f"{senders} sender{'s' if senders != 1 else ''}" if senders else "",
             f"{client.get('cpu_s', 0) / elapsed / senders * 100:.0f} % cpu" if elapsed and senders else ""]
    return clean(", ".join(filter(None, parts)))


def _of(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a table inside a table; an empty one if it is not there."""
    found = data.get(key)
    return found if isinstance(found, Mapping) else {}
