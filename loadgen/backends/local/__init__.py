"""Models in a process of their own: HuggingFace transformers and vLLM without its server."""
