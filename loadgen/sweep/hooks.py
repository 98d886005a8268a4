"""What is done between the cells of a sweep: a pause, a command, the server's prefix cache, and is it still there."""

from __future__ import annotations

import errno
import http.client
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from loadgen.config.plan_check import check_url
from loadgen.plan import Plan
from loadgen.preflight.http import ask, headers_of
from loadgen.protocols.http.address import resolve, split_url
from loadgen.sweep.spec import SweepSettings
from loadgen.types import SECOND, Call, UsageError

RESET = "/reset_prefix_cache"
"""Where vLLM forgets its prefix cache, with VLLM_SERVER_DEV_MODE=1; SGLang has /flush_cache, for --between."""

_PATIENCE = 30.0  # s
_CONNECT = 5.0  # s
_BEAT = 0.1  # s between looks at whether the sweep is to stop
_NOBODY: Final = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN)
"""Why a connection fails where nobody listens; a server that is only busy lets it wait."""


def impossible(plan: Plan, settings: SweepSettings) -> Iterator[str]:
    """Say what can't be done before a cell, with what to write instead."""
    if not settings.reset_cache:
        return
    if not plan.target.url:
        yield f"--reset-cache asks a server, and {plan.target.backend} loads the model here: leave it out"
    for url in plan.target.url:
        if not url.lower().startswith(("http://", "https://")):
            yield f"--reset-cache asks {RESET} over HTTP, which {url} is not: use --between 'COMMAND'"


def prepare(plan: Plan, settings: SweepSettings, first: bool, stopping: Callable[[], bool]) -> None:
    """Do what is asked for before a cell; the pause is left out before the first. Raise UsageError if it fails."""
    if not first:
        _pause(settings.pause, stopping)
    if settings.between and not stopping():
        done = subprocess.run(settings.between, shell=True, capture_output=True, text=True, check=False)
        if done.returncode and not stopping():  # else Ctrl-C may have ended it
            words = " ".join((done.stderr or done.stdout).strip().splitlines()[-1:])
            raise UsageError(f"--between ended with exit code {done.returncode}: {words or 'it said nothing'}")
    if settings.reset_cache and not stopping():
        for url in plan.target.url:
            _reset(url, plan)


def _pause(length: int, stopping: Callable[[], bool]) -> None:
    until = time.monotonic_ns() + length
    while (left := until - time.monotonic_ns()) > 0 and not stopping():
        time.sleep(min(_BEAT, left / SECOND))


def _reset(url: str, plan: Plan) -> None:
    address = replace(resolve(url, plan.tls, _CONNECT), prefix="")
    try:
        answer = ask(address, Call(RESET, b"", headers_of(plan), "POST"), _PATIENCE)
    except (OSError, http.client.HTTPException) as error:
        raise UsageError(f"--reset-cache: {url} gives no HTTP answer to POST {RESET} "
                         f"({error or type(error).__name__})") from None
    if not 200 <= answer.status < 300:
        raise UsageError(f"--reset-cache: {url} answers {answer.status} to POST {RESET}: vLLM has it with "
                         "VLLM_SERVER_DEV_MODE=1; for another server use --between 'COMMAND'")


def gone(plan: Plan, connect: float = _CONNECT, patience: float = _PATIENCE) -> str:
    """Say which server takes no connection any more, and why; "" if all do.

    One where nobody listens has gone. One that does not answer has `patience` (s) to do so, after a load that may have
    filled its backlog; `connect` (s) is for each try.
    """
    for url in plan.target.url:
        full = url if "://" in url else f"grpc://{url}"
        if check_url(full):
            continue
        _, host, port, _ = split_url(full)
        until = time.monotonic() + patience
        while problem := _problem(host, port, connect):
            if isinstance(problem, socket.gaierror) or problem.errno in _NOBODY or time.monotonic() > until:
                return f"{full}: no server answers there ({problem.strerror or problem})"
    return ""


def _problem(host: str, port: int, patience: float) -> OSError | None:
    try:
        with socket.create_connection((host, port), timeout=patience):
            return None
    except OSError as error:
        time.sleep(_BEAT)
        return error
