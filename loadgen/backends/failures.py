"""Reads servers' refusals and errors: what class they are, and the server's own words about them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from loadgen.types import ABSENT, Failure, Timeline

EVIDENCE: Final = 500
"""Bytes of an answer that are kept with a failure."""

FRAMED: Final = (b"data:", b"event:", b"id:", b"retry:", b":", b"{", b"[", b"<")
"""How lines begin that are no plain text."""

TOO_LONG: Final = re.compile(
    r"context_length_exceeded|maximum context length|max_model_len|maximum model length|max_input_length"
    r"|exceeds? the (available |model'?s? )?context|longer than the (maximum|model)|`?inputs`? must have less than",
    re.IGNORECASE)

# How servers say that they don't know a field; each captures one name, or a list of quoted ones.
UNKNOWN_FIELD: Final = tuple(re.compile(pattern, re.IGNORECASE) for pattern in (
    r"unexpected fields? in the request:\s*\{([^}]*)\}",  # transformers serve
    r"extra_forbidden['\"]?,\s*['\"]loc['\"]:\s*[\[(]([^\])]*)[\])]",  # pydantic, as text or as JSON
    r"['\"]loc['\"]:\s*[\[(]([^\])]*)[\])],\s*['\"]msg['\"]:\s*['\"]extra (?:inputs|fields) (?:are )?not permitted",
    r"loc['\"]:\s*['\"]body\.([\w.]+)['\"],\s*['\"]msg['\"]:\s*['\"]extra (?:inputs|fields) (?:are )?not permitted",
    r"unrecognized request arguments? supplied:\s*([\w, ]+)",
    r"un(?:known|supported|recognized)[ _](?:parameter|field|argument|key)s?:?\s*(\w+|(?:[`'\"]\w+[`'\"](?:,\s*)?)+)",
    r"additional properties are not allowed \(([^)]*?) w(?:as|ere) unexpected",
    r"extra inputs are not permitted.{0,40}?['\"](\w+)['\"]",
))


def header(headers: bytes, name: str) -> str:
    """Return the value of a response header, "" without it. `name` is in lower case."""
    for line in headers.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.strip().lower() == name.encode():
            return value.strip().decode("latin-1")
    return ""


def fields(headers: bytes) -> dict[str, str]:
    """Return the response headers by their names in lower case."""
    pairs = (line.partition(":") for line in headers.decode("latin-1").split("\r\n"))
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}


def text_of(payload: bytes | bytearray) -> str:
    """Return the first bytes of an answer as text, whatever they are."""
    return bytes(payload[:EVIDENCE]).decode("utf-8", "replace").strip()


def bare_text(payload: bytes) -> str:
    """Return the last line of an answer if it is plain text, framed neither as an event nor as JSON nor as HTML."""
    line = payload.rstrip(b"\r\n\0 ").replace(b"\0", b"\n").rpartition(b"\n")[2].strip()
    framed = line.startswith(FRAMED) or any(prefix.startswith(line) for prefix in FRAMED)
    return "" if framed else text_of(line)


def server_words(data: Any) -> tuple[str, str]:
    """Return the type and the message of an error in any of the JSON forms that servers use, "" where there is none."""
    if not isinstance(data, Mapping):
        return "", ""
    error = data.get("error") or data.get("detail")
    if isinstance(error, Mapping):
        kind = error.get("type") or error.get("code") or error.get("http_status_code") or ""
        return str(kind), str(error.get("message") or error.get("msg") or dict(error))
    if isinstance(error, str):
        return str(data.get("error_type") or data.get("type") or ""), error
    if isinstance(error, list):
        return _of_list(error)
    if error:
        return "", str(error)
    return str(data.get("type") or data.get("error_type") or ""), str(data.get("message") or "")


def _of_list(errors: list[Any]) -> tuple[str, str]:
    """Read pydantic's list of errors."""
    kinds, texts = [], []
    for error in errors:
        if isinstance(error, Mapping):
            place = ".".join(str(part) for part in error.get("loc", ()))
            kinds.append(str(error.get("type", "")))
            texts.append(f"{place}: {error.get('msg', '')}" if place else str(error.get("msg", "")))
        else:
            texts.append(str(error))
    return (kinds[0] if kinds else ""), "; ".join(texts)


def in_band(data: Any) -> Failure | None:
    """Return the failure that an event or an answer inside a 2xx response reports, None if it is no error."""
    if not isinstance(data, Mapping):
        return None
    if not data.get("error") and data.get("object") != "error":
        return None
    kind, message = server_words(data)
    return Failure("in_band", message[:EVIDENCE], kind)


def refused(timeline: Timeline) -> Failure | None:
    """Return the failure that status and headers alone decide, None for a 2xx answer that can be read."""
    status = timeline.status
    if status == ABSENT:
        return timeline.failure or Failure("truncated", "the connection ended before an answer")
    if 200 <= status < 300:
        coding = header(timeline.headers, "content-encoding").lower()
        if coding in ("", "identity"):
            return None
        return Failure("parse", f"compressed ({coding}), which was not asked for: turn it off in the server or proxy")
    if 300 <= status < 400:
        where = header(timeline.headers, "location") or "an unnamed place"
        return Failure("http_3xx", f"HTTP {status}: redirected to {where}: give that URL with --url")
    return _http(status, timeline.payload)


def _http(status: int, payload: bytes | bytearray) -> Failure:
    try:
        kind, message = server_words(msgspec.json.decode(payload))
    except (msgspec.DecodeError, UnicodeDecodeError):
        kind, message = "", ""
    body = text_of(payload)
    detail = f"HTTP {status}: {message[:EVIDENCE] or body or 'no body'}"
    if status in (400, 413, 422) and (TOO_LONG.search(message or body) or TOO_LONG.search(kind)):
        return Failure("too_long", detail, kind)
    if status in (429, 503):
        return Failure(f"http_{status}", detail, kind)
    return Failure("http_5xx" if status >= 500 else "http_4xx", detail, kind)


def probe_hint(status: int, body: bytes) -> str:
    """Say which flag turns off the fields that a server refused with this answer; "" if that is not what it says.

    Knows the words of transformers serve, pydantic (vLLM, SGLang, Mistral), OpenAI, and of Rust and Go servers.
    """
    if not 400 <= status < 500:
        return ""
    text = body.decode("utf-8", "replace").replace('\\"', '"')
    if re.search(r"use\W+max_completion_tokens\W+instead", text, re.IGNORECASE):
        return "this server wants the output length as max_completion_tokens: add --body max_completion_tokens=true"
    fields = _unknown_fields(text)
    if not fields:
        return ""
    flags = " ".join(dict.fromkeys(_flag(field) for field in fields))
    names = ", ".join(fields)
    return f"this server refuses {names}: turn {'it' if len(fields) == 1 else 'them'} off with {flags}"


def _unknown_fields(text: str) -> list[str]:
    found: dict[str, None] = {}
    for pattern in UNKNOWN_FIELD:
        for match in pattern.findall(text):
            words = [word for word in re.findall(r"\w+", match) if word not in ("body", "and")]
            if "loc" in pattern.pattern:
                words = [".".join(re.findall(r"\w+", match)).removeprefix("body.")]
            found.update(dict.fromkeys(word for word in words if word))
    return list(found)


def _flag(field: str) -> str:
    """Return the flag that turns a field off; of a field inside another, the one that replaces the outer."""
    outer, _, inner = field.partition(".")
    if outer == "stream_options" and inner == "continuous_usage_stats":
        return """--body 'stream_options={"include_usage": true}'"""
    return f"--body {outer}=null"
