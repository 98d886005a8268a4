"""The table of formats that `loadgen report --format` writes: what each is called, and which function renders it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from loadgen.suggest import did_you_mean
from loadgen.types import UsageError

TEXT: Final = "text"
BINARY: Final = "binary"
FILES: Final = "files"
RUN: Final = "run"
SWEEP: Final = "sweep"
COMPARISON: Final = "comparison"


@dataclass(frozen=True, slots=True)
class Format:
    """One format. `run`, `sweep` and `comparison` name what renders each, as module:function; "" if nothing does.

    Modules are imported when they are asked for, so that the table costs nothing. `sweep` is a function of a Sweep and
    `comparison` one of a Comparison; both return the whole text. `run` is a function of a list of RunData, by `form`:
    TEXT returns pieces of text, FILES returns {file name: text} for a directory, BINARY takes a file as well and writes
    to it. `single`: the format holds one run only.
    """

    name: str
    about: str
    run: str = ""
    sweep: str = ""
    comparison: str = ""
    form: str = TEXT
    single: bool = False

    def holds(self, kind: str) -> bool:
        """Say whether the format has a renderer for RUN, SWEEP or COMPARISON."""
        return bool(self._path(kind))

    def renderer(self, kind: str) -> Callable[..., Any]:
        """Import and return the function that renders RUN, SWEEP or COMPARISON."""
        module, _, name = self._path(kind).partition(":")
        found: Callable[..., Any] = getattr(import_module(module), name)
        return found

    def _path(self, kind: str) -> str:
        return {RUN: self.run, SWEEP: self.sweep, COMPARISON: self.comparison}[kind]


_TEXT: Final = "loadgen.reports.text"
_HTML: Final = "loadgen.reports.html"
_EXPORT: Final = "loadgen.reports.export"

FORMATS: Final = (
    Format("text", "the table that is printed", f"{_TEXT}.plain:render", f"{_TEXT}.sweep_text:render",
           f"{_TEXT}.compare_text:render"),
    Format("html", "a page with charts, which works offline; several runs side by side", f"{_HTML}.pages:render",
           f"{_HTML}.sweep:sweep_page", f"{_HTML}.compared:comparison_page"),
    Format("markdown", "for a pull request on GitHub", f"{_EXPORT}.markdown:render", f"{_EXPORT}.sweep_markdown:render",
           f"{_EXPORT}.compare_markdown:render"),
    Format("json", "summary.json, sweep.json or comparison.json; a list of those of several runs",
           f"{_EXPORT}.summary_json:render", f"{_EXPORT}.summary_json:document", f"{_EXPORT}.summary_json:document"),
    Format("csv", "one line a request", f"{_EXPORT}.csv_requests:render"),
    Format("csv-summary", "one line a metric", f"{_EXPORT}.csv_summary:render"),
    Format("parquet", "one row a request, of several runs in one file", "loadgen.run_files.merge:write", form=BINARY),
    Format("hlog", "the HdrHistogram interval logs in one", f"{_EXPORT}.hlog:render"),
    Format("hgrm", "HdrHistogram percentile distributions, a file a metric", f"{_EXPORT}.hgrm:render", form=FILES),
    Format("github-benchmark", "smaller.json and bigger.json for github-action-benchmark",
           f"{_EXPORT}.github_benchmark:render", form=FILES),
    Format("vllm-bench", "keys of what vllm bench serve saves", f"{_EXPORT}.vllm_bench:render"),
    Format("vllm-bench-detailed", "the same with a list for each request", f"{_EXPORT}.vllm_detailed:render"),
    Format("genai-perf", "keys of profile_export_genai_perf.json", f"{_EXPORT}.genai_perf:render", single=True),
    Format("aiperf", "keys of profile_export_aiperf.json", f"{_EXPORT}.aiperf:render", single=True),
    Format("prometheus", "text exposition, for a Pushgateway", f"{_EXPORT}.prometheus:render", single=True),
)


def names(kind: str) -> list[str]:
    """List the formats that hold RUN, SWEEP or COMPARISON."""
    return [format.name for format in FORMATS if format.holds(kind)]


def format_of(name: str) -> Format:
    """Find a format by its name. Raises UsageError that names the nearest."""
    by_name = {format.name: format for format in FORMATS}
    if name not in by_name:
        raise UsageError(f"--format: unknown format {name!r}{did_you_mean(name, by_name)}; the formats are "
                         f"{', '.join(by_name)}")
    return by_name[name]


def help_text() -> str:
    """List the formats for the end of a help text, and which of them hold sweeps and comparisons."""
    lines = [f"  {format.name:<20} {format.about}" for format in FORMATS]
    return "\n".join(["formats:", *lines, "", f"  of a sweep: {', '.join(names(SWEEP))}",
                      f"  of a comparison: {', '.join(names(COMPARISON))}", ""])
