"""What does the page of a large run cost? Time and memory to make it, its size, and how soon a browser shows it."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import table
from benchmarks.browser import CantRunError, running
from loadgen.outcomes.report import SCHEMA
from loadgen.outcomes.run_record import Resolved, RunRecord
from loadgen.plan import Duration, Load, Plan, Target
from loadgen.recorder.batch import Batch, ListColumn
from loadgen.run_files import RunWriter
from loadgen.run_files.record import to_json
from loadgen.types import ABSENT, COOLDOWN, MEASURED, SECOND, WARMUP, ClockSample, Health, Window

COLUMNS = ("requests", "replay s", "with page s", "ratio", "memory MB", "page MB", "text s", "usable s", "drawn s")
NOTES = (
    "replay: `loadgen report --no-write` from start to end; with page: without --no-write; ratio: of the two; memory: "
    "the largest that was resident.",
    "text: first contentful paint; usable: the browser's load event, when texts and scripts are there; drawn: from "
    "there, scrolling to each chart, until the last one is there.",
    "Chromium without a window, 1280 x 900, a profile of its own for each opening; the median of three.")
TTFT, ITL, RATE = 200_000_000, 20_000_000, 100.0
_PART = 2000  # rows of a batch


def make_run(directory: Path, requests: int, tokens: int, seed: int = 0) -> None:
    """Write the directory of a run that never was: Poisson arrivals, lognormal times, one request in 500 fails."""
    length = round(requests / RATE * SECOND)
    window = Window(2 * SECOND, length, requests)
    plan = Plan(Target("openai", ("http://127.0.0.1:8000",), "made-up"), Load(RATE, duration=Duration(length)))
    writer = RunWriter(directory)
    facts = {"loadgen": "benchmark", "model": "made-up", "senders": 1}
    writer.write_plan(to_json(RunRecord(plan, Resolved(window, {"sha256": "0" * 64}, facts, length="forced"))))
    rng = np.random.default_rng(seed)
    dues = np.sort(rng.integers(0, 2 * SECOND + length + SECOND, round(requests * (1 + 3 * SECOND / length))))
    for first in range(0, dues.size, _PART):
        writer.write_rows(_batch(rng, first, dues[first : first + _PART], window, tokens))
    for line in _health(length // SECOND + 3):
        writer.write_health(line)
    writer.write_health({"event": "end", "interrupted": False})
    writer.finish({"schema": SCHEMA})


def _batch(rng: np.random.Generator, first: int, due: np.ndarray, window: Window, tokens: int) -> Batch:
    n = due.size
    sent = due + rng.integers(20_000, 200_000, n)
    input_tokens = rng.integers(100, 900, n)
    gaps = (ITL * rng.lognormal(0, 0.2, (n, tokens))).astype(np.int64)
    gaps[:, 0] = TTFT * rng.lognormal(0, 0.3, n) * (0.5 + input_tokens / 1000)
    gaps[rng.random((n, tokens)) < 0.0005] *= 15
    failed = rng.random(n) < 0.002
    at = sent[:, None] + np.cumsum(gaps, axis=1)
    offsets = np.arange(n + 1) * tokens

    def same(value: int) -> np.ndarray:
        return np.full(n, value, np.int32)

    whole, absent = same(tokens), np.full(n, ABSENT, np.int64)
    phase = np.where(due < window.start, WARMUP, np.where(due < window.start + window.length, MEASURED, COOLDOWN))
    return Batch(
        index=np.arange(first, first + n), phase=phase.astype(np.int32), due=due, sent=sent, sent_end=sent + 10_000,
        first_byte=at[:, 0] - 1000, first_answer=absent, end=at[:, -1] + 1000, connect=absent, tls=absent,
        token_at=ListColumn(at.reshape(-1), offsets), token_count=ListColumn(np.ones(n * tokens, np.int32), offsets),
        token_lag=ListColumn(rng.integers(20_000, 400_000, n * tokens), offsets), coalesced=same(0), unstamped=same(0),
        reads=whole + 1, input_tokens=input_tokens.astype(np.int32), input_source=["usage"] * n, output_tokens=whole,
        output_source=["usage"] * n, usage_tokens=whole, asked_tokens=whole, finish_reason=["length"] * n,
        failure=["http_503" if one else "" for one in failed.tolist()], failure_type=[""] * n,
        detail=["overloaded" if one else "" for one in failed.tolist()], status=same(200), sender=same(0),
        target=same(0), attempt=same(0), held=np.zeros(n, np.bool_), reconnects=same(0), server=[{}] * n)


def _health(seconds: int) -> Iterator[Health | ClockSample]:
    for second in range(seconds):
        at = second * SECOND
        yield Health(at, 0, cpu=at // 50, rss=30_000_000, stall=200_000)
        yield Health(at, ABSENT, cpu=at // 20, rss=100_000_000)
        yield ClockSample(at, 1_700_000_000 * SECOND)


def make_page(directory: Path, *flags: str) -> tuple[float, int]:
    """Run `loadgen report`; return (seconds from its start to its end, largest resident memory in bytes)."""
    begin = time.monotonic()
    with subprocess.Popen([sys.executable, "-m", "loadgen", "report", str(directory), *flags], cwd=Path.cwd(),
                          stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1, 3):
        raise RuntimeError(f"loadgen report ended with {process.returncode}")
    return time.monotonic() - begin, used.ru_maxrss * 1024


def open_page(path: Path, browser: Any) -> tuple[float, float, float]:
    """Open a page; return (seconds to its text, to its load event, from there until every chart is drawn)."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(path.as_uri())
    text = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN")
    usable = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    begin = time.monotonic()
    charts = page.locator("figure.chart")
    for place in range(charts.count()):
        charts.nth(place).scroll_into_view_if_needed()
        charts.nth(place).locator(".main-svg").first.wait_for(state="attached")
    drawn = time.monotonic() - begin
    context.close()
    return text / 1e3, usable / 1e3, drawn


