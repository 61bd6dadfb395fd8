"""What a visitor is told where the jobs' store cannot be used at the moment."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.errors import RequestError


@contextmanager
def in_words() -> Iterator[None]:
    """Turn a store that cannot be used at the moment into words for the visitor."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise RequestError(
            "the server cannot keep its records at the moment, its disk may be full; nothing was "
            "lost: try again in a minute"
        ) from error
