"""Datasets by name or path: which there are, and the source of requests that each becomes."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from loadgen.types import UsageError
from loadgen.workload.datasets import gsm8k
from loadgen.workload.jsonl import Prompts
from loadgen.workload.lengths import Lengths

HERE: Final = Path(__file__).parent
NAMED: Final = {"demo_gsm8k_gen_4_shot_cot_chat_prompt": HERE / "demo_gsm8k.jsonl"}
"""The files of the datasets that ship; their prompts are made in GSM8K's way."""


class Dataset(Prompts):
    """The requests of a dataset: those of its file, which know where they come from."""

    def __init__(self, name: str, path: Path, outputs: Lengths, count_tokens: Callable[[str], int] | None,
                 tokenizer: str, shots: int, chat: bool) -> None:
        reader = gsm8k.reader(chat) if shots else None
        super().__init__(path, outputs, count_tokens, tokenizer, reader)
        self._dataset, self._shots = name, shots

    def describe(self) -> dict[str, Any]:
        """Say what is asked, for the provenance of a run."""
        facts = super().describe() | {"kind": "dataset", "dataset": self._dataset}
        return facts | ({"shots": self._shots, "shared_prefix": "the shots"} if self._shots else {})


def make(name: str, outputs: Lengths, count_tokens: Callable[[str], int] | None = None, tokenizer: str = "",
         chat: bool = True) -> Dataset:
    """Make the source of a dataset: a name that ships, a JSONL file, or a directory with a test.jsonl, as GSM8K has.

    A file in GSM8K's form (question, answer with ####) gets its prompt; without `chat` that is one text. Any other
    file is read as --prompts is. Raises UsageError for an unknown name, and as jsonl.Prompts does.
    """
    if name in NAMED:
        return Dataset(name, NAMED[name], outputs, count_tokens, tokenizer, gsm8k.SHOTS, chat)
    path = Path(name)
    if path.is_dir():
        path = path / "test.jsonl"
    if not path.exists():
        near = difflib.get_close_matches(name, NAMED, 1, 0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"there is no dataset {name!r}: {hint}There are {', '.join(NAMED)}, and your own JSONL files "
                         "by their path")
    shots = gsm8k.SHOTS if _is_gsm8k(path) else 0
    return Dataset(path.name, path, outputs, count_tokens, tokenizer, shots, chat)


def _is_gsm8k(path: Path) -> bool:
    """Say whether the first line of a file has GSM8K's form; what can't be read is told by whoever reads it whole."""
    try:
        with path.open("rb") as file:
            return gsm8k.has_form(msgspec.json.decode(file.readline().removeprefix(b"\xef\xbb\xbf")))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return False
