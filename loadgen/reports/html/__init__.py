"""Pages: reports with charts as one HTML file each."""

from loadgen.reports.html.document import Document, document_page
from loadgen.reports.html.run import run_page
from loadgen.reports.html.runs import NamedRun, runs_page

__all__ = ["Document", "NamedRun", "document_page", "run_page", "runs_page"]
