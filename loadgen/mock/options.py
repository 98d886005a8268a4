"""The mock's options: what they are called, and Settings, what they say. Imports nothing heavy: --help shows them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from loadgen.types import UsageError
from loadgen.units import parse_count, parse_duration

if TYPE_CHECKING:
    from loadgen.mock.delays import Delay
    from loadgen.mock.faults import Fault

DIALECTS: Final = ("openai", "tgi", "mindie", "triton")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class MockSettings:
    """What one mock server does; times in ns."""

    host: str
    port: int
    dialect: str
    model: str
    max_model_len: int
    ttft: Delay
    ttft_per_token: int
    itl: Delay
    itl_per_stream: int
    slots: int
    gather: int
    tokens_per_event: int
    output_tokens: int
    eos_share: float
    reject: tuple[str, ...]
    full_text: bool
    keep_alive: int
    faults: tuple[Fault, ...]
    slow: int
    seed: int
    truth: str
    keep: int
    api_key: str
    tls_cert: str
    tls_key: str
    stop_with_stdin: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options on `parser`."""
    _add_address(parser.add_argument_group("where and what it is"))
    _add_pace(parser.add_argument_group("pace (DELAY: 20ms, normal:20ms,2ms, lognormal:20ms,0.5, uniform:10ms,30ms, "
                                        "exponential:20ms)"))  # fmt: skip
    _add_answers(parser.add_argument_group("answers"))
    _add_faults(parser.add_argument_group("faults and truth"))


def _add_address(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    group.add_argument("--port", default="8000", help="port to listen on; 0 takes a free one and prints it (8000)")
    group.add_argument("--dialect", default="openai", choices=DIALECTS, help="which server it speaks like (openai)")
    group.add_argument("--model", default="mock", help="name of its model (mock)")
    group.add_argument("--max-model-len", default="131072", metavar="N", help="longest prompt + answer (131072)")
    group.add_argument("--api-key", default="", metavar="KEY", help="answer 401 to requests without this bearer token")
    group.add_argument("--tls-cert", default="", metavar="FILE", help="serve https with this certificate (PEM)")
    group.add_argument("--tls-key", default="", metavar="FILE", help="its key, if it is not in the same file")
    group.add_argument("--stop-with-stdin", action="store_true", help="end when standard input does")


def _add_pace(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--ttft", default="200ms", metavar="DELAY", help="arrival to first token (200ms)")
    group.add_argument("--ttft-per-token", default="0", metavar="TIME", help="added for each prompt token (0)")
    group.add_argument("--itl", default="20ms", metavar="DELAY", help="token event to token event (20ms)")
    group.add_argument("--itl-per-stream", default="0", metavar="TIME", help="added to itl for each running stream (0)")
    group.add_argument("--slots", default="0", metavar="N", help="streams that run at a time, others wait; 0: all (0)")
    group.add_argument("--gather", default="50us", metavar="TIME", help="shortest sleep; longer saves CPU (50us)")


def _add_answers(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--tokens-per-event", default="1", metavar="N", help="tokens that each event carries (1)")
    group.add_argument("--output-tokens", default="128", metavar="N", help="tokens where a request does not say (128)")
    group.add_argument("--eos-share", default="0", metavar="SHARE", help="answers that stop early, but for ignore_eos")
    group.add_argument("--full-text", action="store_true", help="mindie: each event has the whole text so far")
    group.add_argument("--keep-alive", default="0", metavar="TIME", help="a comment in streams each TIME; 0: none (0)")
    group.add_argument("--reject", action="append", default=[], metavar="FIELD", help="refuse this field with 400")


def _add_faults(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--fault", action="append", default=[], metavar="KIND:SHARE",
                       help="make a share of the requests fail (500:0.01, at random) or every n-th (500:1/100): 500, "
                       "503, 429, 404, redirect, refuse, reset, cut, garbage, errevent, overload, callback-timeout, "
                       "stall, slow-headers, empty, nodone")  # fmt: skip
    group.add_argument("--slow", default="5s", metavar="TIME", help="how long slow-headers holds them back (5s)")
    group.add_argument("--seed", default="0", metavar="N", help="seed of delays, faults and early stops (0)")
    group.add_argument("--truth", default="", metavar="FILE", help="write a JSON line of truth for each request")
    group.add_argument("--keep", default="1000000", metavar="N", help="requests that GET /truth remembers (1000000)")


def settings_of(args: argparse.Namespace) -> MockSettings:
    """Turn parsed arguments into Settings. Raise UsageError naming the flag that is wrong."""
    from loadgen.mock.delays import Delay
    from loadgen.mock.faults import parse_fault

    seed = _flag("seed", args.seed, lambda text: parse_count(text, 0))
    return MockSettings(
        host=args.host,
        port=_flag("port", args.port, lambda text: _below(parse_count(text, 0), 65_536)),
        dialect=args.dialect,
        model=args.model,
        max_model_len=_flag("max-model-len", args.max_model_len, parse_count),
        ttft=_flag("ttft", args.ttft, lambda text: Delay(text, f"ttft/{seed}")),
        ttft_per_token=_flag("ttft-per-token", args.ttft_per_token, parse_duration),
        itl=_flag("itl", args.itl, lambda text: Delay(text, f"itl/{seed}")),
        itl_per_stream=_flag("itl-per-stream", args.itl_per_stream, parse_duration),
        slots=_flag("slots", args.slots, lambda text: parse_count(text, 0)),
        gather=_flag("gather", args.gather, parse_duration),
        tokens_per_event=_flag("tokens-per-event", args.tokens_per_event, parse_count),
        output_tokens=_flag("output-tokens", args.output_tokens, parse_count),
        eos_share=_flag("eos-share", args.eos_share, _share),
        reject=tuple(args.reject),
        full_text=args.full_text,
        keep_alive=_flag("keep-alive", args.keep_alive, parse_duration),
        faults=tuple(_flag("fault", text, parse_fault) for text in args.fault),
        slow=_flag("slow", args.slow, parse_duration),
        seed=seed,
        truth=args.truth,
        keep=_flag("keep", args.keep, lambda text: parse_count(text, 0)),
        api_key=args.api_key,
        tls_cert=args.tls_cert,
        tls_key=args.tls_key,
        stop_with_stdin=args.stop_with_stdin,
    )


def _flag(name: str, text: str, parse: Callable[[str], _T]) -> _T:
    try:
        return parse(text)
    except UsageError as error:
        raise UsageError(f"--{name}: {error}") from None


def _below(value: int, limit: int) -> int:
    if value >= limit:
        raise UsageError(f"{value} is too large: write at most {limit - 1}")
    return value


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"invalid share {text!r}: write a number from 0 to 1, as in 0.05")
    return share
