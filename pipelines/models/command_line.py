"""The catalogue on the command line.

python -m pipelines models                     the table
python -m pipelines models NAME                all there is to know of one model
python -m pipelines models download NAME       fetch it, with a bar
"""

import argparse
import sys
from collections.abc import Sequence

from tqdm import tqdm

from pipelines.errors import InstallationError, RequestError
from pipelines.models.catalogue import find_card
from pipelines.models.large import HELPERS, find_helper
from pipelines.models.large_card import HelperCard, LargeModelCard
from pipelines.models.machine import this_machine
from pipelines.models.memory import MODE_WORDS, MODES
from pipelines.models.overview import Overview, helpers_of, overview, table
from threed.command_line import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_REQUEST,
    OneLineParser,
    complain,
)

PROGRAM = "python -m pipelines models"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of what stands after `models`."""
    parser = OneLineParser(
        prog=PROGRAM,
        description="Show the catalogue of video models, or fetch one. Nothing is ever fetched "
        "without being asked for.",
    )
    parser.add_argument("words", nargs="*", metavar="[download] NAME", help="a model of the table")
    parser.add_argument(
        "--revision", help="branch, tag or commit to fetch (the catalogue's own)", default=None
    )
    parser.add_argument(
        "--accept-licence",
        action="store_true",
        help="the licence's conditions are known and accepted",
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    arguments = build_parser().parse_args(argv)
    words: list[str] = arguments.words
    try:
        if not words:
            print(listing())
        elif words[0] == "download":
            if len(words) != 2:
                raise RequestError("download needs the name of one model")
            for card in _with_helpers(words[1]):
                revision = arguments.revision if card.name == words[1] else None
                _fetch(card, revision, arguments.accept_licence)
        elif len(words) == 1:
            print(_details(words[0]))
        else:
            raise RequestError(f"{' '.join(words)!r} is neither a model nor 'download NAME'")
    except RequestError as error:
        return complain(PROGRAM, str(error), EXIT_REQUEST)
    except InstallationError as error:
        return complain(PROGRAM, str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        return complain(PROGRAM, "stopped; the same command goes on from here", EXIT_INTERRUPTED)
    return 0


def listing() -> str:
    """Return the table with what its columns mean and what this machine has."""
    machine = this_machine()
    rows = overview(machine)
    ways = "; ".join(f"{mode}: {MODE_WORDS[mode]}" for mode in MODES)
    helpers = ", ".join(f"{card.name} ({card.kind}, {card.download_gb:g} GB)" for card in HELPERS)
    return (
        f"This machine has {machine.words()}.\n\n{table(rows)}\n\n"
        f"GPU memory in GB, estimated, for four ways of running: {ways}.\n"
        f"* has conditions: '{PROGRAM} NAME' tells them.\n"
        f"Helpers, fetched in the same way: {helpers}."
    )


def _details(name: str) -> str:
    if name in {card.name for card in HELPERS}:
        card = find_helper(name)
        return (
            f"{card.name}: {card.title}, a helper ({card.kind} model)\n"
            f"licence: {card.licence.name}\nrepository: {card.repository} at {card.revision}\n"
            f"download: about {card.download_gb:g} GB"
        )
    find_card(name)
    row = next(row for row in overview() if row.name == name)
    return "\n".join(f"{what}: {words}" for what, words in _facts(row) if words)


def _facts(row: Overview) -> list[tuple[str, str]]:
    conditions = f"; {row.licence.forbids}" if row.licence.forbids else ""
    return [
        (row.name, f"{row.title}. {row.description}"),
        ("repository", row.repository and f"{row.repository} at {row.revision}"),
        ("licence", f"{row.licence.name}; commercial use: {row.licence.commercial}{conditions}"),
        ("parameters", f"{row.parameters / 1e6:,.0f} million"),
        ("download", f"about {row.download_gb:g} GB" if row.download_gb else "ships here"),
        *((f"GPU memory, {mode}", f"about {gb:.0f} GB") for mode, gb in row.memory_gb.items()),
        ("sizes", ", ".join(map(str, row.sizes)) + " pixels"),
        ("frames", f"{row.frame_rule}, {row.fps} a second; orbits of at most {row.max_frames}"),
        ("abilities", ", ".join(row.abilities)),
        ("needs", ", ".join(row.helpers)),
        ("remarks", row.remarks),
        ("here", row.here() + (f": {row.plan.words()}" if row.plan else "")),
    ]


def _with_helpers(name: str) -> list[LargeModelCard | HelperCard]:
    if name in {card.name for card in HELPERS}:
        return [find_helper(name)]
    card = find_card(name)
    if not isinstance(card, LargeModelCard):
        raise RequestError(f"the model {name!r} ships with the program: nothing is to be fetched")
    return [card, *helpers_of(card)]


def _fetch(card: LargeModelCard | HelperCard, revision: str | None, accept: bool) -> None:
    # Here and not above: only this command needs the Hub's library with its network client.
    from pipelines.models.downloads import download

    stream = sys.stderr
    steps = download(card, revision, accept)
    bar = tqdm(unit="B", unit_scale=True, file=stream, disable=not stream.isatty(), desc=card.name)
    try:
        while True:
            try:
                step = next(steps)
            except StopIteration as finished:
                snapshot = finished.value
                break
            bar.total, bar.n = step.total_bytes, step.done_bytes
            bar.set_postfix_str(step.file, refresh=True)
    finally:
        bar.close()
        steps.close()
    print(f"{card.name} at {snapshot.commit}: {snapshot.folder}")
