"""An argument parser that raises UsageError, names the flag that was probably meant, and guesses nothing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from loadgen.suggest import did_you_mean
from loadgen.types import UsageError


class Parser(argparse.ArgumentParser):
    """argparse with our manners; subparsers of one are of this class too."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("allow_abbrev", False)
        settings.setdefault("formatter_class", Formatter)
        super().__init__(**settings)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with argparse's message, and where help is to be had."""
        raise UsageError(f"{message} ({self.prog} --help)")

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse as argparse does, but raise UsageError for what no flag of this parser takes."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            word = unknown[0].partition("=")[0]
            if word.startswith("-"):
                flags = list(self._option_string_actions)
                raise UsageError(f"unknown flag {word}{did_you_mean(word, flags)} ({self.prog} --help lists all)")
            raise UsageError(f"unexpected argument {word!r} ({self.prog} --help)")
        return found, unknown


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help with room for the flags' names, and an epilog that keeps its lines."""

    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, **{"max_help_position": 34, "width": 110, **settings})
