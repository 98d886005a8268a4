"""From what a user asks to a Spec that can be run: axes read, defaults filled in, contradictions refused."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from loadgen import slo
from loadgen.capacity.model import Value
from loadgen.config import plan_file
from loadgen.plan import Plan
from loadgen.suggest import did_you_mean
from loadgen.sweep import hooks
from loadgen.sweep.axes import MOST, combinations, parse_lengths, parse_numbers
from loadgen.sweep.cells import has_length, least_sample, wanted
from loadgen.sweep.spec import SEARCHES, Spec, SweepSettings
from loadgen.types import UsageError

START: Final = 1.0
DEPTH: Final = 64
"""A search goes down to this part of where it begins, unless told otherwise."""
HOUR: Final = 3600.0
"""It goes no further down by itself than where the least sample takes this long, in seconds."""
TOP: Final = {"rate": 1e6, "concurrency": 1e5}

Given = Mapping[str, Sequence[str] | None]


def spec_of(plan: Plan, given: Given, goal: str = "grid", settings: Mapping[str, Any] | None = None) -> Spec:
    """Build the Spec. `given` holds the texts of each axis flag, None where it was not given.

    Raise UsageError with everything that is wrong.
    """
    if goal not in ("grid", "repeat", *SEARCHES):
        raise UsageError(f"unknown --find {goal!r}{did_you_mean(goal, SEARCHES)}; there are {', '.join(SEARCHES)}")
    idle = list(without_effect(goal, settings or {}))
    if idle:
        raise UsageError("\n".join(idle))
    axes = {name: values for name, values in _read(given).items() if values}
    if plan.load.load_shape is not None and (goal in SEARCHES or axes.keys() & {"rate", "concurrency"}):
        raise UsageError("a sweep decides the rate or the concurrency, and so does --load-shape: leave it out")
    axes.setdefault("backend", (plan.target.backend,))
    if "url" not in axes and plan.target.url:
        axes["url"] = (",".join(plan.target.url),)
    made = _search(plan, axes, goal, dict(settings or {})) if goal in SEARCHES else _grid(plan, axes, goal, settings)
    check(made)
    return made


def _read(given: Given) -> dict[str, tuple[Value, ...]]:
    found: dict[str, tuple[Value, ...]] = {}
    for name, texts in given.items():
        if not texts:
            continue
        flag = f"--{name.replace('_', '-')}"
        try:
            if name in ("rate", "concurrency"):
                found[name] = tuple(dict.fromkeys(value for text in texts
                                                  for value in parse_numbers(text, name == "concurrency")))
            elif name in ("input_tokens", "output_tokens"):
                found[name] = parse_lengths(texts)
            elif name == "backend":
                found[name] = tuple(dict.fromkeys(part for text in texts for part in text.split(",")))
            else:
                found[name] = tuple(dict.fromkeys(texts))
        except UsageError as error:
            raise UsageError(f"{flag}: {error}") from None
    return found


def _grid(plan: Plan, axes: dict[str, tuple[Value, ...]], goal: str, settings: Mapping[str, Any] | None) -> Spec:
    if "rate" in axes and "concurrency" in axes:
        raise UsageError("--rate offers requests on a timeline, --concurrency waits for answers: give one of the two")
    if "rate" not in axes and "concurrency" not in axes:
        name = "concurrency" if plan.load.concurrency else "rate"
        value = plan.load.concurrency or plan.load.rate
        axes |= {name: (float(value),)} if value else {}
    made = SweepSettings(**(settings or {}))
    if made.repeat > MOST:
        raise UsageError(f"--repeat {made.repeat} is a lot: write at most {MOST}")
    if made.repeat > 1:
        axes["run"] = tuple(float(number + 1) for number in range(made.repeat))
    return _common(Spec(plan, goal, axes, made))


def _search(plan: Plan, axes: dict[str, tuple[Value, ...]], goal: str, settings: dict[str, Any]) -> Spec:
    axis = "concurrency" if goal == "max-concurrency" else "rate"
    other = "rate" if axis == "concurrency" else "concurrency"
    if other in axes or (plan.load.rate if other == "rate" else plan.load.concurrency and "rate" not in axes):
        raise UsageError(f"--find {goal} decides the {axis}, and --{other} was given: leave it out")
    hints = axes.pop(axis, None) or (plan.load.rate if axis == "rate" else plan.load.concurrency,)
    if len(hints) > 1:
        raise UsageError(f"--find {goal} decides the {axis}: give one --{axis} as where to begin, or leave --find out")
    if settings.get("repeat", 1) > 1:
        raise UsageError(f"--find {goal} repeats what it has to: leave --repeat out")
    start = float(hints[0] or START)
    lowest = settings.get("lowest") or (1.0 if axis == "concurrency" else _lowest(plan, start))
    highest = settings.get("highest") or TOP[axis]
    for name, bound in (("lowest", lowest), ("highest", highest)):
        if axis == "concurrency" and bound != int(bound):
            raise UsageError(f"--{name} {bound:g} is not a whole number of requests: write one")
    if not lowest <= start <= highest:
        raise UsageError(f"the search begins at {start:g}, which is not between --lowest {lowest:g} and --highest "
                         f"{highest:g}: give --{axis} to begin elsewhere")
    plan = replace(plan, load=replace(plan.load, rate=0.0, concurrency=0))
    return _common(Spec(plan, goal, axes, SweepSettings(**{**settings, "start": start, "lowest": lowest,
                                                      "highest": highest})))


def _lowest(plan: Plan, start: float) -> float:
    """Return where a search for a rate ends that finds nothing, unless told otherwise."""
    slowest = 0.0 if has_length(plan) else float(f"{least_sample(plan) / HOUR:.3g}")
    return min(start, max(start / DEPTH, slowest))


def _common(spec: Spec) -> Spec:
    """Put an axis with one value into the plan; those with several, and the load, stay axes."""
    flags: dict[str, Any] = {}
    paths = {"backend": "target.backend", "url": "target.url", "input_tokens": "workload.input_tokens",
             "output_tokens": "workload.output_tokens"}
    axes = dict(spec.axes)
    for axis, path in paths.items():
        values = axes.get(axis, ())
        if len(values) == 1:
            flags[path] = tuple(str(values[0]).split(",")) if axis == "url" else str(values[0])
            del axes[axis]
    plan = plan_file.override(spec.plan, flags)
    return replace(spec, plan=replace(plan, out=replace(plan.out, dir="")), axes=axes)


def check(spec: Spec) -> None:
    """Refuse what can't be run, before anything is."""
    wrong = list(_contradictions(spec))
    if wrong:
        raise UsageError("\n".join(wrong))
    if sum(1 for _ in islice(combinations(spec.axes), MOST + 1)) > MOST:
        raise UsageError(f"these axes have more than {MOST} combinations, each a run: give fewer values")
    said: dict[str, None] = {}
    places = {name: values[:1] if name == "run" else values for name, values in spec.axes.items()}
    for place in list(combinations(places)) or [{}]:
        at = {**place, spec.load_axis: spec.settings.start} if spec.searches else place
        plan = wanted(spec, Path(), 1, at).plan
        try:
            plan_file.check(plan)
            said |= dict.fromkeys(hooks.impossible(plan, spec.settings))
        except UsageError as error:
            said |= dict.fromkeys(str(error).splitlines())
    if said:
        raise UsageError("\n".join(said))


