"""Walks the imports of the package and asserts that layers only look down."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "loadgen"
LEVELS = {
    0: ("types", "plan", "clock", "schedule", "histogram", "stats", "ranks", "units", "phases", "secrets"),
    1: ("protocols", "engine", "workload", "mock"),
    2: ("backends", "rows", "recorder", "checks", "slo", "report", "summary", "timelines", "store", "result", "figures",
        "comparison", "compare", "capacity"),
    3: ("reports",),
    4: ("cli", "run", "planfile", "plancheck", "localcheck", "control", "preflight", "prepare", "ledger", "retry",
        "models_file", "models_entry", "models_local", "triton", "local", "conductor", "progress", "exposition",
        "sides", "sweep", "meeting", "readback", "looks", "apart", "__init__", "__main__"),
}
LEVEL = {name: level for level, names in LEVELS.items() for name in names}
DATA_OF_REPORTS = ("report", "result", "figures", "comparison", "capacity")
SENDER_MUST_NOT_IMPORT = ("torch", "transformers", "pyarrow", "plotly", "rich", "aiohttp", "numpy")


def module_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module == "loadgen":
                found += [f"loadgen.{alias.name}" for alias in node.names]
            else:
                found.append(node.module)
    return found


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_module_imports_only_its_own_level_and_below(path: Path) -> None:
    module = module_of(path)
    package = module.split(".")[0]
    assert package in LEVEL, f"{module}: give it a level in this test"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "loadgen" and len(parts) > 1:
            other = parts[1]
            same = other == package
            assert same or LEVEL[other] < LEVEL[package] or (LEVEL[other] == LEVEL[package]), f"{module} -> {name}"
            if LEVEL[package] == 1 and not same:
                assert other in (*LEVELS[0], "protocols"), f"{module} -> {name}"
            if package == "reports" and not same:
                assert LEVEL[other] < 2 or other in DATA_OF_REPORTS, f"{module} -> {name}"
        elif LEVEL[package] == 0 and parts[0] != "loadgen":
            assert parts[0] in sys.stdlib_module_names or parts[0] == "numpy", f"{module} -> {name}"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_no_relative_imports(path: Path) -> None:
    assert not [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom) and n.level]
