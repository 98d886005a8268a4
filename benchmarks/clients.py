"""Runs a client against a server, as a process of its own, and reads what it recorded, alike for each client."""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loadgen.mock.process import MockProcess
from loadgen.recorder.batch import Batch
from loadgen.run_files import RunReader
from loadgen.types import ABSENT, MEASURED, Health

Integers = npt.NDArray[np.int64]
PATIENCE = 300.0
"""Seconds over its schedule after which a client counts as hanging."""
_WORDS = ("the", "of", "load", "token", "and", "rate", "is", "queue", "time", "server", "batch", "to", "model", "open")
_PATHS = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}


class MeasurementError(Exception):
    """The benchmark could not measure."""


@dataclass(slots=True)
class Seen:
    """One request as a client recorded it; durations in ns. `gaps` lie between token events."""

    lag: int
    ttft: int
    gaps: Integers
    sent: int  # ns since the start of the schedule


@dataclass(slots=True)
class Outcome:
    """What one client made of one load. `rate` are token events per ns over the window in which CPU was measured.

    `cpu` is ns of CPU time per ns by part of the client, `whole_cpu` ns from its first instruction to its end.
    """

    client: str
    offered: int  # measured requests that were planned
    seen: dict[str, Seen] = field(default_factory=dict)  # successes, by tag
    cpu: dict[str, float] = field(default_factory=dict)
    token_rate: float = 0.0
    request_rate: float = 0.0
    whole_cpu: int = 0
    whole_tokens: int = 0
    merged: float = 0.0  # share of the tokens that came in one read with the next
    verdict: str = "-"
    failing: list[str] = field(default_factory=list)


def mock_of(args: argparse.Namespace) -> MockProcess:
    """Return the server, not yet started."""
    gather = ["--gather", args.gather] if args.gather else []
    return MockProcess(["--ttft", args.ttft, "--itl", args.itl, "--output-tokens", str(args.output_tokens), *gather])


def write_prompts(path: Path, args: argparse.Namespace, rate: float) -> None:
    """Write prompts that differ from their first word on, each with a tag that reaches the server's truth log.

    Enough for the whole run, so that no tag comes twice.
    """
    seconds = (args.duration + args.warmup) / 1e9 + 10
    dice = random.Random(args.seed)
    with path.open("w") as file:
        for number in range(int(rate * seconds * 1.1) + 100):
            words = " ".join((f"w{number}", *dice.choices(_WORDS, k=args.input_tokens - 1)))
            line = {"prompt": words, "max_tokens": args.output_tokens, "body": {"user": f"q{number}"}}
            file.write(json.dumps(line) + "\n")


def run_loadgen(url: str, rate: float, prompts: Path, dir: Path, args: argparse.Namespace) -> Outcome:
    """Run `loadgen run` as a user would, and read its files."""
    command = [sys.executable, "-m", "loadgen", "run", "--backend", "openai", "--url", url, "--rate", f"{rate:g}",
               "--duration", _text(args.duration), "--warmup", _text(args.warmup), "--prompts", str(prompts),
               "--endpoint", args.endpoint, "--senders", str(args.senders), "--seed", str(args.seed), "--model", "mock",
               "--no-probe", "--lax", "--quiet", "--json", "--out", str(dir)]
    before = _children_cpu()
    summary = _run(command, args, (0, 1, 3))
    outcome = read_run(dir)
    outcome.whole_cpu = _children_cpu() - before
    outcome.verdict = "VALID" if summary["verdict"]["valid"] else "INVALID"
    outcome.failing = [check["name"] for check in summary["verdict"]["checks"]
                       if not check["ok"] and not check["warning"]]
    return outcome


