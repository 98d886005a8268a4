"""What does measuring cost? CPU a token and a request, and memory an open stream, with a naive client beside it."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import machine, table
from benchmarks.arguments import add_offer
from benchmarks.clients import MeasurementError, Outcome, mock_of, run_loadgen, run_naive, write_prompts
from loadgen.mock.process import MockProcess

COLUMNS = ("tokens/s, process", "us/token", "us/request", "of naive", "core", "merged", "verdict")
MEMORY_COLUMNS = ("open streams", "sender MB, one stream", "sender MB, all", "KB/stream", "failed", "open at once")
NOTES = (
    "CPU time of user and system inside the measured window, over the tokens (requests) of that window; core: share of "
    "one core. tree is sender and desk together. of naive: us/token over that of naive aiohttp, which parses nothing.",
    "merged: tokens that came in one read with the next: who reads late reads less often, and so more cheaply.",
    "start to end: the whole command, from the first import to the last file, over all its tokens.",
)
NAIVE = "naive aiohttp"
RUNS = (("tree", run_loadgen, ""), (NAIVE, run_naive, "capture"), ("naive aiohttp and json", run_naive, "parse"))
_POLL = 0.02
_ANSWER = "8"  # tokens of an answer, for memory


def measure_cpu(args: argparse.Namespace) -> table.Table:
    """Run loadgen and the naive client at each load. Raises MeasurementError."""
    shown = table.Table("Overhead: CPU", COLUMNS, notes=[*NOTES])
    for tokens in args.tokens:
        rate = tokens / args.output_tokens
        outcomes = {}
        for name, run, read in RUNS:
            with mock_of(args) as mock, tempfile.TemporaryDirectory() as folder:
                prompts = Path(folder) / "prompts.jsonl"
                write_prompts(prompts, args, rate)
                args.read = read
                outcomes[name] = run(mock.url, rate, prompts, Path(folder) / "run", args)
        naive = outcomes[NAIVE]
        base = naive.cpu["client"] / naive.token_rate
        for name, outcome in outcomes.items():
            _add_client(shown, f"{tokens:,.0f}", name, outcome, base)
    return shown


def _add_client(shown: table.Table, tokens: str, name: str, outcome: Outcome, base: float) -> None:
    parts = outcome.cpu if len(outcome.cpu) > 1 else {}
    for part, cpu in parts.items():
        _add(shown, f"{tokens} {part}", outcome, cpu, base)
    _add(shown, f"{tokens} {name}", outcome, sum(outcome.cpu.values()), base)
    whole = outcome.whole_cpu / outcome.whole_tokens
    shown.rows.append((f"{tokens} {name}, start to end", f"{whole / 1e3:.2f}", "", "", "", "", ""))


def _add(shown: table.Table, name: str, outcome: Outcome, cpu: float, base: float) -> None:
    token, request = cpu / outcome.token_rate, cpu / outcome.request_rate
    shown.rows.append((name, f"{token / 1e3:.2f}", f"{request / 1e3:.0f}", f"{token / base:.2f}", f"{cpu:.0%}",
                       f"{outcome.merged:.1%}", outcome.verdict))
    shown.data.append({"name": name, "token": token, "request": request, "ratio": token / base, "core": cpu,
                       "merged": outcome.merged, "verdict": outcome.verdict})


def measure_memory(args: argparse.Namespace) -> table.Table:
    """Hold many streams open in one sender, and one. Raises MeasurementError where there is no /proc."""
    shown = table.Table("Overhead: memory of one sender", MEMORY_COLUMNS, notes=[
        "KB/stream: (resident memory with all streams open - with one) / (streams - 1); 1 KB is 1,000 bytes.",
        "open at once: as the server counted."])
    idle, _, _ = _resident_with(1)
    full, failed, most = _resident_with(args.streams)
    each = (full - idle) / max(args.streams - 1, 1)
    shown.rows.append((f"{args.streams:,}", f"{idle / 1e6:.1f}", f"{full / 1e6:.1f}", f"{each / 1e3:.1f}", str(failed),
                       f"{most:,}"))
    shown.data.append({"streams": args.streams, "idle": idle, "full": full, "each": each, "failed": failed,
                       "open": most})
    return shown


def _resident_with(streams: int) -> tuple[int, int, int]:
    """Return (largest resident memory of the sender, requests that failed, streams open at once)."""
    pace = ["--ttft", "50ms", "--itl", "1s", "--output-tokens", _ANSWER]
    with MockProcess(pace) as mock, tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "loadgen", "run", "--backend", "openai", "--url", mock.url, "--model", "mock",
                   "--concurrency", str(streams), "--requests", str(streams), "--warmup", "0s", "--senders", "1",
                   "--input-tokens", "100", "--output-tokens", _ANSWER, "--no-probe", "--no-cooldown", "--lax",
                   "--quiet", "--json", "--out", str(Path(folder) / "run")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            most = max(_watch(process), default=0)
            said, complaint = process.communicate()
        if process.returncode not in (0, 1, 3) or not most:
            raise MeasurementError(f"{streams} streams: {complaint.strip()[-500:] or 'no sender was seen'}")
        requests = json.loads(said)["requests"]
        return most, requests["offered"] - requests["succeeded"], mock.truth()["totals"]["in_flight_max"]


def _watch(process: subprocess.Popen[str]) -> Iterator[int]:
    """Yield the resident memory of the run's sender until the run ends."""
    while process.poll() is None:
        for pid, command in machine.children(process.pid):
            if "loadgen.engine.sender" in command:
                yield machine.resident(pid)
        time.sleep(_POLL)


def main() -> int:
    """Print both tables; returns 1 if something could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_offer(parser)
    parser.add_argument("--streams", type=int, default=5000, metavar="N", help="open at once, for memory (5000)")
    parser.add_argument("--only", choices=("cpu", "memory"), default="", help="one of the two tables")
    table.add_arguments(parser)
    args = parser.parse_args()
    try:
        if args.only != "memory":
            table.show(measure_cpu(args), args)
        if not args.only:
            print()
        if args.only != "cpu":
            table.show(measure_memory(args), args)
    except MeasurementError as error:
        print(f"could not measure: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
