"""`loadgen report` of a directory that holds no run but what was made of several: a sweep, or a comparison."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from loadgen.cli.files import write_whole
from loadgen.outcomes.report import PAGE
from loadgen.types import UsageError


def answer_of(directory: Path) -> Callable[[Path, argparse.Namespace], int] | None:
    """Return what reports a directory, None if it holds neither a sweep nor a comparison, or can't be looked into."""
    try:
        return next((report for name, report in REPORTS.items() if (directory / name).is_file()), None)
    except OSError:  # who then looks for a run says it
        return None


def _sweep(directory: Path, args: argparse.Namespace) -> int:
    from loadgen.cli.sweeping import show
    from loadgen.reports.html.sweep import sweep_page
    from loadgen.sweep.files import load

    found = load(directory)
    show(found, directory, as_json=args.json, quiet=True)
    if not args.no_write:
        write_whole(directory / PAGE, sweep_page(found), instead="")
    return found.exit_code


def _comparison(directory: Path, args: argparse.Namespace) -> int:
    from loadgen.cli.compare import COMPARISON, print_it
    from loadgen.outcomes.comparison import Comparison
    from loadgen.reports.html.compared import comparison_page

    path = directory / COMPARISON
    try:
        comparison = Comparison.from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is damaged ({error}): compare the runs again") from None
    print_it(comparison, "json" if args.json else "text", None if args.no_write else directory)
    if not args.no_write:
        write_whole(directory / PAGE, comparison_page(comparison), instead="")
    return comparison.exit_code


REPORTS: Final[Mapping[str, Callable[[Path, argparse.Namespace], int]]] = {
    "sweep.json": _sweep, "comparison.json": _comparison}
