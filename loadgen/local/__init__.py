"""Models in a process of their own: started and loaded before the clock starts, asked by senders, ended after a run."""

from loadgen.local.meeting import ModelWatch, connect

__all__ = ["ModelWatch", "connect"]
