"""Does a client record what happened? Recorded times against the server's own log, and a naive client beside it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import table
from benchmarks.arguments import add_offer
from benchmarks.clients import MeasurementError, Outcome, mock_of, run_loadgen, run_naive, write_prompts
from benchmarks.truth import PERCENTILES, Compared, compare, quantile, truth_of
from loadgen.stats.estimation import ks_critical, ks_uniform

METRICS = tuple(f"{name}.p{round(100 * p)}" for name in ("ttft", "itl") for p in PERCENTILES)
COLUMNS = ("tokens/s, client", *(f"{metric} ms" for metric in METRICS), "lost", "merged", "lag p50 us", "lag p99 us",
           "KS", "verdict")
NOTES = (
    "truth: by the server's clock, first token written - request read whole, and between writes; error: recorded "
    "against it, over the same requests.",
    "lost: planned requests without a success; merged: tokens that came in one read with the next; lag: sent "
    "- due; KS: distance of the delivered schedule from a Poisson process, over its critical value (below 1 passes).",
    "recorded ttft holds what truth does not: sending, and the server noticing the request.",
)


def measure(args: argparse.Namespace) -> table.Table:
    """Run each client at each load. Raises MeasurementError."""
    shown = table.Table("Fidelity: recorded against the server's truth", COLUMNS, notes=[*NOTES])
    clients = {"loadgen": run_loadgen, "naive": run_naive}
    for tokens in args.tokens:
        rate = tokens / args.output_tokens
        for name in args.clients:
            with mock_of(args) as mock, tempfile.TemporaryDirectory() as folder:
                prompts = Path(folder) / "prompts.jsonl"
                write_prompts(prompts, args, rate)
                outcome = clients[name](mock.url, rate, prompts, Path(folder) / "run", args)
                said = mock.truth()
            served = truth_of(said["requests"])
            _add(shown, tokens, outcome, compare(outcome, served), said["totals"], args)
    return shown


def _add(shown: table.Table, tokens: float, outcome: Outcome, compared: Compared, totals: dict[str, Any],
         args: argparse.Namespace) -> None:
    lag = np.asarray([one.lag for one in outcome.seen.values()], np.int64)
    sent = np.asarray([one.sent for one in outcome.seen.values()], np.int64) - args.warmup
    distance = ks_uniform(sent, 0, args.duration) / ks_critical(sent.size)
    lags = [quantile(lag, p) for p in PERCENTILES]
    verdict = " ".join((outcome.verdict, ", ".join(outcome.failing))).strip()
    shown.rows.append((f"{tokens:,.0f} {outcome.client}", *(f"{compared.recorded[m] / 1e6:.3f}" for m in METRICS),
                       str(compared.lost), f"{outcome.merged:.1%}", *(f"{value / 1e3:.0f}" for value in lags),
                       f"{distance:.2f}", verdict))
    shown.rows.append(("    truth", *(f"{compared.truth[m] / 1e6:.3f}" for m in METRICS), *[""] * 6))
    shown.rows.append(("    error", *(f"{compared.error(m):+.2%}" for m in METRICS), *[""] * 6))
    shown.data.append({
        "tokens": tokens, "client": outcome.client, "offered": outcome.offered, "matched": compared.matched,
        "lost": compared.lost, "merged": outcome.merged, "recorded": compared.recorded, "truth": compared.truth,
        "error": {m: compared.error(m) for m in METRICS}, "lag": lags, "ks": distance, "verdict": outcome.verdict,
        "failing": outcome.failing, "server": {"cpu": totals["cpu"], "late_max": totals["late_max"]}})


def main() -> int:
    """Print the table; returns 1 if something could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_offer(parser)
    parser.add_argument("--read", choices=("capture", "parse"), default="capture",
                        help="what the naive client does with an answer: nothing, or read it as JSON (capture)")
    parser.add_argument("--clients", nargs="+", choices=("loadgen", "naive"), default=["loadgen", "naive"])
    table.add_arguments(parser)
    args = parser.parse_args()
    try:
        table.show(measure(args), args)
    except MeasurementError as error:
        print(f"could not measure: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
