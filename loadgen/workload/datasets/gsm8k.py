"""GSM8K's form: lines of question and answer, asked after four worked examples that think step by step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from loadgen.types import Request, UsageError
from loadgen.workload.datasets.form import Form, first_object
from loadgen.workload.jsonl import Lines, Reader

SHOTS: Final = 4
MARK: Final = "####"
"""What stands before the number in an answer."""
_EXAMPLES: Final = Path(__file__).parent / "gsm8k_shots.jsonl"


def has_form(data: Any) -> bool:
    """Say whether the object of a line is one of GSM8K's."""
    return isinstance(data, Mapping) and isinstance(data.get("question"), str) and MARK in str(data.get("answer"))


def reader(chat: bool) -> Reader:
    """Return what makes the request of a line: messages, in turns of user and assistant, or one text without `chat`."""
    examples = [msgspec.json.decode(line) for line in _EXAMPLES.read_bytes().splitlines()]
    turns = [(_asked(example["question"]), example["answer"]) for example in examples]
    before = tuple(message for asked, answer in turns for message in (
        {"role": "user", "content": asked}, {"role": "assistant", "content": answer}))
    text = "".join(f"{asked} {answer}\n\n" for asked, answer in turns)

    def read(data: Mapping[str, Any], where: str) -> Request:
        question = data.get("question")
        if not isinstance(question, str) or not question.strip():
            raise UsageError(f"{where}: no question: each line of a file in GSM8K's form is "
                             '{"question": "...", "answer": "... #### 42"}')
        asked = _asked(question.strip())
        if chat:
            return Request(0, messages=(*before, {"role": "user", "content": asked}))
        return Request(0, prompt=text + asked)
    return read


def _asked(question: str) -> str:
    return f"Question: {question}\nLet's think step by step\nAnswer:"


GSM8K: Final = Form(
    '{"question": "...", "answer": "... #### 42"}', lambda head: has_form(first_object(head)),
    lambda path, chat: Lines(path, reader(chat)), {"shots": SHOTS, "shared_prefix": "the shots"})
