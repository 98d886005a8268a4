"""Prompts from a file: one that holds a request a line, or requests that a form of its own has read."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from loadgen.types import ABSENT, Request, UsageError
from loadgen.workload.images import as_url
from loadgen.workload.lengths import Lengths

PROMPT_KEYS: Final = ("prompt", "text", "input", "question")
LENGTH_KEYS: Final = ("max_tokens", "output_tokens")
FORM: Final = '{"prompt": "..."} or {"messages": [{"role": "user", "content": "..."}]}'


Reader = Callable[[Mapping[str, Any], str], Request]
"""Makes a request of the object of one line, told where that is."""


class Records(Protocol):
    """The requests of a file, by their place in it, from 0."""

    sha256: str
    """Of the file, and of the images that its requests name."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, place: int) -> Request:
        """Return the request at a place, the same each time."""

    def close(self) -> None:
        """Let go of the file."""


class Listed:
    """Requests that were read from a file at once and stay in memory."""

    def __init__(self, path: Path, requests: Iterable[Request]) -> None:
        """Take the requests of a file; `path` is only read for its digest."""
        self._requests = tuple(requests)
        digest = hashlib.sha256(path.read_bytes())
        for image in (image for request in self._requests for image in request.images):
            digest.update(image.encode())
        self.sha256 = digest.hexdigest()

    def __len__(self) -> int:
        return len(self._requests)

    def __getitem__(self, place: int) -> Request:
        return self._requests[place]

    def close(self) -> None:
        pass


class Lines:
    """The requests of a JSONL file, of which only the places of its lines are kept in memory.

    `read` makes the request of a line. Raises UsageError for a file that is not UTF-8 or has a broken line, with its
    number, and OSError for one that can't be read.
    """

    def __init__(self, path: Path, read: Reader | None = None) -> None:
        self._path = path
        self._reader = read or request_of
        self._starts = array("q")
        self._numbers = array("q")  # line numbers, since blank lines are left out
        self.sha256 = self._index()
        self._file = path.open("rb")

    def _index(self) -> str:
        """Read the file once: check every line, note where it starts; return the digest."""
        at, digest = 0, hashlib.sha256()
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                digest.update(line)
                if line.strip():
                    for image in self._read(line, number).images:
                        digest.update(image.encode())
                    self._starts.append(at)
                    self._numbers.append(number)
                at += len(line)
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, place: int) -> Request:
        self._file.seek(self._starts[place])
        return self._read(self._file.readline(), self._numbers[place])

    def _read(self, line: bytes, number: int) -> Request:
        """Read one line."""
        where = f"{self._path}:{number}"
        try:
            data = msgspec.json.decode(line.removeprefix(b"\xef\xbb\xbf").decode("utf-8"))
        except UnicodeDecodeError as error:
            reason = f"not UTF-8 at byte {error.start + 1} of the line"
            raise UsageError(f"{where}: {reason}: save the file as UTF-8") from None
        except msgspec.DecodeError as error:
            raise UsageError(f"{where}: not JSON ({error}): write {FORM}") from None
        if isinstance(data, str):
            data = {"prompt": data}
        if not isinstance(data, dict):
            raise UsageError(f"{where}: an object is needed, not {type(data).__name__}: write {FORM}")
        return self._reader(data, where)

    def close(self) -> None:
        self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


class Prompts:
    """The prompts of a file, in its order; index n beyond its end starts again from the first.

    A line may say `max_tokens` (or `output_tokens`) and `body`, generation options of its own. Raises UsageError for
    a file that is missing or empty, and as `read` does, which reads it (as JSONL, without another form).
    """

    def __init__(self, path: Path, outputs: Lengths, count_tokens: Callable[[str], int] | None = None,
                 name: str = "", read: Callable[[Path], Records] = Lines) -> None:
        self._path = path
        self._outputs = outputs
        self.count_tokens = count_tokens
        self._name = name
        try:
            self._records = read(path)
        except OSError as error:
            raise UsageError(f"the prompts file {path} can't be read: {error.strerror or error}") from error
        self.count: int | None = len(self._records)
        if not self.count:
            self._records.close()
            raise UsageError(f"the prompts file {path} is empty: write one prompt a line, {FORM}")

    def request(self, index: int) -> Request:
        """Return the request at an index, the same each time."""
        request = self._records[index % len(self._records)]
        tokens = ABSENT
        if self.count_tokens is not None and request.prompt is not None:
            tokens = self.count_tokens(request.prompt)
        asked = request.max_output_tokens or self._outputs.at(index)
        return replace(request, index=index, max_output_tokens=asked, input_tokens=tokens)

    def describe(self) -> dict[str, Any]:
        """Say what is asked, for the provenance of a run."""
        facts = {"kind": "prompts", "file": self._path.name, "sha256": self._records.sha256, "prompts": self.count,
                 "input_length": "exact" if self.count_tokens else "unknown until the server's usage",
                 "output_tokens": self._outputs.describe()}
        return facts | ({"tokenizer": {"name": self._name}} if self._name else {})

    def close(self) -> None:
        self._records.close()


def request_of(data: Mapping[str, Any], where: str) -> Request:
    """Read the object of one line. Raises UsageError that begins with `where`."""
    asked = next((data[key] for key in LENGTH_KEYS if data.get(key) is not None), None)
    if asked is not None and (not isinstance(asked, int) or isinstance(asked, bool) or asked < 1):
        raise UsageError(f"{where}: max_tokens is {asked!r}: write a whole number above 0, or leave it out")
    body = data.get("body") or {}
    if not isinstance(body, dict):
        raise UsageError(f"{where}: body is not an object: write generation options as {{\"temperature\": 0}}")
    images = _images_of(data, where)
    messages = data.get("messages")
    if messages is not None:
        good = isinstance(messages, list) and messages and all(
            isinstance(message, dict) and "role" in message for message in messages)
        if not good:
            raise UsageError(f"{where}: messages must be a list of objects with a role: write {FORM}")
        return Request(0, messages=tuple(messages), images=images, max_output_tokens=asked, body=body)
    for key in PROMPT_KEYS:
        if isinstance(data.get(key), str) and data[key]:
            return Request(0, prompt=data[key], images=images, max_output_tokens=asked, body=body)
    given = ", ".join(list(data)[:6]) or "nothing"
    raise UsageError(f"{where}: no prompt (the line has {given}): write {FORM}")


def _images_of(data: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Read the images of a line, files below the folder of the prompts file. Raises UsageError that names one."""
    given = data.get("images", ())
    given = [given] if isinstance(given, str) else given
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) and one for one in given):
        raise UsageError(f"{where}: images must be a list of files, data: URLs or base64")
    try:
        return tuple(as_url(one, Path(where.rpartition(":")[0]).parent) for one in given)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
