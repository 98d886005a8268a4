"""How often `loadgen compare` raises a false alarm, and how often it finds a slow-down.

The runs are real, against the mock; which of them make a pair is drawn; the slow-down is put into recorded timelines.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks import table
from benchmarks.arguments import duration
from loadgen import slo
from loadgen.compare import Measured, Question, compare
from loadgen.compare.blocks import Blocks
from loadgen.compare.gates import read_all
from loadgen.compare.load import runs_in
from loadgen.compare.rows import OPEN_LOOP
from loadgen.mock.process import MockProcess
from loadgen.outcomes.report import Report
from loadgen.recorder import Recorder
from loadgen.recorder.batch import Batch, ListColumn
from loadgen.recorder.estimate import share
from loadgen.run_files import RunReader, names
from loadgen.run_files.record import from_json
from loadgen.summary import build
from loadgen.units import format_duration

MOCK = ("--ttft", "lognormal:40ms,0.4", "--itl", "lognormal:8ms,0.25", "--itl-per-stream", "50us")
GATES = (("itl.mean",), ("itl.p50",), ("itl.p99",), ("ttft.p99",), OPEN_LOOP)


@dataclass(frozen=True, slots=True)
class Counted:
    """How many of `pairs` pairs had what: a gate that failed, equal sides and a slowed one; and any row called so."""

    pairs: int
    alarms: int
    rows: int
    found: int


def slowed(batch: Batch, factor: float) -> Batch:
    """Return the rows with every gap between tokens `factor` times as long; the first token stays where it was."""
    offsets, at = batch.token_at.offsets, batch.token_at.values
    lengths = batch.token_at.lengths
    has = lengths > 0
    first = np.repeat(at[offsets[:-1][has]], lengths[has])
    moved = first + np.rint((at - first) * factor).astype(np.int64)
    end = batch.end.copy()
    last = offsets[1:][has] - 1
    end[has] += moved[last] - at[last]
    return replace(batch, token_at=ListColumn(moved, offsets), end=end)


def measured(directory: Path, factor: float = 1.0) -> Measured:
    """Read a run again from its rows, slowed by `factor`."""
    reader = RunReader(directory)
    plan = reader.plan()
    record = from_json(plan, directory / names.PLAN)
    recorder = Recorder(record.resolved.window, slo.expand(record.plan.judgement.slo))
    for line in reader.health():
        if not isinstance(line, dict):
            recorder.observe(line)
    for batch in reader.rows():
        recorder.fold(batch if factor == 1 else slowed(batch, factor))
    report: Report = replace(build(recorder, record), plan=plan)
    return Measured(str(directory), report)


def count(pool: Sequence[Measured], slow: Sequence[Measured], runs: int, pairs: int, gates: Sequence[str],
          seed: int = 0) -> Counted:
    """Deal `pairs` pairs of `runs` + `runs` different runs out of the pool, and count what compare says of each.

    `slow[i]` is `pool[i]` slowed. Raises ValueError if the pool is smaller than a pair.
    """
    if len(pool) < 2 * runs:
        raise ValueError(f"a pair needs {2 * runs} runs, and the pool has {len(pool)}")
    rng = np.random.default_rng(seed)
    question = Question(gates=read_all(gates), lax=True)
    alarms = called = found = 0
    for _ in range(pairs):
        chosen = rng.permutation(len(pool))[: 2 * runs].tolist()
        base, new = [pool[i] for i in chosen[:runs]], [pool[i] for i in chosen[runs:]]
        equal = compare(base, new, question, _unread)
        alarms += equal.exit_code == 1
        called += any(row.gated and row.verdict in ("better", "worse") for row in equal.cells[0].rows)
        found += compare(base, [slow[i] for i in chosen[runs:]], question, _unread).exit_code == 1
    return Counted(pairs, alarms, called, found)


def _unread(run: Measured) -> Blocks:
    raise ValueError(f"{run.dir}: only one run a side needs its rows")


def record(directory: Path, runs: int, length: int, rate: float) -> None:
    """Make the runs that are not there yet, one after the other, each with a seed of its own."""
    with MockProcess(MOCK) as mock:
        for seed in range(runs):
            out = directory / f"run-{seed}"
            if not (out / "summary.json").exists():
                command = [sys.executable, "-m", "loadgen", "run", "--url", mock.url, "--rate", f"{rate:g}",
                           "--duration", format_duration(length), "--seed", str(seed), "--input-tokens", "50",
                           "--output-tokens", "40", "--quiet", "--out", str(out)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode == 2:
                    raise SystemExit(done.stderr)
                print(f"run {seed + 1} of {runs}: exit code {done.returncode}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", metavar="DIR", help="where the runs are, or are to be (a directory that is removed)")
    parser.add_argument("--recorded", type=int, default=40, metavar="N", help="runs to record (40)")
    parser.add_argument("--duration", type=duration, default=duration("8s"), metavar="TIME", help="of each (8s)")
    parser.add_argument("--rate", type=float, default=50.0, metavar="N", help="requests per second (50)")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="runs of a side (5)")
    parser.add_argument("--pairs", type=int, default=100, metavar="N", help="pairs to compare (100)")
    parser.add_argument("--slower", type=float, default=1.1, metavar="FACTOR", help="of the gaps between tokens (1.1)")
    parser.add_argument("--allow", default="", metavar="LIST", help="checks that a run of a pair may fail (none)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the deal (0)")
    table.add_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Record, deal, compare, and print the rates with their 95 % intervals (Clopper and Pearson)."""
    args = _arguments()
    with nullcontext(args.pool) if args.pool else tempfile.TemporaryDirectory() as directory:
        record(Path(directory), args.recorded, args.duration, args.rate)
        found = [measured(path) for path in runs_in(Path(directory))]
        pool = [run for run in found if set(run.describe().failing) <= set(args.allow.split(","))]
        slow = [measured(Path(run.dir), args.slower) for run in pool]
    if len(pool) < 2 * args.runs:
        raise SystemExit(f"{len(pool)} of {len(found)} runs can be believed, and a pair takes {2 * args.runs}: a "
                         "quieter machine, or --allow with the checks that may fail, as in --allow lag")
    shown = table.Table(f"loadgen compare, {args.runs} + {args.runs} runs, {args.pairs} pairs out of {len(pool)} runs",
                        ["gates, 3 % each", "false alarms", "rows called", f"itl x {args.slower:g} found"])
    for gates in GATES:
        counted = count(pool, slow, args.runs, args.pairs, gates, args.seed)
        shown.rows.append([", ".join(gates), *(_share(times, counted.pairs) for times in
                                               (counted.alarms, counted.rows, counted.found))])
        shown.data.append({"gates": list(gates), "pairs": counted.pairs, "alarms": counted.alarms,
                           "rows": counted.rows, "found": counted.found})
    invalid = sum(not run.report.verdict.valid for run in pool)
    shown.notes.append(f"{len(found)} runs were made; {len(found) - len(pool)} were INVALID and left out, {invalid} in "
                       f"the pool were INVALID by {args.allow.replace(',', ', ') or 'nothing'} alone")
    shown.notes.append("real: every run and its noise; drawn: who is compared with whom, so pairs share runs; "
                       "simulated: the slow-down, put into the recorded instants of the tokens")
    table.show(shown, args)


def _share(times: int, of: int) -> str:
    estimate = share(times, of)
    if estimate is None or estimate.high is None:
        return "-"
    return f"{times} of {of} [{estimate.low * 100:.1f} %, {estimate.high * 100:.1f} %]"


if __name__ == "__main__":
    main()
