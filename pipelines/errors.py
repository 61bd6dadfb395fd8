"""The errors that are put into words for a user; everything else is a fault of the program."""

from threed.errors import InstallationError, ReconstructionError, RequestError

__all__ = ["InstallationError", "ReconstructionError", "RequestError"]
