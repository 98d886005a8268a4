"""Statistics as pure functions of arrays and counts."""
