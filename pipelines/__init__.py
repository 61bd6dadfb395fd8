"""From words to an orbit video, and the whole chain from words to a mesh."""

VERSION = "0.1.0"
"""Of the program; the same as in pyproject.toml."""