def without_effect(goal: str, given: Collection[str], target_rate: float | None = None) -> Iterator[str]:
    """Say which of the settings that were given would change nothing; `target_rate` is one that was set before."""
    if goal not in SEARCHES:
        for name in _OF_SEARCHES:
            if name in given:
                flag = "--max-probes" if name == "most" else f"--{name.replace('_', '-')}"
                yield (f"{flag} goes with a search, and no load is searched for here: add --find max-rate, "
                       "or leave it out")
    elif "headroom" in given and "target_rate" not in given and not target_rate:
        yield "--headroom is added to the replicas that carry a rate: add --target-rate N, or leave it out"


_OF_SEARCHES: Final = ("lowest", "highest", "resolution", "most", "target_rate", "headroom", "price_per_hour")


def _contradictions(spec: Spec) -> Iterator[str]:
    if not spec.searches:
        return
    gates = slo.expand(spec.plan.judgement.slo)
    if not gates and spec.goal != "knee":
        yield (f"--find {spec.goal} needs an objective: add --slo 'ttft.p99<500ms'"
               + ("" if spec.goal == "goodput" else ", or look for the --find knee"))
    rising = [one.text for one in gates if one.unit == "per_second"]
    if rising and spec.goal != "goodput":
        yield (f"--slo '{rising[0]}' asks for a rate, which is missed where the load is small: with --find give "
               "limits on times and errors only")
    if spec.goal == "goodput" and not any(one.per_request for one in gates):
        yield "goodput counts requests that met objectives: add one on a time of a request, --slo 'ttft.p99<500ms'"
    if spec.plan.judgement.lax:
        yield "--lax takes what no interval has decided for a number, which bounds no answer: leave it out with --find"
    if spec.goal == "goodput" and spec.plan.judgement.abort_on_fail:
        yield ("--abort-on-fail ends runs before their queue has built, and goodput is what is left then: leave it out "
               "with --goodput")
    if not 0.001 <= spec.settings.resolution <= 1:
        yield f"--resolution {spec.settings.resolution:.2%} can't be aimed at: write 0.1% to 100%"
