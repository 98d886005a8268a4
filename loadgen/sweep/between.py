"""What is done between the cells of a sweep: a pause, a command, the server's prefix cache, and is it still there."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from loadgen.plan import Plan
from loadgen.plancheck import check_url
from loadgen.protocols.http.address import resolve, split_url
from loadgen.sweep.spec import Settings
from loadgen.types import UsageError

RESET = "/reset_prefix_cache"
"""Where vLLM forgets its prefix cache, with VLLM_SERVER_DEV_MODE=1; SGLang has /flush_cache, for --between."""

_PATIENCE = 30.0  # s
_CONNECT = 5.0  # s
_BEAT = 0.1  # s between looks at whether the sweep is to stop


def prepare(plan: Plan, settings: Settings, first: bool, stopping: Callable[[], bool]) -> None:
    """Do what is asked for before a cell; the pause is left out before the first. Raise UsageError if it fails."""
    if not first:
        _pause(settings.pause, stopping)
    if settings.between and not stopping():
        done = subprocess.run(settings.between, shell=True, capture_output=True, text=True, check=False)
        if done.returncode:
            words = " ".join((done.stderr or done.stdout).strip().splitlines()[-1:])
            raise UsageError(f"--between ended with exit code {done.returncode}: {words or 'it said nothing'}")
    if settings.reset_cache and not stopping():
        for url in plan.target.url:
            _reset(url, plan)


def _pause(length: int, stopping: Callable[[], bool]) -> None:
    until = time.monotonic_ns() + length
    while (left := until - time.monotonic_ns()) > 0 and not stopping():
        time.sleep(min(_BEAT, left / 1e9))


def _reset(url: str, plan: Plan) -> None:
    scheme, host, port, _ = split_url(url)
    if scheme not in ("http", "https"):
        raise UsageError(f"--reset-cache asks {RESET} over HTTP, which {url} is not: use --between 'COMMAND'")
    request = urllib.request.Request(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{RESET}", b"",
                                     method="POST")
    if plan.target.api_key:
        request.add_header("Authorization", f"Bearer {plan.target.api_key}")
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE):
            pass
    except urllib.error.HTTPError as error:
        raise UsageError(f"--reset-cache: {url} answers {error.code} to POST {RESET}: vLLM has it with "
                         "VLLM_SERVER_DEV_MODE=1; for another server use --between 'COMMAND'") from None
    except OSError as error:
        raise UsageError(f"--reset-cache: {url} does not answer ({error})") from None


def gone(plan: Plan) -> str:
    """Say which server takes no connection any more, and why; "" if all do."""
    for url in plan.target.url:
        full = url if "://" in url else f"grpc://{url}"
        if check_url(full):
            continue
        try:
            resolve(full, plan.tls, _CONNECT)
        except UsageError as error:
            return str(error).partition(": is it started")[0]
    return ""
