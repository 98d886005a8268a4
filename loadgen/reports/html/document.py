"""The page of anything that answers a question with tables and charts: an outcome, sentences, tables, charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from loadgen.reports.html.page import Section, Table, render


@dataclass(frozen=True, slots=True)
class Document:
    """What a page shows, in its order; all of it text that is escaped.

    `tone` colours the outcome: ok, bad, warn or "". `facts` are labelled rows of items, `tables` have a heading each.
    """

    name: str  # of the browser's tab
    title: Sequence[str]  # items of the line above the outcome
    word: str  # the outcome, in a word or two
    meaning: str = ""
    tone: str = ""
    aside: str = ""
    sentences: Sequence[str] = ()
    facts: Sequence[tuple[str, Sequence[str]]] = ()
    tables: Sequence[tuple[str, Table]] = ()
    sections: Sequence[Section] = field(default=())
    notes: Sequence[tuple[str, Sequence[str]]] = ()  # facts below the tables


def document_page(document: Document) -> str:
    """Write the page, HTML."""
    return render("document.html", document.sections, document=document)
