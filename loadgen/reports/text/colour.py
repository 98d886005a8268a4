"""Colour for the plain text of reports/text/run_text.py: it adds nothing that the text does not say by itself."""

from __future__ import annotations

import re
from typing import Final

from rich.text import Text

_STYLES: Final = (
    (re.compile(r"^  slo .*\b(FAIL|UNDECIDED)\b", re.MULTILINE), "bold red"),
    (re.compile(r"^  slo .*\b(pass)\b", re.MULTILINE), "green"),
    (re.compile(r"^  (failure|warn) ", re.MULTILINE), "yellow"),
    (re.compile(r"(\[[0-9][^\]]*\])"), "dim"),
    (re.compile(r"\b(unstable)\b"), "red"),
    (re.compile(r"^  (note .*|files .*)$", re.MULTILINE), "dim"),
)


def paint(text: str, headline: str, style: str) -> Text:
    """Return the text with styles on it, that of the verdict on its headline; no character is added or taken away."""
    painted = Text(text)
    start = f"\n{text}".index(f"\n    {headline}   ") + 4  # the line feed put before it makes up for the one found
    painted.stylize(style, start, start + len(headline))
    for pattern, of_match in _STYLES:
        for match in pattern.finditer(text):
            painted.stylize(of_match, match.start(1), match.end(1))
    return painted
