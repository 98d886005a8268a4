"""The dashboard: every expression is PromQL and speaks of what the exposition has; panels don't overlap."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import promql_parser
import pytest

from loadgen.cli import main
from loadgen.cli.grafana import dashboard
from loadgen.reports.export.prometheus import expose
from loadgen.run.metrics_server import snapshot
from support.made_runs import S, record_of, recorded, run_of, window_of
from support.prometheus_text import PROGRESS, parsed

DASHBOARD: dict[str, Any] = json.loads(dashboard())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]] + [
    ("annotation", entry["expr"]) for entry in DASHBOARD["annotations"]["list"]]
MACROS = {"$__rate_interval": "30s", "$__interval": "5s", "$instance": "a"}


def exposed() -> dict[str, set[str]]:
    """Every name of a sample, and the labels that it has there (and those that a scrape adds)."""
    rows = run_of(50.0, 5 * S)
    record = record_of()
    text = expose(snapshot(recorded(rows, window_of(rows, 5 * S)), record, PROGRESS))
    found: dict[str, set[str]] = {}
    for family in parsed(text).values():
        for sample in family.samples:
            found.setdefault(sample.name, {"instance", "job"}).update(sample.labels)
    return found


EXPOSED = exposed()


def selectors(node: Any) -> list[Any]:
    """Return every vector selector of a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        return [node]
    children = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "vector_selector", "param")]
    children += list(getattr(node, "args", None) or ())
    return [found for child in children if child is not None for found in selectors(child)]


def parse(expression: str) -> Any:
    for macro, written in MACROS.items():
        expression = expression.replace(macro, written)
    assert "$" not in expression
    return promql_parser.parse(expression)


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_an_expression_is_promql_over_what_is_exposed(title: str, expression: str) -> None:
    found = selectors(parse(expression))
    assert len(found) == len(re.findall(r"\bloadgen_\w+", expression)) > 0
    for selector in found:
        assert selector.name in EXPOSED, f"{title}: {selector.name}"
        assert {matcher.name for matcher in selector.matchers.matchers} <= EXPOSED[selector.name], title
    for labels in re.findall(r"\bby \(([^)]*)\)", expression):
        assert {label.strip() for label in labels.split(",")} <= set.union(*(EXPOSED[one.name] for one in found))


def test_the_check_finds_what_is_wrong() -> None:
    with pytest.raises(ValueError):
        parse("sum by (le (rate(loadgen_ttft_seconds_bucket[5s])))")
    (selector,) = selectors(parse("histogram_quantile(0.9, sum by (le) (rate(loadgen_nothing_bucket[5s])))"))
    assert selector.name not in EXPOSED


def test_every_histogram_counter_and_gauge_is_looked_at() -> None:
    used = {selector.name for _, expression in EXPRESSIONS for selector in selectors(parse(expression))}
    beside = {"loadgen_target_info", "loadgen_elapsed_seconds"}  # the first makes the list of runs
    missing = {name for name in EXPOSED if not name.endswith(("_sum", "_count"))} - used - beside
    assert missing == set()


def test_only_classes_of_failures_that_were_seen_are_drawn() -> None:
    (expression,) = [one for title, one in EXPRESSIONS if title == "Failures by class"]
    assert expression.endswith(" > 0")


def test_percentiles_come_from_buckets_alone() -> None:
    for _, expression in EXPRESSIONS:
        if "histogram_quantile" in expression:
            assert re.fullmatch(r"histogram_quantile\(0\.\d+, sum by \(le\) \(rate\(\w+_bucket\{.*\}\[.*\]\)\)\)",
                                expression)


def test_panels_fit_and_do_not_overlap() -> None:
    for panel in DASHBOARD["panels"]:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in itertools.combinations([panel["gridPos"] for panel in DASHBOARD["panels"]], 2):
        apart = (one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
                 or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"])
        assert apart, (one, other)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_each_panel_asks_the_chosen_source_and_the_chosen_runs() -> None:
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            assert target["expr"].count('instance=~"$instance"') == len(re.findall(r"\bloadgen_\w+", target["expr"]))
    assert {panel["type"] for panel in PANELS} == {"stat", "timeseries", "heatmap"}
    variable = next(one for one in DASHBOARD["templating"]["list"] if one["name"] == "instance")
    assert variable["query"]["query"] == "label_values(loadgen_target_info, instance)"


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["grafana"]) == 0
    assert json.loads(capsys.readouterr().out) == DASHBOARD
