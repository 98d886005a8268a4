"""Triton's control plane: what is asked of the server before a run and after it, over gRPC or HTTP."""

from loadgen.backends.triton import Triton as Backend
from loadgen.triton.meeting import meet
from loadgen.triton.statistics import Watch

__all__ = ["Backend", "Watch", "meet"]
