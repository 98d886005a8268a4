"""The RunRecord: the plan of a run and what was decided before its clock started; plan.json holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from loadgen.plan import Plan
from loadgen.types import Window


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the plan left open and was decided for one run."""

    window: Window
    schedule: Mapping[str, Any] = field(default_factory=dict)  # the law and its parameters, count, sha256
    provenance: Mapping[str, Any] = field(default_factory=dict)  # versions, machine, model, workload, server
    stamps: str = ""  # "model": the process of a local model stamps the tokens; "": the kernel or the sender
    length: str = ""  # of answers: forced, asked or not forcible; "" in a plan.json that does not say


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it was set up: everything that its files are read by, besides rows and health lines."""

    plan: Plan
    resolved: Resolved

    @property
    def opens_each(self) -> bool:
        """Whether each request opens a connection of its own, on purpose."""
        return self.plan.load.connections == "new"
