"""The public names of loadgen, each loaded when first asked for; a plug-in imports from here and nothing deeper."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from loadgen.backends.hooks import Connected
    from loadgen.backends.interface import ServiceBackend
    from loadgen.backends.local.interface import LocalBackend
    from loadgen.outcomes.report import Report
    from loadgen.plan import Plan
    from loadgen.types import Call, Failure, Output, Request, UsageError

__version__: Final = "0.1.0"
__all__ = ["Call", "Connected", "Failure", "LocalBackend", "Output", "Plan", "Report", "Request", "ServiceBackend",
           "UsageError"]

_HOMES: Final = {
    "loadgen.backends.hooks": ("Connected",),
    "loadgen.backends.interface": ("ServiceBackend",),
    "loadgen.backends.local.interface": ("LocalBackend",),
    "loadgen.plan": ("Plan",),
    "loadgen.outcomes.report": ("Report",),
    "loadgen.types": ("Call", "Failure", "Output", "Request", "UsageError"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'loadgen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
