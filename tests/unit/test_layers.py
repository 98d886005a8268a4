"""The order of the units: each imports only from those above it in ORDER, and no file imports itself by a detour."""

import ast
import sys
from graphlib import CycleError, TopologicalSorter

import pytest

from support import layers
from support.layers import FILES

ORDER = (
    "types", "exit_codes", "suggest", "prometheus_text", "clock", "units", "metrics", "arrivals", "plan", "redact",
    "schedule", "stats", "outcomes", "slo",
    "workload", "protocols", "backends", "recorder", "checks", "figures", "capacity", "summary", "reports",
    "config", "engine", "local", "preflight", "run_files", "run", "compare", "sweep", "mock", "cli", "__init__",
    "__main__",
)
"""Every unit of the package: a module at its top or a folder."""
BANNED = {
    "engine": {"numpy", "pyarrow", "rich"},
    "protocols": {"numpy", "pyarrow", "rich"},
    "backends": {"clock", "time", "socket"},
}
"""What no file of a unit imports: senders stay light, a service backend sees no clock and no socket."""
DATA_OF_REPORTS = {"outcomes", "exit_codes", "metrics", "prometheus_text", "checks.table", "figures", "capacity",
                   "summary.run_data", "types", "units", "stats"}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return layers.files()


@pytest.mark.parametrize("module", FILES)
def test_a_module_imports_only_units_above_its_own(module: str, graph: dict[str, set[str]]) -> None:
    unit = module.split(".")[0]
    assert unit in ORDER, f"{module}: give its unit a place in ORDER"
    above = ORDER[:ORDER.index(unit) + 1]
    for name in graph[module] & FILES.keys():
        assert name.split(".")[0] in above, f"{module} -> {name}"


@pytest.mark.parametrize("unit", BANNED)
def test_a_unit_imports_nothing_that_is_banned_there(unit: str, graph: dict[str, set[str]]) -> None:
    for module, names in graph.items():
        local = module.startswith("backends.local.")  # a model in a process of its own stamps its tokens itself
        if module.split(".")[0] == unit and not local:
            assert not names & BANNED[unit], f"{module} -> {names & BANNED[unit]}"


def test_reports_import_data_only(graph: dict[str, set[str]]) -> None:
    for module, names in graph.items():
        if module.split(".")[0] == "reports":
            for name in names & FILES.keys():
                allowed = {name, name.split(".")[0]} & (DATA_OF_REPORTS | {"reports"})
                assert allowed, f"{module} -> {name}"


def test_no_file_imports_itself_by_a_detour(graph: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter({module: names & FILES.keys() for module, names in graph.items()}).prepare()
    except CycleError as error:
        raise AssertionError(" <- ".join(error.args[1])) from None


def test_a_leaf_needs_the_standard_library_and_numpy_only(graph: dict[str, set[str]]) -> None:
    for module, names in graph.items():
        if module in ORDER[:ORDER.index("slo") + 1]:
            outside = names - FILES.keys() - sys.stdlib_module_names - {"numpy"}
            assert not outside, f"{module} -> {outside}"


def test_no_relative_imports() -> None:
    for module, path in FILES.items():
        tree = ast.parse(path.read_text())
        assert not [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level], module


def test_units_are_few_and_so_are_the_arrows_between_them(graph: dict[str, set[str]]) -> None:
    units = layers.units(graph)
    assert len([unit for unit in units if (layers.ROOT / f"{unit}.py").exists()]) <= 13
    assert len(units) <= 36
    assert sum(map(len, units.values())) <= 200


def test_the_picture_in_the_docs_is_that_of_the_imports(graph: dict[str, set[str]]) -> None:
    assert layers.drawn() == layers.picture(layers.units(graph)), "draw it again: python tests/support/layers.py"
