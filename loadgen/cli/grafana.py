"""`loadgen grafana`: prints the dashboard for the metrics of a run that goes on."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from loadgen.exit_codes import OK


def add_parser(subparsers: Any) -> None:
    """Add `grafana` to the command line."""
    parser = subparsers.add_parser(
        "grafana", help="print a Grafana dashboard for loadgen run --metrics-port",
        description="Print a Grafana dashboard, as JSON to import, for what loadgen run --metrics-port serves.")
    parser.set_defaults(run=run)


def dashboard() -> str:
    """Return the dashboard: the JSON of Grafana's import."""
    from importlib import resources

    return (resources.files("loadgen") / "reports" / "grafana" / "loadgen.json").read_text(encoding="utf-8")


def run(_: argparse.Namespace) -> int:
    """Print the dashboard on standard output."""
    sys.stdout.write(dashboard())
    return OK
