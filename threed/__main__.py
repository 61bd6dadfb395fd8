"""A turntable clip to a textured mesh, without any diffusion model.

    python -m threed turntable.mp4 --out out/
    python -m threed export out/ stl --size-mm 80       the mesh in another format

The exit status is 0, 2 for what is known to be wrong before any work, or 1.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threed.command_line import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_REQUEST,
    OneLineParser,
    complain,
)
from threed.errors import InstallationError, ReconstructionError, RequestError
from threed.run_folder import RunFolder
from threed.threads import sleep_soon

if TYPE_CHECKING:
    import threed.orbit
    import threed.upright

PROGRAM = "python -m threed"
FACES, TEXTURE, SIZE, SEED = 20_000, 1024, 128, 0


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = OneLineParser(
        prog=PROGRAM,
        description="Make a textured mesh from views of one object taken all around it.",
        epilog="A run that was interrupted goes on when the same command is given again. "
        "'python -m threed export --help' makes other formats of a finished one.",
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a clip that goes about one object (mp4, mov, webm, mkv, avi, gif, webp) or a folder "
        "of its pictures, with alpha or before a plain background (or any, once a segmentation "
        "model is there: 'python -m pipelines models download sam2.1-hiera-tiny'); a folder with "
        "transforms.json (nerfstudio's format); or an orbit.npz",
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the files (out)")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace another run's files in that folder"
    )
    parser.add_argument(
        "--elevation-deg",
        type=float,
        help="height of a clip's camera above the object's middle, degrees (measured)",
    )
    parser.add_argument(
        "--fov-deg",
        type=float,
        help="vertical field of view of a clip's camera, degrees (measured)",
    )
    parser.add_argument(
        "--size",
        type=int,
        help=f"longer side of the frames used, pixels ({SIZE}); those of an orbit.npz are used as "
        "they are",
    )
    parser.add_argument(
        "--texture", type=int, default=TEXTURE, help=f"the texture's side, pixels ({TEXTURE})"
    )
    parser.add_argument("--faces", type=int, default=FACES, help=f"at most ({FACES})")
    parser.add_argument(
        "--max-mb",
        type=float,
        help="megabytes that mesh.glb may have: texture, then triangles give way (no limit)",
    )
    parser.add_argument("--seed", type=int, default=SEED, help=f"seed of all chance ({SEED})")
    parser.add_argument(
        "--origin",
        choices=("centre", "feet"),
        help="move the mesh: its middle or its foot to the origin (left where it stands)",
    )
    parser.add_argument(
        "--up",
        choices=("y", "z"),
        help="the axis of the result's numbers that is up (as in SOURCE)",
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Carry out one reconstruction, from the arguments to the last line of output."""
    asked = _asked(arguments)
    folder = RunFolder.create(arguments.out)
    try:
        before = _same_run(folder, asked, arguments.overwrite)
        # Torch comes in only here, after what can be refused without it.
        import torch

        from threed.fit import FitConfig
        from threed.orbit_files import read_orbit
        from threed.placement import discard_moved, place
        from threed.progress_bar import draw
        from threed.reconstruct import ReconstructionSettings, reconstruct

        try:
            settings = ReconstructionSettings(
                max_faces=arguments.faces,
                texture_size=arguments.texture,
                max_mb=arguments.max_mb,
                provenance={"source": asked["source"], "seed": arguments.seed},
            )
        except ValueError as error:
            raise RequestError(str(error)) from error
        if before is not None and folder.done("orbit"):
            up = before["up"]
        else:
            # Only now is another run's work given up: the new one can be done.
            up = _write_source(arguments, asked, folder)
        settings = replace(settings, fit=FitConfig(up=up))
        # Read back even when fresh, so that a resumed run sees the very same numbers.
        orbit = read_orbit(folder.path)
        _check_memory(orbit, arguments)
        orbit = orbit.to("cuda" if torch.cuda.is_available() else "cpu")
        if arguments.origin is not None and not folder.done("report"):
            discard_moved(folder)
        generator = torch.Generator().manual_seed(arguments.seed)
        report = draw(reconstruct(orbit, folder, settings, None, generator))
        if arguments.origin is not None:
            place(folder, arguments.origin, up)
    finally:
        folder.remove_if_empty()
        folder.close()
    print(f"{folder.file('mesh.glb')}\n{report.verdict}")


