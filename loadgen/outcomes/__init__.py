"""What runs and comparisons come to, as data."""
