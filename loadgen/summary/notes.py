"""What a reader should know besides numbers and checks, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from loadgen.checks import Evidence, uses_kernel_stamps
from loadgen.outcomes.report import PERCENTILES
from loadgen.recorder import Recorder
from loadgen.recorder.bins import FINE
from loadgen.recorder.estimate import CONFIDENCE, FEWEST_SECTIONS, batch_means
from loadgen.stats.estimation import lag1, mser, needed_n
from loadgen.types import SECOND, WARMUP
from loadgen.units import format_duration

MOST_CORRELATION: Final = 0.2
LEAST_SPREAD: Final = 0.01


def notes(recorder: Recorder, seen: Evidence, end: int) -> list[str]:
    """Return the notes that this run earns, the most important first; `end` is where the window ends."""
    steady = [] if seen.changing else [_correlation(recorder, seen), _warmup(recorder, end)]
    found = [_unstable(seen), _changing(seen), _looks(recorder), _interval(recorder, seen), *steady, _stamps(recorder),
             _length(seen), _shared(recorder), _sources(recorder), _warmup_failures(recorder)]
    return [note for note in found if note]


def _changing(seen: Evidence) -> str:
    if not seen.changing:
        return ""
    return "the rate changes within the window: percentiles mix all its rates, and no steady state is checked"


def _unstable(seen: Evidence) -> str:
    if seen.steady.ok or seen.changing:
        return ""
    return "UNSTABLE: no steady state, so the percentiles are of this run's length, not of the server"


def _looks(recorder: Recorder) -> str:
    """Say that the intervals are wider than those of a run of fixed length, because the run was looked at before."""
    if recorder.confidence <= CONFIDENCE:
        return ""
    return (f"the window could be extended until it is precise: each interval is one of {recorder.confidence:.1%}, so "
            f"that all looks together hold {CONFIDENCE:.0%}")


def _interval(recorder: Recorder, seen: Evidence) -> str:
    """Name the lowest percentile that this many requests give no interval."""
    count = recorder.metrics["ttft" if seen.stream else "e2e"].count
    for label in ("p50", "p90", "p95", "p99", "p99.9"):
        needed = needed_n(PERCENTILES[label])
        if 0 < count < needed:
            return f"{label} needs {needed:,} requests for an interval; this run has {count:,}"
    return ""


def _correlation(recorder: Recorder, seen: Evidence) -> str:
    values = {name: batch_means(recorder, name) for name in (("ttft", "e2e") if seen.stream else ("e2e",))}
    found = [f"{name} {lag1(means):.2f}" for name, means in values.items()
             if len(means) >= FEWEST_SECTIONS and lag1(means) > MOST_CORRELATION and _differ(means)]
    if not found:
        return ""
    return f"neighbouring tenths of the window are alike (correlation {', '.join(found)}): run longer"


def _warmup(recorder: Recorder, end: int) -> str:
    """Suggest a longer warm-up where MSER cuts inside the window and what it cuts is 10 % off the rest."""
    bins = recorder.bins
    low, _ = bins.inside(0, end)
    counts, sums = (bins.series(name, 0, end) for name in ("first_tokens", "first_token_time"))
    used = counts.nonzero()[0]
    means = sums[used] / counts[used]
    batch = 5 if bins.width == FINE else 1
    cut = mser(means, batch)
    if cut == 0 or cut + batch > used.size // 2:
        return ""
    at = bins.origin + (low + int(used[cut])) * bins.width
    inside = used[:cut] + low >= bins.inside(recorder.window.start, end)[0]
    if at <= recorder.window.start or not inside.any():
        return ""
    before, after = means[:cut][inside].mean(), means[cut:].mean()
    if abs(before - after) <= 0.1 * after:
        return ""
    seconds = format_duration(-(-at // SECOND) * SECOND)
    return f"ttft settles only {at / SECOND:.1f} s after the start (MSER): --warmup {seconds}"


def _stamps(recorder: Recorder) -> str:
    if uses_kernel_stamps(recorder):
        return ""
    return "token times are those of the client's reads, not the kernel's: receive_lag is in them"


def _length(seen: Evidence) -> str:
    if seen.forcible or seen.asked <= 0:
        return ""
    return (f"this dialect can't force the output length: of {seen.asked:,} tokens asked for {seen.got:,} came "
            f"({seen.got / seen.asked:.1%})")


def _shared(recorder: Recorder) -> str:
    tally = recorder.measured
    if not tally.shared or not tally.tokens:
        return ""
    return (f"{tally.shared / tally.tokens:.1%} of the tokens came several to an event: itl parts such a gap evenly, "
            "chunk_gap has it as it came")


def _sources(recorder: Recorder) -> str:
    tally = recorder.measured
    parts = []
    for what, counter in (("output", tally.output_sources), ("input", tally.input_sources)):
        known = {source: count for source, count in sorted(counter.items()) if source}
        if known and set(known) != {"usage"}:
            parts.append(f"{what} tokens are counted by " + ", ".join(f"{one} ({n:,})" for one, n in known.items()))
    return "; ".join(parts)


def _warmup_failures(recorder: Recorder) -> str:
    failed = recorder.tallies[WARMUP].failed
    return f"{failed:,} requests of the warm-up failed; they are in no number above" if failed else ""


def _differ(means: Sequence[float]) -> bool:
    """Say whether batch means lie apart by more than a hair; the order of hairs says nothing of the server."""
    return max(means) - min(means) > LEAST_SPREAD * max(means)
