"""Histograms as text: lines of an HdrHistogram interval log, format 1.3, and their V2 compressed encoding."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import numpy as np
from hdrh.histogram import HdrHistogram

from loadgen.stats.histogram import HIGHEST, SIGNIFICANT_DIGITS, Histogram
from loadgen.types import SECOND

_MAX_UNIT: Final = 1_000_000
"""Interval_Max is written in ms by convention; the histograms themselves hold ns."""


def encode(histogram: Histogram) -> str:
    """Return the V2 compressed encoding in base64, as every HdrHistogram reads it. Overflow is not in it."""
    # The package encodes rightly, in C; what it gets wrong (percentiles, its log writer) is not used. Its counts have
    # the layout of ours, and are filled directly because its record_value takes a microsecond a bucket.
    peer = HdrHistogram(1, HIGHEST, SIGNIFICANT_DIGITS)
    counts = histogram.counts
    np.frombuffer(peer.counts, np.uint64)[: counts.size] = counts
    peer.total_count = histogram.count - histogram.overflow
    peer.max_value = min(histogram.max, HIGHEST) if histogram.count else 0
    text: str = peer.encode().decode("ascii")
    return text


def header(epoch: int) -> str:
    """Return the opening lines of a log whose stamps count from `epoch`, CLOCK_REALTIME ns."""
    seconds = _seconds(epoch)
    date = datetime.fromtimestamp(epoch // SECOND, UTC).strftime("%a %b %d %H:%M:%S UTC %Y")
    return (f"#[Histogram log format version 1.3]\n#[StartTime: {seconds} (seconds since epoch), {date}]\n"
            f"#[BaseTime: {seconds} (seconds since epoch)]\n"
            '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n')


def line(tag: str, start: int, end: int, histogram: Histogram) -> str:
    """Return the line of one interval; `start` and `end` are ns since the epoch of the header."""
    highest = histogram.max if histogram.count else 0
    return f"Tag={tag},{_seconds(start)},{_seconds(end - start)},{highest / _MAX_UNIT:.3f},{encode(histogram)}\n"


def _seconds(instant: int) -> str:
    return f"{instant // SECOND}.{instant % SECOND // 1_000_000:03d}"
