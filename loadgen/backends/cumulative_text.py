"""Adds the text of an event to an output whether the server sends what is new or all that there is so far."""

from __future__ import annotations

from loadgen.types import Output


def add_text(output: Output, text: str) -> None:
    """Add an event's text, which may begin with all the texts before it (MindIE's fullTextEnabled).

    It is taken for the whole text so far as long as every event began with the text of the event before and some event
    had more. The first that does not shows that each event brought only what was new.
    """
    memory = output.memory
    if memory.get("parts"):  # decided: events bring what is new
        output.content += text
        return
    first, last, joined = memory.get("first"), memory.get("last", ""), memory.get("joined", "") + text
    if first is None:
        memory["first"] = first = text
    if not text.startswith(last):
        memory["parts"] = True
        output.content = joined
        return
    memory["last"], memory["joined"] = text, joined
    output.content = text if len(text) > len(first) and last else joined
