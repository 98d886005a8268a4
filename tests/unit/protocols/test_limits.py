"""Time limits, decided without a clock."""

from loadgen.protocols.http.limits import Limits, judge


def test_nothing_is_watched_without_limits() -> None:
    assert not Limits(connect=5).watched
    assert judge(Limits(), 10**12, 10**12) == (None, 0)


def test_total_counts_from_the_sending() -> None:
    limits = Limits(total=100)
    assert judge(limits, 40, None) == (None, 60)
    failure, _ = judge(limits, 100, 1)
    assert failure is not None and (failure.kind, failure.type) == ("timeout", "total")


def test_first_token_counts_only_until_something_comes() -> None:
    limits = Limits(first_token=50, total=1000)
    failure, _ = judge(limits, 50, None)
    assert failure is not None and failure.type == "first token"
    assert judge(limits, 60, 5) == (None, 940)


def test_idle_counts_between_reads_only() -> None:
    limits = Limits(idle=30)
    assert judge(limits, 500, None) == (None, 30)
    assert judge(limits, 500, 10) == (None, 20)
    failure, _ = judge(limits, 500, 30)
    assert failure is not None and failure.type == "idle"
