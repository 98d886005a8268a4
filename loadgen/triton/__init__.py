"""Triton's control plane: what is asked of the server before a run and after it, over gRPC or HTTP."""
