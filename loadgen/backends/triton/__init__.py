"""Triton: its dialects over gRPC and HTTP, and the tensors that they carry."""
