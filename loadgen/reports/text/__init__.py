"""Reports as plain text, for terminals and files."""
