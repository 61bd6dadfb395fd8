"""The host's own word on what may be made: LATHE_MODERATION names a function that is asked first.

    LATHE_MODERATION=mypackage.rules:refuse

It is called with the words of a wish (a prompt, a clip's name, a title) and returns None, or why
not, in a sentence that the visitor is shown. Where it fails, nothing is made.
"""

import importlib
import logging
import os
from collections.abc import Callable

from pipelines.errors import InstallationError, RequestError

VARIABLE = "LATHE_MODERATION"

logger = logging.getLogger(__name__)

Moderate = Callable[[str], str | None]


def allow_all(words: str) -> str | None:
    """Refuse nothing."""
    return None


def load_moderation() -> Moderate:
    """Return the function that the environment names, or one that refuses nothing.

    Raises:
        InstallationError: There is no such function.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return allow_all
    module, _, function = named.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InstallationError(
            f"{VARIABLE} is {named!r}, which is no function of a module (module:function): {error}"
        ) from error


def check_words(words: str, moderate: Moderate) -> None:
    """Raise RequestError where the host does not want this made."""
    try:
        reason = moderate(words)
    except Exception as error:
        logger.exception("the moderation hook failed")
        raise RequestError("this cannot be checked at the moment; try again later") from error
    if reason is not None:
        raise RequestError(str(reason))
