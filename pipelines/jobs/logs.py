"""What the log does not tell: visitors' keys, which stand in the paths of their runs."""

import logging
import re

KEY_IN_PATH = re.compile(r"(?<=/sessions/)[A-Za-z0-9_-]{22}")


def hide_keys() -> None:
    """Let no handler of this process write a visitor's key; call it when these are set up."""
    for handler in (*logging.getLogger().handlers, logging.lastResort):
        if handler is not None and _without_keys not in handler.filters:
            handler.addFilter(_without_keys)


def _without_keys(record: logging.LogRecord) -> bool:
    record.msg, record.args = KEY_IN_PATH.sub("…", record.getMessage()), ()
    if record.exc_info:
        # Handlers take this in the trace's place; whose paths it names, `OSError` does too.
        trace = record.exc_text or logging.Formatter().formatException(record.exc_info)
        record.exc_text = KEY_IN_PATH.sub("…", trace)
    return True
