"""The pages of docs/ against the program: every flag is documented, every documented flag exists, examples parse."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import get_type_hints

import pytest

from benchmarks.demo import closing
from loadgen.cli import ab, compare, main
from loadgen.cli.formats import FORMATS, format_of
from loadgen.cli.run import plan_of
from loadgen.cli.sweep import spec_of
from loadgen.config import plan_file

ROOT = Path(__file__).parents[3]
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
EXAMPLE = re.compile(r"^(?:\$ )?loadgen .*$", re.MULTILINE)
PAGES = ("run", "sweep", "report", "compare", "ab", "mock", "backends")
ALSO = {"ab": ("run", "compare"), "sweep": ("run",)}
"""Pages that have the flags which a command shares with others."""


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def flags_of(command: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    assert main.main([command, "--help"]) == 0
    return set(FLAG.findall(capsys.readouterr().out)) - {"--help"}


@pytest.mark.parametrize("command", PAGES)
def test_each_flag_is_documented(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    pages = [command, *ALSO.get(command, ())]
    assert flags_of(command, capsys) <= set(FLAG.findall("".join(map(page, pages))))


@pytest.mark.parametrize("command", PAGES)
def test_each_documented_flag_exists(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    known = set().union(*(flags_of(name, capsys) for name in PAGES))
    assert set(FLAG.findall(page(command))) - {"--help"} <= known


@pytest.mark.parametrize("name", ["README", "CONTRIBUTING", *(f"docs/{file.stem}" for file in
                                                              sorted((ROOT / "docs").glob("*.md")))])
def test_no_page_names_a_flag_that_is_not_there(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    known = set().union(*(flags_of(command, capsys) for command in PAGES))
    text = (ROOT / f"{name}.md").read_text(encoding="utf-8")
    ours = {flag for line in text.splitlines() if "loadgen" in line for flag in FLAG.findall(line)}
    assert ours - {"--help", "--version"} <= known


def examples() -> list[str]:
    pages = ("run", "report", "sweep", "compare", "ab", "formats", "prometheus")
    fenced = re.findall(r"```sh\n(.*?)```", "".join(map(page, pages)), re.DOTALL)
    return [line for block in fenced for line in EXAMPLE.findall(block)]


@pytest.mark.parametrize("line", examples())
def test_each_example_parses(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.toml").write_text(re.findall(r"```toml\n(.*?)```", page("plan"), re.DOTALL)[0])
    args = main.parser().parse_args(shlex.split(line)[1:])
    if args.command == "run":
        plan_of(args)
    elif args.command == "ab":
        ab.plan_of(args)
    elif args.command == "compare":
        compare.sides_of(args)
        compare.question_of(args)
    elif args.command == "sweep" and not args.resume:
        spec_of(args)
    elif args.command == "report" and args.format:
        format_of(args.format)


def test_the_page_of_formats_has_each_of_them_and_no_other() -> None:
    assert re.findall(r"^\| `([\w-]+)` \| .* \| .* \|$", page("formats"), re.MULTILINE) == [
        format.name for format in FORMATS]


def test_there_are_examples() -> None:
    assert len(examples()) >= 7


def test_the_plan_page_names_every_key_and_no_other() -> None:
    rows = dict(re.findall(r"^\| `\[(\w+)\]` \| (.*) \|$", page("plan"), re.MULTILINE))
    documented = {table: re.findall(r"`(\w+)`", keys) for table, keys in rows.items()}
    assert documented == {table: list(get_type_hints(kind)) for table, kind in plan_file.TABLES.items()}


def test_the_plan_of_the_page_can_be_run() -> None:
    text = re.findall(r"```toml\n(.*?)```", page("plan"), re.DOTALL)[0]
    plan_file.check(plan_file.from_dict(tomllib.loads(text)))


def test_the_demo_is_a_command_line_that_parses() -> None:
    demo = (ROOT / "benchmarks" / "demo.py").read_text(encoding="utf-8")
    assert set(FLAG.findall(demo)) <= set(FLAG.findall(page("run") + page("mock")))


@pytest.mark.parametrize("code", [0, 1, 3])
def test_the_demo_ends_with_its_page_and_explains_an_invalid_run(code: int) -> None:
    lines = closing(Path("runs/a b/report.html"), code)
    assert lines[-1].endswith((Path.cwd() / "runs/a b/report.html").as_uri())
    assert lines[0].startswith("INVALID") == (code == 3)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", *(f"docs/{file.name}" for file in
                                                                     sorted((ROOT / "docs").glob("*.md")))])
def test_no_link_is_broken(name: str) -> None:
    path = ROOT / name
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target
