"""Folding of rows and health lines into what a report is made of."""

from loadgen.recorder.recorder import HEADLINE, LOGGED, METRICS, Recorder
from loadgen.recorder.sections import BATCHES

__all__ = ["BATCHES", "HEADLINE", "LOGGED", "METRICS", "Recorder"]
