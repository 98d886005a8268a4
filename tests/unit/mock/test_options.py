"""The mock's options, as they are read and as they are documented."""

import argparse
import re
from pathlib import Path

import pytest

from loadgen.cli.mock import add_parser
from loadgen.mock.faults import KINDS
from loadgen.mock.options import add_arguments, settings_of
from loadgen.types import UsageError

PAGE = (Path(__file__).parents[3] / "docs" / "mock.md").read_text()


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_arguments(made)
    return made


def test_defaults() -> None:
    settings = settings_of(parser().parse_args([]))
    assert (settings.port, settings.ttft.at(0), settings.itl.at(0)) == (8000, 200_000_000, 20_000_000)
    assert (settings.slots, settings.tokens_per_event, settings.faults) == (0, 1, ())


def test_every_option_and_fault_is_documented_and_no_other() -> None:
    options = {option for action in parser()._actions for option in action.option_strings if option.startswith("--")}
    assert set(re.findall(r"--[a-z][a-z-]+", PAGE)) == options - {"--help"}
    faults = PAGE.partition("## Faults")[2].partition("## Truth")[0]
    assert all(re.search(rf"\b{kind}\b", faults) for kind in KINDS)
    text = parser().format_help()
    assert all(kind in text for kind in KINDS)


@pytest.mark.parametrize("line", re.findall(r"^    loadgen mock (.*)$", PAGE, re.MULTILINE))
def test_examples_are_understood(line: str) -> None:
    settings = settings_of(parser().parse_args(line.partition("#")[0].split()))
    assert settings.dialect == "openai"


def test_the_command_is_declared() -> None:
    top = argparse.ArgumentParser()
    add_parser(top.add_subparsers())
    args = top.parse_args(["mock", "--ttft", "1ms"])
    assert callable(args.run)
    assert args.ttft == "1ms"


def test_a_wrong_value_names_its_flag() -> None:
    with pytest.raises(UsageError, match="--slots: invalid count '-1'"):
        settings_of(parser().parse_args(["--slots", "-1"]))
