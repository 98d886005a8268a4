"""What a plan with a local model must hold and must not: a model has no address, a server is not loaded here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Final

from loadgen.plan import LocalModel, Plan
from loadgen.types import UsageError

BATCHING: Final = ("static", "continuous")
_SERVER_ONLY: Final = (
    ("target", ("url", "api_key", "headers", "grpc_client", "metrics_url", "wait_ready")),
    ("load", ("connections", "channels")),
    ("timeouts", ("connect", "first_token", "idle", "keep_alive")),
    ("tls", ("ca", "cert", "key", "insecure", "server_name")),
)
"""Settings that a model in a process of its own has no use for."""


def is_local(plan: Plan) -> bool:
    """Say whether the plan's backend is a local model; a backend that can't be found is none."""
    from loadgen.backends import registry  # brings msgspec, which `loadgen --help` has no time for

    try:
        return registry.is_local(plan.target.backend)
    except UsageError:
        return False


def without_server(plan: Plan) -> Iterator[str]:
    """Yield what is wrong with a plan that names no server, if its backend is no local model."""
    from loadgen.backends import registry

    try:
        if not registry.is_local(plan.target.backend):
            yield "no server was given: write --url http://host:8000, or url under [target]"
    except UsageError as error:
        yield str(error)


def rule(plan: Plan) -> Iterator[str]:
    """Yield what is wrong with the settings of a local model, or with those that only a server has."""
    given = [field.name for field in fields(LocalModel) if getattr(plan.model, field.name)]
    if is_local(plan):
        yield from _local(plan)
    elif given:
        flag = f"--{given[0].replace('_', '-')}"
        yield (f"{flag} is about a model that is loaded here, as with --backend hf: {plan.target.backend} is a server, "
               "leave it out")


def _local(plan: Plan) -> Iterator[str]:
    backend, model, default = plan.target.backend, plan.model, Plan()
    for table, names in _SERVER_ONLY:
        for name in names:
            if _value(plan, table, name) != _value(default, table, name):
                yield f"{backend} is a local model, not a server: leave out {name.replace('_', '-')} ([{table}])"
    if model.batching and model.batching not in BATCHING:
        yield f"unknown batching {model.batching!r}: write --batching static or --batching continuous"
    for name in ("max_seq_len", "batch_size"):
        if getattr(model, name) < 0:
            yield f"{name} is {getattr(model, name)}: write a whole number above 0 (--{name.replace('_', '-')})"
    if plan.workload.images and not _takes_images(backend):
        yield f"{backend} takes no images: write --backend {backend}-vl, or leave --images out"
    if plan.workload.images.startswith(("http://", "https://")):
        yield "a model that is loaded here fetches nothing: give --images a file or a directory"
    if plan.load.senders > 1:
        yield "one sender is enough for a model on this machine, and more take its processors: leave --senders out"


def _takes_images(backend: str) -> bool:
    from loadgen.backends import registry

    return bool(getattr(registry.find(backend), "takes_images", True))


def _value(plan: Plan, table: str, name: str) -> Any:
    return getattr(getattr(plan, table), name)
