"""The imports of the package, by file and by unit, and the picture of them in docs/architecture.md.

`python tests/support/layers.py` draws the picture again.
"""

from __future__ import annotations

import ast
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
ROOT = REPOSITORY / "loadgen"
PAGE = REPOSITORY / "docs" / "architecture.md"
BEGIN, END = "<!-- layers -->\n", "<!-- /layers -->"

Graph = dict[str, set[str]]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def imports(path: Path) -> set[str]:
    """Return what a file imports: modules of loadgen without `loadgen.`, others by their first name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            within = f"{node.module}.".partition(".")[2]
            found |= {f"{node.module}.{alias.name}" if within + alias.name in FILES else node.module
                      for alias in node.names}
    return {name.removeprefix("loadgen.") if name.startswith("loadgen.") else name.split(".")[0]
            for name in found if name != "loadgen"}


def files() -> Graph:
    """Return what each module imports."""
    return {module: imports(path) for module, path in FILES.items()}


def units(graph: Graph) -> Graph:
    """Return which units each unit imports from; a unit is a folder of loadgen, or a module at its top."""
    found: Graph = {module.split(".")[0]: set() for module in graph}
    for module, names in graph.items():
        unit = module.split(".")[0]
        found[unit] |= {name.split(".")[0] for name in names & FILES.keys()} - {unit}
    return found


def picture(graph: Graph) -> str:
    """Draw units as a Mermaid flowchart, without the arrows that follow from others."""
    below = {unit: _reached(graph, unit) for unit in graph}
    lines = [f"    {unit} --> {other}" for unit, direct in sorted(graph.items()) for other in sorted(direct)
             if not unit.startswith("__") and not any(other in below[between] for between in direct - {other})]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```", ""])


def _reached(graph: Graph, unit: str) -> set[str]:
    seen: set[str] = set()
    todo = [unit]
    while todo:
        for other in graph[todo.pop()] - seen:
            seen.add(other)
            todo.append(other)
    return seen


def drawn() -> str:
    """Return the picture that stands in the page."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(before + BEGIN + picture(units(files())) + END + rest.partition(END)[2])
