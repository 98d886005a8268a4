"""What measuring a local model costs: tokens per second of a run against those of a bare loop over the same model."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import table
from benchmarks.arguments import duration, numbers
from benchmarks.clients import MeasurementError
from loadgen.stats.estimation import order_statistic_ranks

COLUMNS = ("batch", "bare tokens/s", "loadgen tokens/s", "ratio", "least", "most", "turns", "itl p50 ms", "itl p99 ms")
NOTES = (
    "The model's process answers loadgen's requests and runs a bare loop over the same model in turn, in the order "
    "A B B A: the same prompts, lengths, batches, threads and priority. loadgen's sender and desk run as always.",
    "bare, hf: tokenizing a batch of prompts, padding them, and generate, without a streamer. vllm-offline: tokenizing "
    "and AsyncLLM.generate, 2 * batch requests at a time, with max_num_seqs = batch.",
    "ratio: loadgen's tokens per second over bare's in the turn beside it, the median; least, most: its 95 % interval "
    "by order statistics, which takes the pairs for independent.",
)
BACKENDS = {"hf": "HuggingFaceTurns", "vllm-offline": "VLLMOfflineTurns"}
WARMUP = 2  # pairs that are left out


def measure(args: argparse.Namespace) -> table.Table:
    """Run each batch size once. Raises MeasurementError."""
    shown = table.Table("Local models: tokens per second in turn with a bare loop", COLUMNS, notes=[*NOTES])
    with tempfile.TemporaryDirectory() as folder:
        path = args.path or _tiny(Path(folder))
        for size in map(int, args.batches):
            _add(shown, size, args.output_tokens, _run(args, path, size, Path(folder) / str(size)))
    return shown


def _tiny(folder: Path) -> str:
    from tests.support.tiny_models import make_llama

    make_llama(str(folder / "tiny-llama"))
    return str(folder / "tiny-llama")


def _run(args: argparse.Namespace, path: str, size: int, out: Path) -> dict[str, Any]:
    """Run loadgen with a backend that takes turns; returns the summary of the run."""
    backend = f"{Path(__file__).with_name('turns.py')}:{BACKENDS[args.backend]}"
    command = [sys.executable, "-m", "loadgen", "run", "--backend", backend, "--path", path, "--batch-size", str(size),
               "--concurrency", str(2 * size), "--duration", f"{args.duration // 1000}us", "--output-tokens",
               str(args.output_tokens), "--input-tokens", str(args.input_tokens), "--out", str(out), "--no-cooldown",
               "--quiet", *(["--device", args.device] if args.device else []),
               *(["--engine", "enforce_eager=true"] if args.backend == "vllm-offline" else [])]
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", **os.environ, "OMP_NUM_THREADS": str(args.threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if not (out / "summary.json").exists():
        raise MeasurementError(f"the run failed: {done.stderr[-500:]}")
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return summary


def _add(shown: table.Table, size: int, output_tokens: int, summary: dict[str, Any]) -> None:
    model = summary["server"]["model"]
    pairs = model["turns"][WARMUP:]
    if not pairs:
        raise MeasurementError("the run was too short for a turn of each: give a longer --duration")
    tokens = model["batches"] * size * output_tokens
    ratios = sorted(bare / ours for ours, bare in pairs)
    low, high = order_statistic_ranks(len(ratios), 0.5)
    ends = [f"{ratios[rank - 1]:.3f}" if rank else "-" for rank in (low, high)]
    itl = summary["metrics"]["itl"]
    shown.rows.append((str(size), *(f"{tokens / median([pair[side] for pair in pairs]) * 1e9:,.0f}" for side in (1, 0)),
                       f"{median(ratios):.3f}", *ends, str(len(pairs)),
                       *(f"{itl[name] / 1e6:.2f}" if name in itl else "-" for name in ("p50", "p99"))))
    shown.data.append({"batch": size, "pairs": pairs, "ratio": median(ratios)})


def main() -> int:
    """Print the table; returns 1 if something could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=tuple(BACKENDS), default="hf", help="whose models (hf)")
    parser.add_argument("--path", default="", metavar="DIR", help="model (a tiny one of random weights)")
    parser.add_argument("--batches", type=numbers, default=(1.0, 4.0), metavar="N,N", help="batch sizes (1,4)")
    parser.add_argument("--duration", type=duration, default=duration("2m"), metavar="TIME", help="of each run (2m)")
    parser.add_argument("--input-tokens", type=int, default=50, metavar="N", help="of a prompt (50)")
    parser.add_argument("--output-tokens", type=int, default=64, metavar="N", help="of an answer (64)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of torch on the CPU (1)")
    parser.add_argument("--device", default="", metavar="NAME", help="cpu or cuda (cuda if there is one)")
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
