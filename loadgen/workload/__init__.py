"""What to ask: sources of requests, each the same for the same index and seed, in whatever order it is asked."""

from loadgen.workload.source import Source, make

__all__ = ["Source", "make"]
