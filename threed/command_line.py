"""What the command lines have in common: exit statuses, and complaints of one line."""

import argparse
import sys
from typing import NoReturn

EXIT_FAILED, EXIT_REQUEST, EXIT_INTERRUPTED = 1, 2, 130


class OneLineParser(argparse.ArgumentParser):
    """A parser whose complaints are one line, with the status of a wrong request."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_REQUEST, f"{self.prog}: {message} (--help lists what is allowed)\n")


def complain(program: str, message: str, status: int) -> int:
    """Write a program's complaint as one line and return the status."""
    print(f"{program}: {' '.join(message.split())}", file=sys.stderr)
    return status
