"""Runs the mock from its settings: TLS, file limits, truth file, signals."""

from __future__ import annotations

import argparse
import contextlib
import signal
import ssl
import sys
from typing import BinaryIO

from loadgen.mock.options import MockSettings, add_arguments, settings_of
from loadgen.mock.server import Server
from loadgen.mock.service import MockService
from loadgen.types import UsageError


def run(args: argparse.Namespace) -> int:
    """Serve as the parsed arguments say until SIGINT or SIGTERM. Raise UsageError for what can't be had."""
    settings = settings_of(args)
    _raise_file_limit()
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(_open_truth(settings.truth)) if settings.truth else None
        tls = _tls(settings)
        try:
            server = Server(MockService(settings, file), tls)
        except OSError as error:
            wish = f"{settings.host}:{settings.port}"
            raise UsageError(f"can't listen on {wish} ({error.strerror}): write another --port, or 0 for any") from None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.stop())
        print(f"listening on {server.url}", flush=True)
        server.run()
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run `python -m loadgen.mock`, the same server without the rest of the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadgen.mock", description="A server with known truth.")
    add_arguments(parser)
    try:
        return run(parser.parse_args(argv))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _open_truth(path: str) -> BinaryIO:
    try:
        return open(path, "wb", buffering=1 << 20)
    except OSError as error:
        raise UsageError(f"--truth: can't write {path} ({error.strerror}): name another file") from None


def _tls(settings: MockSettings) -> ssl.SSLContext | None:
    if not settings.tls_cert:
        if settings.tls_key:
            raise UsageError("--tls-key needs a certificate: write --tls-cert FILE too")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if settings.dialect == "triton":
        context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key or None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"--tls-cert: can't load {settings.tls_cert} ({error}): name PEM files") from None
    return context


def _raise_file_limit() -> None:
    """Allow as many connections as the system lets us."""
    try:
        import resource
    except ImportError:  # not a Unix
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
