"""What does streaming over gRPC cost a client? Our capture, grpc.aio with raw bytes and tritonclient, one server."""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks import table

COLUMNS = ("client", "us/response", "of tritonclient", "ttft p50 ms", "ttft p99 ms", "itl p50 ms", "itl p99 ms",
           "coalesced", "responses")
CLIENTS = (("own", "own"), ("raw", "grpc.aio, raw bytes"), ("triton", "tritonclient.grpc.aio"))
NOTES = (
    "CPU time of user and system of the client's process while it runs, over the responses. Our own decodes nothing "
    "in it, nor does grpc.aio; tritonclient makes a numpy array of each.",
    "Own stamps are the kernel's, the others' are taken when their code gets the response. Each line is the median of "
    "the rounds; a round runs the clients one after the other, with the same arrivals.",
)


@contextlib.contextmanager
def server(url: str) -> Iterator[str]:
    """Give the address of the server: the one that was named, else a Triton of the tests."""
    if url:
        yield url
        return
    from tests.support.tritonserver.server import running

    with running() as triton:
        yield triton.grpc


def measure(args: argparse.Namespace) -> table.Table:
    """Run every client in each round."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name, _ in CLIENTS}
    with server(args.url) as url:
        for _ in range(args.rounds):
            for name, _ in CLIENTS:
                results[name].append(_run(name, url, args))
    shown = table.Table(f"gRPC: {args.rate:g} requests/s of {args.tokens} responses, {args.requests} requests a round",
                        COLUMNS, notes=[*NOTES])
    median = {name: {key: sorted(one[key] for one in rounds)[len(rounds) // 2] for key in rounds[0]}
              for name, rounds in results.items()}
    base = median["triton"]["cpu"] / median["triton"]["responses"]
    for name, label in CLIENTS:
        seen = median[name]
        cost = seen["cpu"] / seen["responses"]
        shown.rows.append((label, f"{cost * 1e6:.1f}", f"{cost / base:.2f}",
                           *(f"{seen[key] / 1e6:.2f}" for key in ("ttft.p50", "ttft.p99", "itl.p50", "itl.p99")),
                           f"{seen['coalesced']:.2%}", f"{seen['responses']:,}"))
        shown.data.append({"client": name, "cost": cost, "ratio": cost / base, **seen})
    return shown


def _run(name: str, url: str, args: argparse.Namespace) -> dict[str, Any]:
    flags = [f"--{flag}={getattr(args, flag)}" for flag in ("model", "rate", "requests", "tokens", "channels")]
    done = subprocess.run([sys.executable, "-m", "benchmarks.grpc_client", name, "--url", url, *flags],
                          capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed: {done.stderr.strip()[-1000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    if result["responses"] != args.requests * args.tokens:
        raise SystemExit(f"{name} counted {result['responses']} of {args.requests * args.tokens} responses")
    return result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="", metavar="HOST:PORT", help="a Triton with the model (one of its own)")
    parser.add_argument("--model", default="llm", metavar="NAME", help="decoupled model to stream from (llm)")
    parser.add_argument("--rate", type=float, default=40.0, metavar="N", help="requests per second (40)")
    parser.add_argument("--requests", type=int, default=200, metavar="N", help="of each client and round (200)")
    parser.add_argument("--tokens", type=int, default=50, metavar="N", help="responses of a request (50)")
    parser.add_argument("--channels", type=int, default=0, metavar="N", help="connections of our own (auto)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of all clients (3)")
    table.add_arguments(parser)
    args = parser.parse_args()
    table.show(measure(args), args)


if __name__ == "__main__":
    main()
