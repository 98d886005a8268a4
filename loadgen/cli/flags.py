"""The table of flags that set a field of the Plan: it makes both the parser and the values that override a plan."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from loadgen.arrivals.laws import LAWS
from loadgen.config.plan_file import AUTO, read_share
from loadgen.types import UsageError
from loadgen.units import parse_count, parse_duration, parse_rate

Read = Callable[[str], Any]

GROUPS: Final = {
    "target": "the server",
    "model": "a model that loadgen loads itself (hf, hf-vl, vllm-offline, vllm-offline-vl, your own)",
    "load": "when to send requests",
    "workload": "what to ask",
    "timeouts": "how long to wait; 0s disables a timeout",
    "tls": "for https:// targets",
    "judgement": "objectives, and how precise the numbers must be",
    "out": "where to write results",
}


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag, and the "table.key" of the Plan that it sets. Without `read` it is a switch with a --no- form.

    `repeat` flags may be given several times; it makes the field's value of the list of what was read.
    """

    name: str
    path: str
    metavar: str
    help: str
    read: Read | None = str
    repeat: Callable[[list[Any]], Any] | None = None


def read_header(text: str) -> tuple[str, str]:
    """Read "Name: value"."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise UsageError(f"invalid header {text!r}: write 'Name: value'")
    return name.strip(), value.strip()


def read_body_field(text: str) -> tuple[str, Any]:
    """Read "key=json". Values that aren't valid JSON are strings; null removes the field."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"invalid body field {text!r}: write key=value, as in temperature=0 or ignore_eos=null")
    try:
        return key, json.loads(value, parse_constant=_refuse_constant)
    except ValueError:
        return key, value


def read_warmup(text: str) -> int:
    """Read a duration, or "auto" as -1."""
    return -1 if text == AUTO else parse_duration(text)


def read_share_of(text: str) -> float:
    """Read a share of 0 or more, as in "5%" or "0.05"."""
    value = read_share(text)
    if not 0 <= value <= 100:
        raise UsageError(f"invalid share {text!r}: write a percentage, as in 5%")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not valid JSON")


_whole = partial(parse_count, least=0)

