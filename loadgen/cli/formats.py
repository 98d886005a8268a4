"""The table of formats that `loadgen report --format` writes: what each is called, and which module renders it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

TEXT: Final = "text"
BINARY: Final = "binary"
FILES: Final = "files"


@dataclass(frozen=True, slots=True)
class Format:
    """One format. `module` is imported when it is asked for, so that the table costs nothing.

    A module of TEXT has render(results) -> pieces of text; one of FILES render(results) -> {file name: text}, for a
    directory; one of BINARY write(results, file). `single`: it holds one run only.
    """

    name: str
    module: str
    about: str
    form: str = TEXT
    single: bool = False

    def renderer(self) -> Callable[..., Any]:
        """Import the module and return its function."""
        found: Callable[..., Any] = getattr(import_module(self.module), "write" if self.form == BINARY else "render")
        return found


FORMATS: Final = (
    Format("text", "loadgen.reports.text.plain", "the table of loadgen run"),
    Format("html", "loadgen.reports.html.pages", "a page with charts, which works offline; several runs side by side"),
    Format("markdown", "loadgen.reports.export.markdown", "for a pull request on GitHub"),
    Format("json", "loadgen.reports.export.summary_json", "summary.json; a list of those of several runs"),
    Format("csv", "loadgen.reports.export.csv_requests", "one line a request"),
    Format("csv-summary", "loadgen.reports.export.csv_summary", "one line a metric"),
    Format("parquet", "loadgen.run_files.merge", "one row a request, of several runs in one file", BINARY),
    Format("hlog", "loadgen.reports.export.hlog", "the HdrHistogram interval logs in one"),
    Format("hgrm", "loadgen.reports.export.hgrm", "HdrHistogram percentile distributions, a file a metric", FILES),
    Format("github-benchmark", "loadgen.reports.export.github_benchmark", "smaller.json and bigger.json for "
           "github-action-benchmark", FILES),
    Format("vllm-bench", "loadgen.reports.export.vllm_bench", "keys of what vllm bench serve saves"),
    Format("vllm-bench-detailed", "loadgen.reports.export.vllm_detailed", "the same with a list for each request"),
    Format("genai-perf", "loadgen.reports.export.genai_perf", "keys of profile_export_genai_perf.json", single=True),
    Format("aiperf", "loadgen.reports.export.aiperf", "keys of profile_export_aiperf.json", single=True),
    Format("prometheus", "loadgen.reports.export.prometheus", "text exposition, for a Pushgateway", single=True),
)
BY_NAME: Final = {format.name: format for format in FORMATS}