def _asked(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the result depends on, as JSON; the same again means the same run."""
    if not 0 <= arguments.seed < 1 << 63:
        raise RequestError(f"seed is {arguments.seed}; can be 0 to {(1 << 63) - 1}")
    for name in ("elevation_deg", "fov_deg"):
        value = getattr(arguments, name)
        if value is not None and not math.isfinite(value):
            raise RequestError(f"{name} is {value}; must be a number of degrees")
    path = Path(arguments.source)
    try:
        if not path.exists():
            raise RequestError(f"there is no file or folder at {path}")
        stats = [file.stat() for file in _source_files(path)]
        inside = path.resolve().is_relative_to(arguments.out.resolve())
    except (OSError, ValueError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"{arguments.source!r} cannot be read: {error}") from error
    if inside:
        raise RequestError(f"{path} lies in the output folder; choose another --out")
    kept = (
        "elevation_deg",
        "fov_deg",
        "texture",
        "faces",
        "max_mb",
        "seed",
        "origin",
        "up",
    )
    return {
        "source": path.name,
        "source_files": len(stats),
        "source_bytes": sum(stat.st_size for stat in stats),
        "source_modified": max(stat.st_mtime_ns for stat in stats),
        **{name: getattr(arguments, name) for name in kept},
        "size": _size(arguments),
    }


def _size(arguments: argparse.Namespace) -> int:
    return SIZE if arguments.size is None else arguments.size


def _source_files(path: Path) -> list[Path]:
    """Return what a source is read from: a file, or a transforms.json and the pictures it names."""
    if path.is_dir():
        if (path / "orbit.npz").is_file():
            return [path / "orbit.npz"]
        listing = path / "transforms.json"
        if not listing.exists():
            from threed.picture_folder import pictures_in

            return pictures_in(path) or [path]
    elif path.name.lower().endswith(".json"):
        listing = path
    else:
        return [path]
    try:
        frames = json.loads(listing.read_text("utf-8"))["frames"]
        names = {
            frame[key] for frame in frames for key in ("file_path", "mask_path") if key in frame
        }
        pictures = [listing.parent / name for name in names]
        # Suffixes may be left out.
        pictures = [file if file.suffix else file.with_suffix(".png") for file in pictures]
        return [listing, *(file for file in pictures if file.exists())]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        # Reading the source will say what is wrong.
        return [listing if listing.is_file() else path]


def _same_run(folder: RunFolder, asked: dict[str, Any], overwrite: bool) -> dict[str, Any] | None:
    """Return what the folder's run wrote down if it is the same run, None if there is none.

    Raises:
        RequestError: It is another run, which is not to be replaced.
    """
    if not folder.done("request"):
        return None
    try:
        before = json.loads(folder.file("request.json").read_text("utf-8"))
    except (OSError, ValueError):
        before = None
    if isinstance(before, dict) and before.get("asked") == asked and "up" in before:
        return before
    if not overwrite:
        raise RequestError(
            f"{folder.path} holds another run; choose another --out, or --overwrite to replace it"
        )
    return None


def _write_source(
    arguments: argparse.Namespace, asked: dict[str, Any], folder: RunFolder
) -> "threed.upright.Up":
    """Read the source, write the first two stages and return the orbit's axis that is up."""
    from threed.memory import check_reconstruction, machine_bytes
    from threed.orbit_files import write_orbit
    from threed.placement import turned_up
    from threed.poses import PoseConfig
    from threed.progress_bar import draw
    from threed.source import SourceConfig, is_orbit_video, most_frames, source_steps

    poses = PoseConfig(elevation_deg=arguments.elevation_deg, fov_deg=arguments.fov_deg)
    config = SourceConfig(size=_size(arguments), poses=poses)
    path = Path(arguments.source)
    if not is_orbit_video(path):
        # Reading takes long, and memory too.
        most = most_frames(path)
        check_reconstruction(most, config.size, arguments.texture, machine_bytes())
    print(f"reading {arguments.source}", file=sys.stderr, flush=True)
    source = draw(source_steps(arguments.source, config))
    for note in source.notes:
        print(note, file=sys.stderr, flush=True)
    up = arguments.up or source.up
    orbit = turned_up(source.orbit, source.up, up)
    if orbit.kind == "clip":
        raise RequestError(f"{arguments.source} is no turn about an object that stands still")
    if is_orbit_video(path):
        _check_own_size(orbit, arguments)
    _check_memory(orbit, arguments)
    with folder.stage("request") as temporary:
        text = json.dumps({"asked": asked, "up": up, "notes": list(source.notes)}, indent=2)
        (temporary / "request.json").write_text(text + "\n", "utf-8")
    with folder.stage("orbit") as temporary:
        write_orbit(temporary, orbit)
    return up


def _check_own_size(orbit: "threed.orbit.OrbitVideo", arguments: argparse.Namespace) -> None:
    """Refuse a size that was asked for and that an orbit.npz does not have."""
    width, height = orbit.cameras.width, orbit.cameras.height
    if arguments.size not in (None, max(width, height)):
        raise RequestError(
            f"size is {arguments.size}, but the frames in {arguments.source} are {width} x "
            f"{height} pixels and are used as they are: leave --size out{_resized(arguments)}"
        )


def _check_memory(orbit: "threed.orbit.OrbitVideo", arguments: argparse.Namespace) -> None:
    """Refuse frames, now that they are counted, with which the run cannot fit."""
    from threed.memory import SMALLER, check_frames, machine_bytes
    from threed.source import is_orbit_video

    remedy = SMALLER
    if is_orbit_video(Path(arguments.source)):
        remedy = (
            "its frames have a size of their own, to which --size does not apply: ask for a "
            f"smaller --texture{_resized(arguments)}"
        )
    width, height = orbit.cameras.width, orbit.cameras.height
    available = machine_bytes()
    check_frames(orbit.num_frames, width, height, arguments.texture, available, remedy)


def _resized(arguments: argparse.Namespace) -> str:
    """Return how an orbit.npz's pictures are had in another size, where they lie beside it."""
    path = Path(arguments.source)
    listing = (path if path.is_dir() else path.parent) / "transforms.json"
    return f", or give {listing}, whose pictures are resized" if listing.is_file() else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if list(argv)[:1] == ["export"]:
        from threed.export_command import main as export

        return export(list(argv)[1:])
    arguments = build_parser().parse_args(argv)
    try:
        run(arguments)
    except RequestError as error:
        return complain(PROGRAM, str(error), EXIT_REQUEST)
    except (ReconstructionError, InstallationError) as error:
        return complain(PROGRAM, str(error), EXIT_FAILED)
    except ImportError as error:
        return complain(
            PROGRAM, f"the installation is broken: {error}; 'make app' repairs it", EXIT_FAILED
        )
    except KeyboardInterrupt:
        return complain(PROGRAM, "stopped; the same command goes on from here", EXIT_INTERRUPTED)
    return 0


if __name__ == "__main__":
    sleep_soon(os.environ)
    sys.exit(main())