FLAGS: Final = (
    Flag("--backend", "target.backend", "NAME", "a name from `loadgen backends`, or path/to/file.py:Class (openai)"),
    Flag("--url", "target.url", "URL", "address of the server; repeat it to spread requests over several",
         repeat=tuple),
    Flag("--model", "target.model", "NAME", "model to request (the one that the server lists)"),
    Flag("--endpoint", "target.endpoint", "NAME", "chat or completions (the backend's default)"),
    Flag("--stream", "target.stream", "", "ask for a stream of tokens (yes)", read=None),
    Flag("--probe", "target.probe", "", "try one small request before measuring (yes)", read=None),
    Flag("--grpc-client", "target.grpc_client", "NAME", "own, or grpcio: less exact, but supports more (own)"),
    Flag("--api-key", "target.api_key", "KEY", "API key; safer in the environment, as LOADGEN_API_KEY"),
    Flag("--header", "target.headers", "'NAME: VALUE'", "header to add to every request", read_header, dict),
    Flag("--body", "target.body", "KEY=JSON", "field to add to every body; null removes a field", read_body_field,
         dict),
    Flag("--option", "target.options", "KEY=JSON", "argument of the backend's constructor", read_body_field, dict),
    Flag("--metrics-url", "target.metrics_url", "URL",
         "the server's metrics page, read before and after the load (triton: port 8002)"),
    Flag("--wait-ready", "target.wait_ready", "TIME", "how long to wait until the server is ready (0s)",
         parse_duration),

    Flag("--path", "model.path", "DIR", "directory of the model and its tokenizer"),
    Flag("--batch-size", "model.batch_size", "N", "most requests in one batch (1, or what the engine decides)",
         parse_count),
    Flag("--batching", "model.batching", "HOW", "hf: static batches, or continuous (static)"),
    Flag("--max-seq-len", "model.max_seq_len", "N",
         "most tokens of prompt and answer together (the model's own limit)", parse_count),
    Flag("--device", "model.device", "NAME", "cpu, cuda or cuda:1 (cuda if there is one)"),
    Flag("--dtype", "model.dtype", "NAME", "bfloat16, float16 or float32 (the model's own)"),
    Flag("--trust-remote-code", "model.trust_remote_code", "", "run code that comes with the model", read=None),
    Flag("--engine", "model.engine", "KEY=JSON", "argument of the engine, such as vLLM's max_num_seqs=16",
         read_body_field, dict),

    Flag("--rate", "load.rate", "N", "open loop: requests per second", parse_rate),
    Flag("--load-shape", "load.load_shape", "SHAPE",
         "open loop: a changing rate, as in ramp:1..50/120s (linear, then 50) or exp:1..50/120s (exponential)"),
    Flag("--arrivals", "load.arrivals", "LAW", f"{', '.join(LAWS)} (poisson)"),
    Flag("--burstiness", "load.burstiness", "N", "shape of gamma arrivals; below 1 is burstier than poisson",
         parse_rate),
    Flag("--concurrency", "load.concurrency", "N", "closed loop: keep N requests in flight", parse_count),
    Flag("--max-in-flight", "load.max_in_flight", "N",
         "cap on requests in flight; delayed requests are counted and checked (no cap)", _whole),
    Flag("--requests", "load.requests", "N", "length of the measured window, in requests", parse_count),
    Flag("--duration", "load.duration", "TIME", "length of the measured window", parse_duration),
    Flag("--max-duration", "load.max_duration", "TIME",
         "double the window until --precision is reached, up to this length", parse_duration),
    Flag("--warmup", "load.warmup", "TIME", "load before the window (auto: a tenth of it, 1 s to 30 s)", read_warmup),
    Flag("--drain", "load.drain", "TIME", "how long to wait for the last answers (60s)", parse_duration),
    Flag("--cooldown", "load.cooldown", "", "keep sending until the last measured answer has ended (yes)",
         read=None),
    Flag("--seed", "load.seed", "N", "seed of arrivals and, unless --prompt-seed is given, prompts (0)", _whole),
    Flag("--senders", "load.senders", "N", "sending processes (auto: cores - 1)",
         lambda text: 0 if text == AUTO else parse_count(text)),
    Flag("--channels", "load.channels", "N", "gRPC: connections per sender, which requests share (auto)",
         lambda text: 0 if text == AUTO else parse_count(text)),
    Flag("--connections", "load.connections", "HOW", "reuse connections, or open a new one for each request (reuse)"),
    Flag("--retry", "load.retry", "N", "send a refused or broken-off request again, up to N times (0)", _whole),

    Flag("--input-tokens", "workload.input_tokens", "LENGTH",
         "512, uniform:100,900, normal:512,64, lognormal:512,0.5 or file:lengths.txt (512)"),
    Flag("--output-tokens", "workload.output_tokens", "LENGTH", "the same for answers (128)"),
    Flag("--prompts", "workload.prompts", "FILE", "JSONL file of prompts; without a length, each is sent once"),
    Flag("--datasets", "workload.datasets", "NAME",
         "a dataset that comes with loadgen, or a JSONL file such as GSM8K's"),
    Flag("--input-data", "workload.input_data", "FILE", "triton: tensors in perf_analyzer's format; or random, zero"),
    Flag("--shape", "workload.shapes", "NAME:DIMS", "triton: shape of a variable tensor, as in image:3,224,224",
         repeat=tuple),
    Flag("--tokenizer", "workload.tokenizer", "NAME", "directory, tokenizer.json or name, for exact prompt lengths"),
    Flag("--token-ids", "workload.token_ids", "", "send token ids where the server takes them", read=None),
    Flag("--shared-prefix", "workload.shared_prefix", "N",
         "number of tokens that all prompts share at their start (0)", _whole),
    Flag("--images", "workload.images", "WHAT",
         "file, directory or URL of images to send with prompts, or synthetic:640x480"),
    Flag("--images-per-request", "workload.images_per_request", "N", "images per prompt (1)", parse_count),
    Flag("--prompt-seed", "workload.seed", "N", "seed of prompts and lengths (that of --seed)", _whole),

    Flag("--connect-timeout", "timeouts.connect", "TIME", "for a connection (10s)", parse_duration),
    Flag("--first-token-timeout", "timeouts.first_token", "TIME", "for the first byte of an answer (0s)",
         parse_duration),
    Flag("--idle-timeout", "timeouts.idle", "TIME", "between two reads of an answer (0s)", parse_duration),
    Flag("--timeout", "timeouts.total", "TIME", "for a whole answer (10m)", parse_duration),

    Flag("--keep-alive", "timeouts.keep_alive", "TIME", "gRPC: ping a server that is silent for this long (0s: never)",
         parse_duration),

    Flag("--ca", "tls.ca", "FILE", "certificates to trust, PEM"),
    Flag("--cert", "tls.cert", "FILE", "client certificate, PEM"),
    Flag("--key", "tls.key", "FILE", "its private key, PEM"),
    Flag("--insecure", "tls.insecure", "", "accept any certificate", read=None),
    Flag("--server-name", "tls.server_name", "NAME", "server name to request and verify (that of the url)"),

    Flag("--slo", "judgement.slo", "SLO", "'ttft.p99<500ms', 'errors<0.1%%', mlperf:llama2-70b-interactive; "
         "exit 1 if missed", repeat=tuple),
    Flag("--precision", "judgement.precision", "SHARE",
         "allowed half-width of the interval of a percentile with an SLO (5%%)",
         read_share),
    Flag("--lax", "judgement.lax", "", "warn about a run that is too short or too small, instead of INVALID",
         read=None),

    Flag("--abort-on-fail", "judgement.abort_on_fail", "",
         "stop once an SLO is certain to be missed or too many requests have failed; exit 1", read=None),

    Flag("--out", "out.dir", "DIR", "directory for the results (runs/<time>-<backend>-<rate>)"),
    Flag("--outputs", "out.outputs", "", "write the generated text to outputs.jsonl", read=None),
    Flag("--page", "out.page", "", "write the page report.html (yes)", read=None),
    Flag("--metrics-port", "out.metrics_port", "PORT", "serve Prometheus metrics during the run (0: don't)",
         _whole),
    Flag("--metrics-host", "out.metrics_host", "ADDRESS", "local address to serve metrics on (127.0.0.1)"),
)


