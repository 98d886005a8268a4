"""What the charts of a run show, as bounded data: times in ns, counts, and no formatting."""

from loadgen.figures.axis import Axis
from loadgen.figures.curve import PercentileCurve, curves
from loadgen.figures.density import Density, Scatter
from loadgen.figures.figures import Figures, Sketch, draw
from loadgen.figures.flow import Flow
from loadgen.figures.grid import LOWEST, Band, Heat
from loadgen.figures.lateness import Lateness
from loadgen.figures.slowest import Slowest, Span

__all__ = [
           "LOWEST",
           "Axis",
           "Band",
           "Density",
           "Figures",
           "Flow",
           "Heat",
           "Lateness",
           "PercentileCurve",
           "Scatter",
           "Sketch",
           "Slowest",
           "Span",
           "curves",
           "draw",
]
