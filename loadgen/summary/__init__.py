"""Making the Report of a run."""

from loadgen.summary.build import build

__all__ = ["build"]