def add_flags(parser: argparse.ArgumentParser, without: Collection[str] = ()) -> dict[str, Any]:
    """Add every flag of the table but those named in `without` to a parser, in groups; return them by their name."""
    groups: dict[str, Any] = {name: parser.add_argument_group(name, about) for name, about in GROUPS.items()}
    for flag in FLAGS:
        if flag.name in without:
            continue
        settings: dict[str, Any] = {"dest": flag.path, "help": flag.help, "default": argparse.SUPPRESS}
        if flag.read is None:
            settings["action"] = argparse.BooleanOptionalAction
        else:
            settings |= {"metavar": flag.metavar, "type": _naming(flag.name, flag.read)}
        if flag.repeat:
            settings["action"] = "append"
        groups[flag.path.partition(".")[0]].add_argument(flag.name, **settings)
    return groups


def overrides(given: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the plan's values out of parsed arguments: "table.key" -> value, as plan_file.override takes them."""
    repeats = {flag.path: flag.repeat for flag in FLAGS if flag.repeat}
    known = {flag.path for flag in FLAGS}
    return {path: repeats[path](value) if path in repeats else value for path, value in given.items() if path in known}


def _naming(name: str, read: Read) -> Read:
    """Make a reader whose UsageError says which flag it was."""
    def read_named(text: str) -> Any:
        try:
            return read(text)
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from None
    return read_named
