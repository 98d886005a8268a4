"""The worked example of docs/backends.md does what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path

from loadgen.backends import registry
from loadgen.plan import Target
from loadgen.types import Request
from tests.replay import answer, stream

PAGE = (Path(__file__).parent.parent / "docs" / "backends.md").read_text()


def test_the_example_is_a_backend(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "echo.py").write_text(code)
    target = Target(backend=f"{tmp_path}/echo.py:Echo", url=("http://host:9000",), body={"seed": 1})
    backend = registry.make(target)
    request = Request(index=0, prompt="hi", max_output_tokens=2)
    call = backend.encode(request)
    assert call.path == "/generate"
    assert json.loads(call.body) == {"text": "hi", "limit": 2, "stream": True, "seed": 1}
    payload = stream({"word": "a"}, {"word": " b"}, {"why": "limit"}, done=False)
    events = backend.decode(answer(payload), request)
    assert (events.text, events.counts, events.finish_reason, events.failure) == ("a b", [1, 1], "limit", None)
    assert backend.decode(answer(b'{"text": "a b", "words": 2}'), request).failure is not None  # asked for a stream
    backend.stream = False
    events = backend.decode(answer(b'{"text": "a b", "words": 2}'), request)
    assert (events.output_tokens, events.counts, events.failure) == (2, [2], None)


def test_every_built_in_backend_is_on_the_page() -> None:
    for name in registry.BUILT_IN:
        assert f"| `{name}` |" in PAGE
