"""A finished run's files in other formats: python -m threed export out/ stl --size-mm 80."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from threed.command_line import EXIT_FAILED, EXIT_REQUEST, OneLineParser, complain
from threed.errors import RequestError
from threed.export import write_whole
from threed.export_formats import FORMATS, PRINT_MM, find_format, stl_bytes, upright_mesh, why_not
from threed.run_folder import RunFolder

PROGRAM = "python -m threed export"
MM_RANGE = (1.0, 10_000.0)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = OneLineParser(prog=PROGRAM, description="Make a file of another format from a run.")
    parser.add_argument("run", type=Path, metavar="RUN", help="the output folder of a finished run")
    parser.add_argument("format", choices=[known.name for known in FORMATS])
    parser.add_argument(
        "--out", type=Path, help="the file, or a folder for it (beside the run's own)"
    )
    parser.add_argument(
        "--size-mm",
        type=float,
        default=PRINT_MM,
        help=f"of an STL: length of its longest side, millimetres ({PRINT_MM:g})",
    )
    return parser


def export(arguments: argparse.Namespace) -> Path:
    """Write the file and return where it lies.

    Raises:
        RequestError: The size means nothing, the run has not come so far, or no file can be
            written there.
    """
    low, high = MM_RANGE
    if not (math.isfinite(arguments.size_mm) and low <= arguments.size_mm <= high):
        raise RequestError(
            f"size_mm is {arguments.size_mm}; it must be a number from {low:g} to {high:g}"
        )
    known = find_format(arguments.format)
    assert known is not None, "the parser knows the formats"
    if (reason := why_not(RunFolder(arguments.run), known)) is not None:
        raise RequestError(f"no {known.name} can be made of the run in {arguments.run}: {reason}")
    if known.name == "stl":
        data = stl_bytes(upright_mesh(arguments.run / "mesh.glb"), arguments.size_mm)
    else:
        data = known.make(arguments.run)
    path = arguments.out or arguments.run / f"export{known.suffix}"
    try:
        if path.is_dir():
            # By the run's name, so that several runs' files may lie in one folder.
            path = path / f"{arguments.run.resolve().name}{known.suffix}"
        write_whole(path, data)
    except OSError as error:
        raise RequestError(f"{path} cannot be written: {error.strerror}") from error
    return path


def main(argv: Sequence[str]) -> int:
    """Run the command line and return its exit status."""
    arguments = build_parser().parse_args(argv)
    try:
        print(export(arguments))
    except RequestError as error:
        return complain(PROGRAM, str(error), EXIT_REQUEST)
    except OSError as error:
        return complain(PROGRAM, f"{error.filename} cannot be read: {error}", EXIT_FAILED)
    return 0
