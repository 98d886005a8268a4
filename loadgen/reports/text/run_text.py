"""The final table as plain text: the verdict first, then what was seen, in 100 to 120 columns and without colour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TextIO

from rich.cells import cell_len

from loadgen.outcomes.report import Report
from loadgen.reports import summary_items
from loadgen.reports.format import clean, count
from loadgen.reports.text.layout import LABEL, cut, flow, row
from loadgen.reports.text.server import server
from loadgen.reports.text.table import table
from loadgen.reports.verdict_text import gates, headline, headline_style, reasons, remarks

NARROWEST: Final = 60


def render(report: Report, width: int = 120, files: str = "") -> str:
    """Write the report in at most `width` columns (60 at least), lines separated by newlines.

    `files` says where the files of the run are, items two spaces apart. A pure function; texts of the server are made
    safe for a terminal.
    """
    width = max(NARROWEST, width)
    latencies = table(report, width - 2) or ["no request succeeded: there is no latency to show"]
    blocks = [
        flow([clean(item, width - 4) for item in summary_items.title(report)], width, "", "    "),
        [_first(report, width), *reasons(report, width)],
        [*row("requests", summary_items.requests(report), width),
         *row("not measured", summary_items.not_measured(report), width),
         *row("throughput", summary_items.throughput(report), width), *_failures(report, width)],
        [*(f"  {line}" for line in latencies), *row("client", summary_items.client(report), width),
         *server(report, width)],
        [*gates(report, width), *remarks(report, width), *row("files", files.split("  "), width, "  ")],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def write(report: Report, stream: TextIO, width: int, files: str) -> None:
    """Print the report on a stream, in colour if that is a terminal that has any."""
    from rich.console import Console

    from loadgen.reports.text.colour import paint

    text = render(report, width, files)
    encoding = stream.encoding or "utf-8"
    text = text.encode(encoding, "replace").decode(encoding)
    if stream.isatty():
        painted = paint(text, headline(report)[0], headline_style(report))
        Console(file=stream, highlight=False, soft_wrap=True).print(painted)
    else:
        print(text, file=stream)


def _first(report: Report, width: int) -> str:
    """Write the line of the verdict, and beside it, where there is room, what it was measured with."""
    word, meaning = headline(report)
    said, beside = f"    {word}   {meaning}", summary_items.machine(report.client)
    room = width - cell_len(said) - cell_len(beside)
    return f"{said}{' ' * room}{beside}" if beside and room >= 3 else cut(said, width)


def _failures(report: Report, width: int) -> Iterator[str]:
    """Give one line to each class of failure: the server's own type and one example of its words."""
    classes = summary_items.failures(report)
    for failure in classes[: summary_items.MOST_CLASSES]:
        names = ", ".join(clean(name, 40) for name in failure.types)
        said = ": ".join(filter(None, [names, clean(failure.example)]))
        if said:
            yield cut(f"  {'failure':<{LABEL}} {clean(failure.kind)} {count(failure.times)}   {said}", width)
    if len(classes) > summary_items.MOST_CLASSES:
        yield f"  {'':<{LABEL}} and {len(classes) - summary_items.MOST_CLASSES} more classes, in summary.json"
