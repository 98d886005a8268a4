"""Folding of rows and health lines into what a report is made of."""

from loadgen.recorder.recorder import Recorder
from loadgen.recorder.sections import BATCHES

__all__ = ["BATCHES", "Recorder"]
