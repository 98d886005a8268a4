"""What does measuring a local model cost? Tokens per second of a run against those of a bare loop over its library."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import table, vllm_loop
from benchmarks.arguments import duration, numbers
from benchmarks.clients import MeasurementError

COLUMNS = ("batch", "bare tokens/s", "loadgen tokens/s", "ratio", "least", "largest", "itl p50 ms", "itl p99 ms",
           "ttft p50 ms")
NOTES = (
    "bare: a loop of tokenizing a batch of prompts, padding them, and generate, without a streamer; the same prompts, "
    "batch, lengths, threads and priority.",
    "ratio: loadgen's tokens per second over bare's, median of the rounds; a round is both, one after the other, in "
    "turning order. least, largest: of the rounds.",
    "loadgen: a closed loop of two batches, so that one always waits; tokens by the instants at which they were made.",
    "vllm-offline: batch is the number of requests that are kept going, on both sides; bare is a loop over AsyncLLM "
    "that looks at each token.",
)
PROMPTS = 512  # made before the loop, asked in turn
LATENCIES = ("itl.p50", "itl.p99", "ttft.p50")
NICE = 5  # as the process of a model has it


def measure(args: argparse.Namespace) -> table.Table:
    """Run the rounds of each batch size. Raises MeasurementError."""
    shown = table.Table("Local models: tokens per second against a bare loop", COLUMNS, notes=[*NOTES])
    with tempfile.TemporaryDirectory() as folder:
        path = args.path or _tiny(Path(folder))
        for size in map(int, args.batches):
            rounds = [_round(args, path, size, Path(folder) / f"{size}-{number}", number % 2 == 1)
                      for number in range(args.rounds)]
            _add(shown, size, rounds)
    return shown


def _round(args: argparse.Namespace, path: str, size: int, out: Path, turned: bool) -> dict[str, Any]:
    """Measure both, in one order or the other."""
    order = [lambda: {"bare": _bare(args, path, size)}, lambda: _loadgen(args, path, size, out)]
    found: dict[str, Any] = {}
    for step in reversed(order) if turned else order:
        found |= step()
    return found | {"ratio": found["loadgen"] / found["bare"]}


def _add(shown: table.Table, size: int, rounds: Sequence[Mapping[str, Any]]) -> None:
    ratios = [one["ratio"] for one in rounds]
    middle = {name: median(one[name] for one in rounds) for name in ("bare", "loadgen", *LATENCIES)}
    shown.rows.append((str(size), f"{middle['bare']:,.0f}", f"{middle['loadgen']:,.0f}", f"{median(ratios):.3f}",
                       f"{min(ratios):.3f}", f"{max(ratios):.3f}",
                       *(f"{middle[name] / 1e6:.2f}" for name in LATENCIES)))
    shown.data.append({"batch": size, "rounds": list(rounds), "ratio": median(ratios)})


def _tiny(folder: Path) -> str:
    from tests.tiny_models import make_llama

    make_llama(str(folder / "tiny-llama"))
    return str(folder / "tiny-llama")


def _environment(args: argparse.Namespace) -> dict[str, str]:
    return {"VLLM_CPU_KVCACHE_SPACE": "1", **os.environ, "OMP_NUM_THREADS": str(args.threads), "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


def _bare(args: argparse.Namespace, path: str, size: int) -> float:
    command = [sys.executable, "-m", "benchmarks.local_overhead", "--loop", "--path", path, "--batches", str(size),
               "--output-tokens", str(args.output_tokens), "--input-tokens", str(args.input_tokens), "--duration",
               f"{args.duration // 1000}us", "--device", args.device, "--backend", args.backend]
    done = subprocess.run(command, env=_environment(args), capture_output=True, text=True, check=False)
    if done.returncode:
        raise MeasurementError(f"the bare loop failed: {done.stderr[-500:]}")
    return float(done.stdout.split()[-1])  # vLLM prints much before


def _loadgen(args: argparse.Namespace, path: str, size: int, out: Path) -> dict[str, Any]:
    offline = args.backend != "hf"
    command = [sys.executable, "-m", "loadgen", "run", "--backend", args.backend, "--path", path, "--batch-size",
               str(size), "--concurrency", str(size if offline else 2 * size), "--duration",
               f"{args.duration // 1000}us", "--warmup", "2s", "--output-tokens", str(args.output_tokens),
               "--input-tokens", str(args.input_tokens), "--out", str(out), "--no-cooldown", "--quiet",
               *(["--device", args.device] if args.device else []),
               *(["--engine", "enforce_eager=true"] if offline else [])]
    done = subprocess.run(command, env=_environment(args), capture_output=True, text=True, check=False)
    if not (out / "summary.json").exists():
        raise MeasurementError(f"the run failed: {done.stderr[-500:]}")
    summary = json.loads((out / "summary.json").read_text())
    metrics = summary["metrics"]
    return {"loadgen": summary["rates"]["output_tokens"], "itl.p50": metrics["itl"]["p50"],
            "itl.p99": metrics["itl"]["p99"], "ttft.p50": metrics["ttft"]["p50"]}


def loop(args: argparse.Namespace) -> float:
    """Generate batch after batch without anything around it; returns tokens per second after a warm-up of 2 s."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from loadgen import plan, workload

    os.nice(NICE)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = AutoTokenizer.from_pretrained(args.path, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(args.path, dtype="auto").to(device).eval()
    size, tokens = int(args.batches[0]), args.output_tokens
    source = workload.make(plan.Workload(input_tokens=str(args.input_tokens), tokenizer=args.path))
    prompts = [[{"role": "user", "content": source.request(index).prompt}] for index in range(PROMPTS)]
    made, number, began, until = 0, 0, 0.0, time.monotonic() + 2 + args.duration / 1e9
    with torch.inference_mode():
        while time.monotonic() < until:
            ids = [tokenizer.apply_chat_template(prompts[(number + row) % PROMPTS], add_generation_prompt=True,
                                                 tokenize=True, return_dict=False) for row in range(size)]
            output = model.generate(**tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(device),
                                    max_new_tokens=tokens, min_new_tokens=tokens)
            output.cpu()
            number += size
            if began:
                made += size * tokens
            elif time.monotonic() > until - args.duration / 1e9:
                began = time.monotonic()
    return made / (time.monotonic() - began)


def main() -> int:
    """Print the table; returns 1 if something could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("hf", "vllm-offline"), default="hf", help="whose models (hf)")
    parser.add_argument("--path", default="", metavar="DIR", help="model (a tiny one of random weights)")
    parser.add_argument("--batches", type=numbers, default=(1.0, 4.0), metavar="N,N", help="batch sizes (1,4)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of each batch size (5)")
    parser.add_argument("--duration", type=duration, default=duration("15s"), metavar="TIME", help="measured (15s)")
    parser.add_argument("--input-tokens", type=int, default=50, metavar="N", help="of a prompt (50)")
    parser.add_argument("--output-tokens", type=int, default=64, metavar="N", help="of an answer (64)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of torch on the CPU (1)")
    parser.add_argument("--device", default="", metavar="NAME", help="cpu or cuda (cuda if there is one)")
    parser.add_argument("--loop", action="store_true", help=argparse.SUPPRESS)
    table.add_arguments(parser)
    args = parser.parse_args()
    if args.loop:
        print(loop(args) if args.backend == "hf" else vllm_loop.loop(
            args.path, int(args.batches[0]), args.input_tokens, args.output_tokens, args.duration / 1e9, NICE))
        return 0
    try:
        table.show(measure(args), args)
    except MeasurementError as error:
        print(f"could not measure: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
