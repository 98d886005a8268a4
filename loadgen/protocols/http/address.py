"""What a URL means: scheme, authority and the address to connect to, resolved once before the clock starts."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from loadgen.plan import Tls
from loadgen.types import UsageError

_PORTS = {"http": 80, "https": 443, "grpc": 80, "grpcs": 443}
_OVER_TLS = ("https", "grpcs")


@dataclass(frozen=True, slots=True)
class Address:
    """A server to connect to. `sockaddr` is what socket.connect takes for `family`."""

    family: int
    sockaddr: tuple[Any, ...]
    authority: str  # the Host header
    prefix: str = ""  # path of the URL, put before the path of each call
    server_name: str = ""  # TLS server name; "" is plain HTTP
    tls: Tls = field(default_factory=Tls)


def split_url(url: str) -> tuple[str, str, int, str]:
    """Part a URL into scheme, host, port and path prefix. Raises UsageError if it is none."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS:
        raise UsageError(f"url {url!r}: write http://host:port or https://host:port")
    try:
        port = parts.port or _PORTS[parts.scheme]
    except ValueError as error:
        raise UsageError(f"url {url!r}: {error}") from None
    if not parts.hostname:
        raise UsageError(f"url {url!r} names no host: write http://host:port")
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/")


def resolve(url: str, tls: Tls, connect_timeout: float) -> Address:
    """Resolve the host and pick the first of its addresses that accepts a connection.

    Raises UsageError with the system's reason if the name is unknown or nothing accepts.
    """
    scheme, host, port, prefix = split_url(url)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise UsageError(f"{url}: the host name {host!r} is not known ({error.strerror}): check --url") from None
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    problem: OSError | None = None
    for family, _, _, _, sockaddr in found:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.settimeout(connect_timeout)
                probe.connect(sockaddr)
        except OSError as error:
            problem = error
            continue
        server_name = (tls.server_name or host) if scheme in _OVER_TLS else ""
        return Address(family, tuple(sockaddr), authority, prefix, server_name, tls)
    reason = (problem.strerror or str(problem)) if problem else "it has no address"
    raise UsageError(f"{url}: no server answers there ({reason}): is it started, and is --url right? "
                     "--wait-ready 5m waits for it")


def tls_context(tls: Tls, protocol: str = "http/1.1") -> ssl.SSLContext:
    """Make the client context for a target that speaks `protocol`, by its name in ALPN.

    Raises UsageError if a file of it can't be used.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca or None)
        if tls.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.cert:
            context.load_cert_chain(tls.cert, tls.key or None)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(name for name in (tls.ca, tls.cert, tls.key) if name)
        raise UsageError(f"tls: can't use {files}: {error}") from None
    context.set_alpn_protocols([protocol])
    return context
