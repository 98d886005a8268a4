"""Datasets by name or path: which there are, which forms of files, and the source of requests that each becomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from loadgen.suggest import did_you_mean
from loadgen.types import UsageError
from loadgen.workload.datasets.form import PROMPTS, Form
from loadgen.workload.datasets.gsm8k import GSM8K
from loadgen.workload.jsonl import Prompts
from loadgen.workload.lengths import Lengths

HERE: Final = Path(__file__).parent
NAMED: Final = {"demo_gsm8k_gen_4_shot_cot_chat_prompt": HERE / "demo_gsm8k.jsonl"}
"""The files of the datasets that ship."""
FORMS: Final[dict[str, Form]] = {"gsm8k": GSM8K, "prompts": PROMPTS}
"""The forms of dataset files. The first that recognises a file reads it."""


class Dataset(Prompts):
    """The requests of a dataset: those of its file, which know where they come from."""

    def __init__(self, name: str, path: Path, outputs: Lengths, count_tokens: Callable[[str], int] | None,
                 tokenizer: str, form: Form, chat: bool) -> None:
        super().__init__(path, outputs, count_tokens, tokenizer, lambda file: form.read(file, chat))
        self._dataset, self._form = name, form

    def describe(self) -> dict[str, Any]:
        """Say what is asked, for the provenance of a run."""
        return super().describe() | {"kind": "dataset", "dataset": self._dataset, **self._form.facts}


def make(name: str, outputs: Lengths, count_tokens: Callable[[str], int] | None = None, tokenizer: str = "",
         chat: bool = True) -> Dataset:
    """Make the source of a dataset: a name that ships, a file, or a directory with a test.jsonl, as GSM8K has.

    The first form that recognises the file reads it. Raises UsageError for an unknown name and for a file that no form
    recognises or can read.
    """
    path = _path(name)
    form = next((one for one in FORMS.values() if one.recognises(_head(path))), None)
    try:
        return Dataset(name if name in NAMED else path.name, path, outputs, count_tokens, tokenizer,
                       form or PROMPTS, chat)
    except UsageError as error:
        if form:
            raise
        examples = "; ".join(f"{one} ({each.example})" for one, each in FORMS.items())
        raise UsageError(f"{error}. The file has none of the forms that are known: {examples}") from None


def _path(name: str) -> Path:
    """Return the file of a dataset. Raises UsageError if there is none."""
    if name in NAMED:
        return NAMED[name]
    path = Path(name)
    if path.is_dir():
        path = path / "test.jsonl"
    if not path.exists():
        raise UsageError(f"there is no dataset {name!r}{did_you_mean(name, NAMED, 0.4)}; there are {', '.join(NAMED)}, "
                         "and your own JSONL files by their path")
    return path


def _head(path: Path) -> bytes:
    """Return the first line of a file; nothing of one that can't be read, which is told by whoever reads it whole."""
    try:
        with path.open("rb") as file:
            return file.readline()
    except OSError:
        return b""
