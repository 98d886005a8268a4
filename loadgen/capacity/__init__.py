"""What a sweep found, as data, and how to find it: search, curves and sizing without I/O. Public names only."""

from loadgen.capacity.curves import curves, grouped
from loadgen.capacity.model import AXES, FAILS, GOALS, PASSES, UNJUDGED, Across, SearchResult, Sizing, Sweep, SweepCell

__all__ = [
           "AXES",
           "FAILS",
           "GOALS",
           "PASSES",
           "UNJUDGED",
           "Across",
           "SearchResult",
           "Sizing",
           "Sweep",
           "SweepCell",
           "curves",
           "grouped",
]
