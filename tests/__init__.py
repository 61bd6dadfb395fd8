"""The tests, which mirror the packages; a package itself, for others install one of this name."""
