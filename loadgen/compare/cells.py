"""Cells: the runs of both sides that were offered one load, matched by that load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from loadgen.compare.load_identity import Law, law
from loadgen.compare.measured import Measured


@dataclass(frozen=True, slots=True)
class Pair:
    """The runs of one cell; `label` says what tells it from the other cells, "" where there is one."""

    label: str
    base: tuple[Measured, ...]
    new: tuple[Measured, ...]


def match(base: Sequence[Measured], new: Sequence[Measured]) -> tuple[list[Pair], list[str]]:
    """Return the pairs, in the order of the base's runs, and the labels of loads that only one side has.

    Two sides of one load each are one pair, even if the loads differ: what to make of that is decided elsewhere.
    """
    groups = [_by_law(side) for side in (base, new)]
    if len(groups[0]) == len(groups[1]) == 1:
        return [Pair("", tuple(base), tuple(new))], []
    laws = {key: law(runs[0].report) for group in groups for key, runs in group.items()}
    labels = _labels(laws)
    pairs = [Pair(labels[key], tuple(runs), tuple(groups[1][key])) for key, runs in groups[0].items()
             if key in groups[1]]
    alone = [labels[key] for key in laws if (key in groups[0]) != (key in groups[1])]
    return pairs, alone


def _by_law(side: Sequence[Measured]) -> dict[bytes, list[Measured]]:
    groups: dict[bytes, list[Measured]] = {}
    for run in side:
        groups.setdefault(msgspec.json.encode(law(run.report), order="deterministic"), []).append(run)
    return groups


def _labels(laws: Mapping[bytes, Law]) -> dict[bytes, str]:
    """Name each load by what is not the same in all of them: "rate 4, input_tokens 512"."""
    names = dict.fromkeys(name for law in laws.values() for name in law)
    varying = [name for name in names if len({str(law.get(name)) for law in laws.values()}) > 1]
    return {key: ", ".join(f"{name} {law.get(name)}" for name in varying) for key, law in laws.items()}
