"""Does `loadgen sweep --find max-rate` find a known capacity? Searches against the mock's batch model.

A mock with N slots that holds each for ttft + (n - 1) itl carries N / (ttft + (n - 1) itl) requests per second. With
constant arrivals nothing waits below that rate, and above it the queue grows by the excess: an edge without a doubt. A
run of T that lets ttft_scheduled grow by a slack s can't see an excess below s / T, which is printed as `blind`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from benchmarks import table
from benchmarks.arguments import duration
from loadgen.capacity import Sweep
from loadgen.mock.process import MockProcess
from loadgen.units import format_duration

COLUMNS = ("search", "begins at", "low", "high", "best is off", "covers", "probes", "not judged", "took s")
BELOW, ABOVE = (0.5, 0.95), (1.5, 2.5)
"""Where searches begin, as shares of the capacity: drawn anew for each, so that no two look at the same rates."""


def capacity_of(args: argparse.Namespace) -> float:
    """Return requests per second that the mock carries."""
    return float(args.slots / ((args.ttft + (args.output_tokens - 1) * args.itl) / 1e9))


def search(args: argparse.Namespace, number: int, directory: Path) -> dict[str, Any]:
    """Make one search against a mock of its own; returns its row."""
    capacity = capacity_of(args)
    start = round(capacity * Random(f"{args.seed}/{number}").uniform(*ABOVE if args.above else BELOW), 2)
    began = time.monotonic()
    with MockProcess(["--ttft", format_duration(args.ttft), "--itl", format_duration(args.itl), "--slots",
                      str(args.slots)]) as mock:
        command = [sys.executable, "-m", "loadgen", "sweep", "--url", mock.url, "--find", "max-rate", "--rate",
                   f"{start:g}", "--arrivals", args.arrivals, "--slo",
                   f"ttft_scheduled.p99<{format_duration(args.ttft + args.slack)}", "--output-tokens",
                   str(args.output_tokens), "--input-tokens", "20", "--duration", format_duration(args.duration),
                   "--warmup", "2s", "--resolution", str(args.resolution), "--abort-on-fail", "--no-probe", "--seed",
                   str(args.seed + number), "--out", str(directory), "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not (directory / "sweep.json").exists():
        raise RuntimeError(f"the sweep ended with {done.returncode}: {done.stderr}")
    sweep = Sweep.from_json(json.loads((directory / "sweep.json").read_text()))
    one = sweep.answers[0]
    off = one.best / capacity - 1 if one.best else None
    return {"search": number, "start": start, "low": one.low, "high": one.high, "confidence": one.confidence,
            "reason": one.reason, "off": off, "near": off is not None and abs(off) <= 0.05,
            "covers": one.low is not None and one.high is not None and one.low <= capacity <= one.high,
            "probes": len(sweep.cells), "unjudged": sum(not cell.judged for cell in sweep.cells),
            "took": time.monotonic() - began}


def line(row: dict[str, Any]) -> list[str]:
    """Return the cells of a row as text."""
    written = [f"{row['low']:g}" if row["low"] else "-", f"{row['high']:g}" if row["high"] else "-"]
    off = "-" if row["off"] is None else f"{row['off']:+.1%}"
    covers = ("yes" if row["covers"] else "no") + ("" if row["confidence"] else ", not confirmed")
    return [str(row["search"]), f"{row['start']:g}", *written, off, covers, str(row["probes"]), str(row["unjudged"]),
            f"{row['took']:.0f}"]


def parser() -> argparse.ArgumentParser:
    """Declare the arguments."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--searches", type=int, default=10, metavar="N", help="how many (10)")
    made.add_argument("--slots", type=int, default=50, metavar="N", help="of the mock (50)")
    made.add_argument("--ttft", type=duration, default=duration("500ms"), metavar="TIME", help="of the mock (500ms)")
    made.add_argument("--itl", type=duration, default=duration("25ms"), metavar="TIME", help="of the mock (25ms)")
    made.add_argument("--output-tokens", type=int, default=5, metavar="N", help="tokens of an answer (5)")
    made.add_argument("--slack", type=duration, default=duration("30ms"), metavar="TIME",
                      help="by which the limit on ttft_scheduled.p99 is above ttft (30ms)")
    made.add_argument("--duration", type=duration, default=duration("8s"), metavar="TIME", help="of a probe (8s)")
    made.add_argument("--resolution", type=float, default=0.04, metavar="SHARE", help="of the search (0.04)")
    made.add_argument("--above", action="store_true", help="begin above the capacity instead of below")
    made.add_argument("--arrivals", default="constant", metavar="LAW", help="constant, poisson (constant)")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of where searches begin (0)")
    table.add_arguments(made)
    return made


def main() -> int:
    """Search, print the table, return 0."""
    args = parser().parse_args()
    capacity = capacity_of(args)
    shown = table.Table(f"{args.searches} searches for {capacity:.2f} requests/s, {args.arrivals} arrivals", COLUMNS)
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(args.searches):
            row = search(args, number, Path(scratch) / str(number))
            shown.data.append(row)
            shown.rows.append(line(row))
            print(f"{number + 1}: {'  '.join(line(row))} {row['reason']}", file=sys.stderr, flush=True)
    near, covered = (sum(row[name] for row in shown.data) for name in ("near", "covers"))
    blind = args.slack / args.duration
    shown.notes = [f"within 5 % of the capacity: {near} of {args.searches}; interval covers it: {covered}",
                   f"an excess below {blind:.2%} is not seen in a probe, below {blind / 2:.2%} not in a repetition"]
    table.show(shown, args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
