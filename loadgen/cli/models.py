"""`loadgen run --models FILE`: every model of a config file, one after the other, each a run of its own."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from loadgen.cli.apart import RunJob, execute, execute_apart
from loadgen.cli.flags import overrides
from loadgen.cli.plans import until_precise
from loadgen.config import models_file, plan_file
from loadgen.exit_codes import INTERRUPTED, OK, worst
from loadgen.plan import Plan
from loadgen.types import UsageError


def jobs_of(args: argparse.Namespace) -> list[RunJob]:
    """Build the plans of all models. Raises UsageError if one of them can't be run."""
    base = plan_file.load(args.plan) if args.plan else Plan()
    flags = overrides(vars(args))
    models = models_file.load(Path(args.models))
    return [_job(model, base, flags, args, len(models)) for model in models]


def _job(model: models_file.ModelEntry, base: Plan, flags: dict[str, object], args: argparse.Namespace,
         count: int) -> RunJob:
    plan = until_precise(plan_file.reveal(model.plan(base, flags)), args)
    try:
        plan_file.check(plan)
    except UsageError as error:
        raise UsageError("\n".join(f"{model.name}: {line}" for line in str(error).splitlines())) from None
    out = plan.out.dir or f"runs/{datetime.datetime.now():%Y-%m-%dT%H-%M-%S}-{model.name}"
    if plan.out.dir and count > 1:
        out = str(Path(out) / model.name)
    return RunJob(model.name, replace(plan, out=replace(plan.out, dir=out)), model.notes, args.json, args.quiet)


def run(args: argparse.Namespace) -> int:
    """Run every model; return the worst of their exit codes. Ctrl-C ends the one that runs, and leaves the rest out."""
    jobs = jobs_of(args)
    for note in (note for job in jobs for note in job.notes):
        print(f"loadgen: note: {note}", file=sys.stderr)
    if len(jobs) == 1:
        return execute(jobs[0])
    return _in_turn(jobs)


def _in_turn(jobs: Sequence[RunJob]) -> int:
    code = OK
    for number, job in enumerate(jobs, 1):
        print(f"loadgen: model {number} of {len(jobs)}: {job.name}", file=sys.stderr, flush=True)
        ended = execute_apart(job)
        code = worst(code, ended)
        if ended == INTERRUPTED:
            break
    return code
