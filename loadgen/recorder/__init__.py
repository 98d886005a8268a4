"""Folding of rows and health lines into what a report is made of."""

from loadgen.recorder.recorder import BATCHES, HEADLINE, METRICS, Recorder

__all__ = ["BATCHES", "HEADLINE", "METRICS", "Recorder"]
