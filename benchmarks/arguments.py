"""Arguments that the benchmarks share."""

from __future__ import annotations

import argparse

from loadgen.types import UsageError
from loadgen.units import parse_duration

TOKENS_A_SECOND = "20000,40000,60000"


def duration(text: str) -> int:
    """Read a duration such as 500ms or 15s as ns, for argparse."""
    try:
        return parse_duration(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def numbers(text: str) -> tuple[float, ...]:
    """Read numbers with commas between them, for argparse."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write numbers with commas between, as in 20,200") from None


def add_offer(parser: argparse.ArgumentParser) -> None:
    """Declare what is offered to the server."""
    parser.add_argument("--tokens", type=numbers, default=numbers(TOKENS_A_SECOND), metavar="N,N",
                        help=f"tokens per second to offer, one run each ({TOKENS_A_SECOND})")
    parser.add_argument("--output-tokens", type=int, default=100, metavar="N", help="tokens of an answer (100)")
    parser.add_argument("--input-tokens", type=int, default=100, metavar="N", help="words of a prompt (100)")
    parser.add_argument("--ttft", default="50ms", metavar="TIME", help="of the server (50ms)")
    parser.add_argument("--itl", default="10ms", metavar="TIME", help="of the server (10ms)")
    parser.add_argument("--duration", type=duration, default=duration("15s"), metavar="TIME", help="measured (15s)")
    parser.add_argument("--warmup", type=duration, default=duration("2s"), metavar="TIME", help="before it (2s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of arrivals (0)")
    parser.add_argument("--senders", type=int, default=1, metavar="N", help="sender processes of loadgen (1)")
    parser.add_argument("--endpoint", choices=("chat", "completions"), default="chat", help="what is asked (chat)")
    parser.add_argument("--gather", default="", metavar="TIME", help="the mock's --gather")
