"""Markdown as GitHub reads it, for tests that no foreign text becomes markup in it."""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from loadgen.reports.format import clean

HOSTILE = st.one_of(st.text(max_size=50), st.text("`|\\<>@#*_[]()!~&/w. \n$1-+=:", max_size=30)).filter(
    lambda text: clean(text.replace("_", " ")))
"""Texts that anyone can have sent; each shows something, also as the name of a check."""
_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def tokens(content: str) -> list[Token]:
    """Parse Markdown into all its tokens."""
    found: list[Token] = []
    for token in _PARSER.parse(content):
        found += [token, *(token.children or [])]
    return found


def assert_inert(render: Callable[[str], str], evil: str) -> None:
    """Assert that what is rendered with `evil` in it is of the same parts as with a word, and calls nobody."""
    rendered = render(evil)
    assert _parts(rendered) == _parts(render("word"))
    for token in tokens(rendered):
        if token.type == "text":  # what GitHub looks for when the rest is parsed
            assert not re.search("[@#](?!\u200b)|//(?!\u200b)|www\\.", token.content), token.content


def _parts(content: str) -> list[str]:
    return [token.type for token in tokens(content) if token.type not in ("text", "text_special")]