def read_run(dir: Path) -> Outcome:
    """Read the files of a run."""
    reader = RunReader(dir)
    window = reader.plan()["resolved"]["window"]
    begin, end = window["start"], window["start"] + window["length"]
    batches = list(reader.rows())
    outcome = Outcome("loadgen", window["count"])
    first = min(int(batch.index[batch.phase == MEASURED].min(initial=1 << 60)) for batch in batches)
    for batch in batches:
        _add_rows(outcome, batch, first)
    tokens = np.concatenate([batch.token_at.values for batch in batches])
    outcome.whole_tokens = tokens.size
    outcome.merged = sum(int(batch.coalesced.sum()) for batch in batches) / max(tokens.size, 1)
    outcome.token_rate = _inside(tokens, begin, end) / (end - begin)
    outcome.request_rate = _inside(np.concatenate([batch.sent for batch in batches]), begin, end) / (end - begin)
    lines = [line for line in reader.health() if isinstance(line, Health)]
    outcome.cpu = {"sender": sum(_busy(lines, sender, begin, end) for sender in {one.sender for one in lines}
                                 if sender != ABSENT),
                   "desk": _busy(lines, ABSENT, begin, end)}
    return outcome


def _add_rows(outcome: Outcome, batch: Batch, first: int) -> None:
    for row in np.flatnonzero(batch.phase == MEASURED).tolist():
        at = batch.token_at[row]
        if batch.failure[row] or not at.size:
            continue
        sent = int(batch.sent[row])
        seen = Seen(sent - int(batch.due[row]), int(at[0]) - sent, np.diff(at), sent)
        outcome.seen[f"q{int(batch.index[row]) - first}"] = seen


def _busy(lines: list[Health], sender: int, begin: int, end: int) -> float:
    """Return the CPU time per time of one process between its first and last health line in the window."""
    own = [line for line in lines if line.sender == sender]
    inside = [line for line in own if begin - 500_000_000 <= line.at <= end + 500_000_000]
    own = inside if len(inside) > 1 else own
    if len(own) < 2:
        raise MeasurementError("a process of loadgen left fewer than two health lines: measure for 2s or longer")
    return (own[-1].cpu - own[0].cpu) / (own[-1].at - own[0].at)


def run_naive(url: str, rate: float, prompts: Path, records: Path, args: argparse.Namespace) -> Outcome:
    """Run the naive client with the same prompts on the same schedule, and read its records."""
    command = [sys.executable, "-m", "benchmarks.naive", "--url", url + _PATHS[args.endpoint], "--rate", f"{rate:g}",
               "--duration", _text(args.duration), "--warmup", _text(args.warmup), "--seed", str(args.seed),
               "--prompts", str(prompts), "--records", str(records), "--read", args.read]
    said = _run(command, args, (0,))
    requests = [json.loads(line) for line in records.read_text().splitlines()]
    outcome = Outcome("naive aiohttp", sum(request["measured"] for request in requests), whole_cpu=said["cpu"])
    for request in requests:
        if request["measured"] and not request["error"] and request["stamps"]:
            stamps = np.asarray(request["stamps"], np.int64)
            start = said["begin"] - args.warmup
            outcome.seen[request["tag"]] = Seen(request["sent"] - request["due"], int(stamps[0]) - request["sent"],
                                                np.diff(stamps), request["sent"] - start)
    begin, end = said["begin"], said["end"]
    stamps = np.asarray([stamp for request in requests for stamp in request["stamps"]], np.int64)
    sent = np.asarray([request["sent"] for request in requests], np.int64)
    counts = np.asarray([count for request in requests for count in request["counts"]], np.int64)
    outcome.request_rate = _inside(sent, begin, end) / (end - begin)
    outcome.token_rate = int(counts[(stamps >= begin) & (stamps < end)].sum()) / (end - begin)
    outcome.whole_tokens = int(counts.sum())
    outcome.merged = 1 - int(np.count_nonzero(counts)) / max(outcome.whole_tokens, 1)
    outcome.cpu = {"client": (said["end_cpu"] - said["begin_cpu"]) / (end - begin)}
    return outcome


def _text(duration: int) -> str:
    return f"{duration // 1000}us"


def _inside(instants: Integers, begin: int, end: int) -> int:
    return int(np.count_nonzero((instants >= begin) & (instants < end)))


def _run(command: list[str], args: argparse.Namespace, codes: tuple[int, ...]) -> dict[str, Any]:
    """Run a client that prints JSON."""
    limit = (args.duration + args.warmup) / 1e9 + PATIENCE
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False, env=dict(os.environ))
    if done.returncode not in codes:
        raise MeasurementError(f"{command[2]} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def _children_cpu() -> int:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round((used.ru_utime + used.ru_stime) * 1e9)
