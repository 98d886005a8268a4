"""The page: texts, tables and charts as one HTML file that works offline and lets nothing in it run but ours."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from loadgen.reports.format import clean
from loadgen.reports.html.chart import Chart

_HERE: Final = "loadgen.reports.html"
_NUMBERS: Final = {"allow_nan": False, "separators": (",", ":")}


@dataclass(frozen=True, slots=True)
class Section:
    """Charts under a heading, two beside each other where there is room."""

    title: str
    charts: Sequence[Chart]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells under columns; `numbers` are the columns that align right.

    `marks` has ok, bad, warn or "" for each row, which colours its cell in the column `marked`.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()
    marks: Sequence[str] = ()
    marked: int = 1


def render(template: str, sections: Sequence[Section], **values: Any) -> str:
    """Render a template that extends page.html. Every value is text and is escaped; nothing is markup.

    The policy in the page's head lets a browser run the two scripts that are named by their hash, and fetch nothing.
    """
    shown = [section for section in sections if section.charts]
    scripts = (_library(), _text("draw.js")) if shown else ()
    page = _environment().get_template(template)
    return page.render(sections=shown, scripts=[Markup(script) for script in scripts], style=Markup(_text("style.css")),
                       policy=_policy(scripts), **values)


@cache
def _environment() -> Environment:
    environment = Environment(loader=PackageLoader(_HERE), autoescape=True, undefined=StrictUndefined,
                              finalize=_finalize, trim_blocks=True, lstrip_blocks=True)
    environment.policies["json.dumps_kwargs"] = _NUMBERS  # tojson escapes what could end a script
    return environment


def _finalize(value: Any) -> Any:
    """Take out of every text what no page can hold: control characters and halves of a surrogate pair."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _policy(scripts: Sequence[str]) -> str:
    """Return a Content-Security-Policy that allows these scripts and no other, and no address at all."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
                      for script in scripts)
    directives: Mapping[str, str] = {
        "default-src": "'none'", "script-src": hashes or "'none'", "style-src": "'unsafe-inline'",
        "img-src": "data: blob:", "base-uri": "'none'", "form-action": "'none'"}
    return "; ".join(f"{name} {value}" for name, value in directives.items())


@cache
def _text(name: str) -> str:
    return files(_HERE).joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _library() -> str:
    """Return plotly.js as the package `plotly` brings it, without importing that package."""
    text = files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")
    return text.replace("</script", "<\\/script")
