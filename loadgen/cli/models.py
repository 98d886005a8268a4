"""`loadgen run --models FILE`: every model of a config file, one after the other, each a run of its own."""

from __future__ import annotations

import argparse
import datetime
import multiprocessing
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Final

from loadgen import models_file, planfile
from loadgen.cli.flags import overrides
from loadgen.plan import Plan
from loadgen.types import UsageError

WORSE: Final = (0, 1, 3, 2, 130)
"""Exit codes, from the best to the worst."""


@dataclass(frozen=True, slots=True)
class Job:
    """One model to run, and how to show it."""

    name: str
    plan: Plan
    notes: tuple[str, ...]
    json: bool
    quiet: bool


def jobs_of(args: argparse.Namespace) -> list[Job]:
    """Build the plans of all models. Raises UsageError if one of them can't be run."""
    base = planfile.load(args.plan) if args.plan else Plan()
    flags = overrides(vars(args))
    models = models_file.load(Path(args.models))
    return [_job(model, base, flags, args, len(models)) for model in models]


def _job(model: models_file.Model, base: Plan, flags: dict[str, object], args: argparse.Namespace, count: int) -> Job:
    plan = planfile.reveal(model.plan(base, flags))
    try:
        planfile.check(plan)
    except UsageError as error:
        raise UsageError("\n".join(f"{model.name}: {line}" for line in str(error).splitlines())) from None
    out = plan.out.dir or f"runs/{datetime.datetime.now():%Y-%m-%dT%H-%M-%S}-{model.name}"
    if plan.out.dir and count > 1:
        out = str(Path(out) / model.name)
    return Job(model.name, replace(plan, out=replace(plan.out, dir=out)), model.notes, args.json, args.quiet)


def run(args: argparse.Namespace) -> int:
    """Run every model; return the worst of their exit codes. Ctrl-C ends the one that runs, and leaves the rest out."""
    jobs = jobs_of(args)
    for note in (note for job in jobs for note in job.notes):
        print(f"loadgen: note: {note}", file=sys.stderr)
    if len(jobs) == 1:
        return execute(jobs[0])
    return _in_turn(jobs)


def execute(job: Job) -> int:
    """Run one model, print its table, and return its exit code."""
    from loadgen.cli.page import PAGE, add_page
    from loadgen.cli.show import show
    from loadgen.reports.live import choose
    from loadgen.run import execute

    report, directory = execute(job.plan, choose(sys.stderr, quiet=job.quiet))
    show(report, directory, as_json=job.json, quiet=job.quiet, coming=PAGE)
    add_page(report, directory)
    return report.verdict.exit_code


def _in_turn(jobs: Sequence[Job]) -> int:
    """Run each in a process of its own: a run lowers its own priority, which the next must not inherit."""
    code = 0
    for number, job in enumerate(jobs, 1):
        print(f"loadgen: model {number} of {len(jobs)}: {job.name}", file=sys.stderr, flush=True)
        process = multiprocessing.get_context("spawn").Process(target=_in_child, args=(job,))

        def forward(signal_number: int, frame: FrameType | None, process: multiprocessing.Process = process,  # type: ignore[assignment]
                    ) -> None:
            if signal_number == signal.SIGTERM:  # the terminal sends SIGINT to the child itself
                process.terminate()

        before = {each: signal.signal(each, forward) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            process.start()
            process.join()
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
        ended = process.exitcode if process.exitcode in WORSE else 3  # killed: nothing of it is to be believed
        code = max(code, ended, key=WORSE.index)
        if ended == 130:
            break
    return code


def _in_child(job: Job) -> None:
    try:
        sys.exit(execute(job))
    except UsageError as error:
        for line in str(error).splitlines():
            print(f"loadgen: error: {job.name}: {line}", file=sys.stderr)
        sys.exit(2)
