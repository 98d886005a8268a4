"""From arguments to the Plan that they ask for, in one way for every command that makes runs."""

from __future__ import annotations

import argparse

from loadgen.cli.flags import overrides
from loadgen.plan import Plan


def plan_from(args: argparse.Namespace) -> Plan:
    """Return the plan of the file, if one is named, with the flags and the key of the environment. Nothing is checked.
    """
    from loadgen.config import plan_file

    plan = plan_file.load(args.plan) if args.plan else Plan()
    return plan_file.reveal(plan_file.override(plan, overrides(vars(args))))


def goes_on(args: argparse.Namespace) -> bool:
    """Say whether runs are to go on until they are precise: --precision was given, and no --max-duration says how long.
    """
    return "judgement.precision" in vars(args) and "load.max_duration" not in vars(args)


def until_precise(plan: Plan, args: argparse.Namespace) -> Plan:
    """Return the plan with the longest window that its run may go on to, if it is to go on until it is precise."""
    if not goes_on(args):
        return plan
    from loadgen.run.sequential import extended  # brings numpy

    return extended(plan)
