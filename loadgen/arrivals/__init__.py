"""The laws by which requests arrive and the shapes that their rate follows. Knows no plan, and nothing of requests."""
