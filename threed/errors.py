"""The errors that are put into words for a user; everything else is a fault of the program."""


class RequestError(ValueError):
    """The user's input cannot be used: says what was given and what is allowed, before any work."""


class FolderInUseError(RequestError):
    """Another run is writing into the folder; it will be free in time."""


class NoPlainBackgroundError(RequestError):
    """A picture's background is not plain; another way may tell the object from it."""


class NoTurnError(RequestError):
    """No even turn explains a clip; another path may."""


class ReconstructionError(RuntimeError):
    """Honest work found no result: says what was found and what to try."""


class InstallationError(RuntimeError):
    """A part of the installation is missing or damaged: says which, and how to get it back."""
