"""The errors that are put into words for a user; everything else is a fault of the program."""

from threed.errors import ReconstructionError, RequestError

__all__ = ["InstallationError", "ReconstructionError", "RequestError"]


class InstallationError(RuntimeError):
    """A part of the installation is missing or damaged: says which, and how to get it back."""
