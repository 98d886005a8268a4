"""Comparing the runs of two sides."""

from loadgen.compare.build import Question, compare
from loadgen.compare.measured import Measured

__all__ = ["Measured", "Question", "compare"]
