"""The engine: lanes predict, are written down, and only then train."""
