"""What is made of answers, odd ones above all: counts and their sources, classes of failure, evidence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.backends.openai import OpenAI
from loadgen.types import ABSENT, Failure, Request, TokenEvents
from support.replay import ASKED, URL, decode, delta, failed, stream


def test_usage_with_every_event_counts_several_tokens_an_event_and_events_without_text() -> None:
    events = decode(
        stream(
            delta(role="assistant", content="", usage=0),
            delta(content="a", usage=3),
            delta(content="", usage=4),
            delta(content="b", usage=6, finish="stop"),
            {"choices": [], "usage": {"completion_tokens": 6}},
        )
    )
    assert events.failure is None
    assert (events.counts, events.output_tokens, events.output_source) == ([3, 1, 2], 6, "usage")
    assert len(events.ends) == 3


def test_usage_that_stays_zero_until_the_end_is_a_final_count() -> None:
    events = decode(stream(delta(content="a", usage=0), delta(content="b", usage=0), delta(usage=2, finish="stop")))
    assert (events.counts, events.output_tokens, events.output_source) == ([1, 1], 2, "usage")


def test_tokens_that_are_all_special_are_tokens() -> None:
    events = decode(stream(delta(content="", usage=1), delta(content="", usage=2, finish="length")))
    assert (events.counts, events.failure) == ([1, 1], None)


def test_the_final_usage_finds_the_events_without_text() -> None:
    def blank(final: int, *texts: str) -> TokenEvents:
        events = [{"choices": [{"text": text, "finish_reason": None}]} for text in texts[:-1]]
        events.append({"choices": [{"text": texts[-1], "finish_reason": "length"}]})
        return decode(stream(*events, {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": final}}))

    assert len(blank(4, "a", "", "b", "").ends) == 4
    assert len(blank(3, "a", "", "b", "").ends) == 3  # the last, by the rule
    assert len(blank(2, "a", "", "b", "").ends) == 2
    assert len(blank(9, "a", "", "b", "").ends) == 2  # several tokens an event, unknown which
    assert blank(9, "a", "", "b", "").output_tokens == 9
    assert len(blank(1, "", "").ends) == 1
    assert len(blank(5, "", "").ends) == 1  # an answer of special tokens alone is an answer


def test_token_ids_count_where_no_usage_does() -> None:
    events = decode(
        stream(
            {"choices": [{"text": "", "token_ids": [5], "prompt_token_ids": [1, 2]}]},
            {"choices": [{"text": "ab", "token_ids": [6, 7], "finish_reason": "length"}]},
        )
    )
    assert (events.counts, events.output_source, events.input_tokens, events.input_source) == (
        [1, 2],
        "token ids",
        2,
        "token ids",
    )


def test_without_counts_a_tokenizer_counts_and_then_the_events() -> None:
    payload = stream(delta(content="one two"), delta(content=" three", finish="stop"))
    backend = OpenAI(url=URL)
    assert (decode(payload, backend).output_tokens, decode(payload, backend).output_source) == (2, "events")
    backend.tokenizer = lambda text: len(text.split())
    assert (decode(payload, backend).output_tokens, decode(payload, backend).output_source) == (3, "tokenizer")


def test_the_source_of_the_input_count_is_told() -> None:
    payload = stream(delta(content="x", finish="stop"))
    for request, count, source in (
        (ASKED, 3, "approximate"),
        (Request(0, "a", input_tokens=9), 9, "tokenizer"),
        (Request(0, prompt_ids=(1, 2)), 2, "token ids"),
        (Request(0, messages=()), ABSENT, ""),
    ):
        events = decode(payload, request=request)
        assert (events.input_tokens, events.input_source) == (count, source)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_counts_and_the_first_answer_is_marked(field: str) -> None:
    events = decode(
        stream(
            delta(role="assistant"),
            delta(**{field: "hm"}),
            delta(**{field: "so"}),
            delta(content="yes"),
            delta(finish="stop"),
        )
    )
    assert (len(events.ends), events.first_answer, events.text) == (3, 2, "hmsoyes")
    assert decode(stream(delta(content="yes", finish="stop"))).first_answer == ABSENT


def test_tool_calls_and_refusals_are_tokens() -> None:
    call = {"index": 0, "function": {"name": "f", "arguments": ""}}
    more = {"index": 0, "function": {"arguments": "{}"}}
    events = decode(
        stream(delta(tool_calls=[call]), delta(tool_calls=[more]), delta(refusal="no"), delta(finish="tool_calls"))
    )
    assert (len(events.ends), events.text, events.failure) == (3, "nof{}", None)


def test_an_error_event_in_a_good_stream_is_in_band_and_keeps_the_tokens_before() -> None:
    for event, kind, words in (
        ({"error": {"message": "engine died", "type": "E", "code": 500}}, "E", "engine died"),
        ({"error": "overloaded", "error_type": "overloaded"}, "overloaded", "overloaded"),
        ({"object": "error", "message": "m", "type": "T"}, "T", "m"),
    ):
        events = decode(stream(delta(content="a"), event, delta(content="b", finish="stop")))
        assert events.failure == Failure("in_band", words, kind)
        assert len(events.ends) == 1
    named = stream(delta(content="a")).replace(b"data: [DONE]", b'event: error\ndata: {"message": "late", "type": "X"}')
    assert failed(named) == Failure("in_band", "late", "X")
    assert decode(stream({**delta(content="a", finish="stop"), "error": None})).failure is None


def test_an_error_answer_to_a_stream_is_in_band_and_any_other_is_not_a_stream() -> None:
    assert failed(
        b'{"error": {"message": "no", "type": "T"}}', headers=b"content-type: application/json\r\n"
    ) == Failure("in_band", "no", "T")
    assert failed(b'{"choices": []}', headers=b"").kind == "parse"


def test_the_end_must_be_proper() -> None:
    assert failed(stream(delta(content="a"), done=False)).kind == "truncated"
    assert failed(stream(delta(content="a")), complete=False).kind == "truncated"
    assert failed(b"").kind == "truncated"
    assert "middle of an event" in failed(stream(delta(content="a"), done=False) + b"data: {").detail
    assert decode(stream(delta(content="a", finish="stop"), done=False)).failure is None
    assert decode(stream(delta(content="a")).replace(b": [DONE]", b":[DONE] ")).failure is None


def test_a_proper_end_without_a_token_is_empty() -> None:
    assert failed(stream(delta(role="assistant", content=""), delta(finish="stop"))).kind == "empty"
    assert failed(stream()).kind == "empty"
    assert failed(b'{"choices": []}', headers=b"", backend=OpenAI(url=URL, stream=False)).kind == "empty"


def test_a_whole_answer_without_text_is_empty_only_if_the_server_counts_no_token() -> None:
    whole = OpenAI(url=URL, stream=False)

    def answer(tokens: int, finish: str = '"length"') -> bytes:
        return (b'{"choices": [{"message": {"content": ""}, "finish_reason": %s}], "usage": {"prompt_tokens": 9, '
                b'"completion_tokens": %d}}' % (finish.encode(), tokens))

    events = decode(answer(3), headers=b"", backend=whole)
    assert (events.failure, events.counts, events.output_tokens, events.output_source) == (None, [3], 3, "usage")
    assert len(events.ends) == 1
    assert failed(answer(0), headers=b"", backend=whole).kind == "empty"
    assert failed(answer(3, "null"), headers=b"", backend=whole).kind == "empty"


@pytest.mark.parametrize(
    "event",
    [
        "not json",
        "{",
        '"text"',
        "[1]",
        "3",
        '{"choices": 5}',
        '{"choices": [{"delta": "x"}]}',
        '{"choices": [{"delta": {"content": {"a": 1}}}]}',
        '{"choices": [null]}',
    ],
)
def test_an_unreadable_event_is_a_parse_failure_that_shows_it(event: str) -> None:
    failure = failed(stream(delta(content="a"), event))
    assert failure.kind == "parse"
    assert event[:20] in failure.detail


def test_empty_and_comment_events_are_nothing() -> None:
    payload = stream(delta(content="a")).replace(b"data: [DONE]", b"data:\n\n: ping\n\ndata: [DONE]")
    assert decode(payload).failure is None


def test_what_the_protocol_saw_wins_unless_the_server_said_more() -> None:
    late = Failure("timeout", "idle")
    half = stream(delta(content="a"), done=False)
    assert failed(half, failure=late, complete=False) == late
    assert failed(stream({"error": "x"}), failure=late).kind == "in_band"
    assert failed(b"", status=503, failure=late).kind == "http_503"
    assert failed(b"", status=ABSENT, failure=late) == late
    assert failed(b"", status=ABSENT).kind == "truncated"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, "http_3xx"),
        (400, "http_4xx"),
        (404, "http_4xx"),
        (429, "http_429"),
        (500, "http_5xx"),
        (502, "http_5xx"),
        (503, "http_503"),
    ],
)
def test_each_status_has_its_class(status: int, kind: str) -> None:
    failure = failed(b"x" * 2000, status=status)
    assert failure.kind == kind
    assert len(failure.detail) < 600


def test_redirects_and_compression_say_what_to_do() -> None:
    failure = failed(b"", status=302, headers=b"Location: http://b/\r\n")
    assert "http://b/" in failure.detail
    assert "--url" in failure.detail
    failure = failed(b"\x1f\x8b", headers=b"Content-Encoding: gzip\r\n")
    assert failure.kind == "parse"
    assert "gzip" in failure.detail
    assert decode(stream(delta(content="a")), headers=b"content-encoding: identity\r\n").failure is None


@given(
    st.lists(
        st.sampled_from(
            [
                *stream(delta(content="a"), delta(usage=1, finish="stop"), {"error": "x"}).split(b" "),
                b"\n\n",
                b"{",
                b"}",
                b"[",
                b"data: ",
                b"null",
                b"\xff",
                b"1",
            ]
        ),
        max_size=30,
    ).map(b"".join),
    st.booleans(),
    st.booleans(),
    st.sampled_from([200, 400, 500]),
)
def test_no_answer_at_all_raises(payload: bytes, streamed: bool, complete: bool, status: int) -> None:
    events = decode(payload, OpenAI(url=URL, stream=streamed), complete=complete, status=status)
    assert len(events.ends) == len(events.counts)
    assert (complete and status == 200) or events.failure is not None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            b'{"detail": [{"loc": ["body", "x"], "msg": "bad", "type": "t"}, {"msg": "worse"}]}',
            ("t", "body.x: bad; worse"),
        ),
        (b'{"detail": ["odd", {"msg": "bad"}]}', ("", "odd; bad")),
        (b'{"error": {"code": 7, "message": "m"}}', ("7", "m")),
        (b'{"error": {"reason": "r"}}', ("", "{'reason': 'r'}")),
        (b'{"error": 5}', ("", "5")),
        (b'{"error": "x", "error_type": "overloaded"}', ("overloaded", "x")),
        (b'{"message": "m", "type": "T"}', ("T", "m")),
        (b'["a list"]', ("", '["a list"]')),
        (b"\xff\xfe", ("", "\ufffd\ufffd")),
        (b"", ("", "no body")),
    ],
)
def test_every_form_of_error_gives_the_words_of_the_server(body: bytes, words: tuple[str, str]) -> None:
    failure = failed(body, status=400)
    assert (failure.type, failure.detail) == (words[0], f"HTTP 400: {words[1]}")


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 2048 tokens",
        "the request exceeds the available context size",
        "`inputs` must have less than 1024 tokens",
        "The decoder prompt is longer than the maximum model length of 2048",
    ],
)
def test_a_prompt_that_does_not_fit_has_its_own_class(message: str) -> None:
    assert failed(message.encode(), status=400).kind == "too_long"
    assert failed(message.encode(), status=500).kind == "http_5xx"


def test_an_odd_answer_that_is_no_stream_is_a_parse_failure() -> None:
    backend = OpenAI(url=URL, stream=False)
    for payload in (b'{"choices": 5}', b"[1]", b"3", b"text"):
        assert failed(payload, backend=backend, headers=b"").kind == "parse"
    assert failed(b'{"error": {"message": "m"}}', backend=backend).kind == "in_band"


def test_an_answer_without_usage_has_no_count_unless_a_tokenizer_counts() -> None:
    payload = b'{"choices": [{"message": {"content": "a b"}, "finish_reason": "stop"}]}'
    backend = OpenAI(url=URL, stream=False)
    assert (decode(payload, backend).output_tokens, decode(payload, backend).failure) == (ABSENT, None)
    backend.tokenizer = lambda text: len(text.split())
    assert (decode(payload, backend).output_tokens, decode(payload, backend).counts) == (2, [2])