def measure(shown: table.Table, browser: Any, requests: int, tokens: int) -> None:
    """Add the row of a run of so many requests."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "run"
        make_run(directory, requests, tokens)
        replayed, _ = make_page(directory, "--no-write")
        made, memory = make_page(directory)
        path = directory / "report.html"
        opened = [statistics.median(times) for times in zip(*(open_page(path, browser) for _ in range(3)), strict=True)]
        size = path.stat().st_size
    shown.rows.append((f"{requests:,}", f"{replayed:.2f}", f"{made:.2f}", f"{made / replayed:.2f}",
                       f"{memory / 1e6:.0f}", f"{size / 1e6:.2f}", *(f"{value:.2f}" for value in opened)))
    shown.data.append({"requests": requests, "tokens": tokens, "replayed": replayed, "made": made, "memory": memory,
                       "size": size, "text": opened[0], "usable": opened[1], "drawn": opened[2]})


def numbers(text: str) -> list[int]:
    """Read counts with commas between them, for argparse."""
    return [int(part) for part in text.split(",")]


def main() -> int:
    """Print the table; returns 1 if there is no browser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=numbers, default=[1000, 10_000, 100_000], metavar="N,N",
                        help="requests of a run, one row each (1000,10000,100000)")
    parser.add_argument("--output-tokens", type=int, default=64, metavar="N", help="tokens of an answer (64)")
    table.add_arguments(parser)
    args = parser.parse_args()
    shown = table.Table("The page of a run", COLUMNS, notes=[*NOTES])
    try:
        with running() as browser:
            for requests in args.requests:
                measure(shown, browser, requests, args.output_tokens)
    except CantRunError as error:
        print(f"could not measure: {error}", file=sys.stderr)
        return 1
    table.show(shown, args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
