"""A turntable clip to a textured mesh, without any diffusion model.

    python -m threed turntable.mp4 --out out/

The exit status is 0, 2 for what is known to be wrong before any work, or 1.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from threed.errors import ReconstructionError, RequestError
from threed.run_folder import RunFolder

if TYPE_CHECKING:
    import threed.orbit
    import threed.report
    import threed.source

EXIT_FAILED, EXIT_REQUEST, EXIT_INTERRUPTED = 1, 2, 130
FACES, TEXTURE, SIZE, FOV_DEG, SEED = 20_000, 1024, 256, 40.0, 0


class OneLineParser(argparse.ArgumentParser):
    """A parser whose complaints are one line, with the status of a wrong request."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_REQUEST, f"{self.prog}: {message} (--help lists what is allowed)\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="python -m threed",
        description="Make a textured mesh from views of one object taken all around it.",
        epilog="A run that was interrupted goes on when the same command is given again.",
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a clip of whole turns (mp4, mov, webm, mkv, avi, gif, webp) with alpha or before a "
        "plain background; a folder with transforms.json (nerfstudio's format); or an orbit.npz",
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
        default=FOV_DEG,
        help=f"vertical field of view of a clip's camera, degrees ({FOV_DEG:g})",
    )
    parser.add_argument(
        "--size", type=int, default=SIZE, help=f"longer side of the frames used, pixels ({SIZE})"
    )
    parser.add_argument(
        "--texture", type=int, default=TEXTURE, help=f"the texture's side, pixels ({TEXTURE})"
    )
    parser.add_argument("--faces", type=int, default=FACES, help=f"at most ({FACES})")
    parser.add_argument("--seed", type=int, default=SEED, help=f"seed of all chance ({SEED})")
    parser.add_argument(
        "--origin",
        choices=("centre", "feet"),
        help="move the mesh: its middle or its foot to the origin (left where it stands)",
    )
    parser.add_argument(
        "--up", choices=("y", "z"), help="turn the result so that this axis is up (as in SOURCE)"
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Carry out one reconstruction, from the arguments to the last line of output."""
    asked = _asked(arguments)
    folder = RunFolder.create(arguments.out)
    try:
        _check_folder(folder, asked, arguments.overwrite)
        # Torch comes in only here, after what can be refused without it.
        import torch

        from threed.progress_bar import draw
        from threed.reconstruct import ReconstructionSettings, reconstruct
        from threed.run_folder import read_orbit

        try:
            settings = ReconstructionSettings(
                max_faces=arguments.faces,
                texture_size=arguments.texture,
                provenance={"source": asked["source"], "seed": arguments.seed},
            )
        except ValueError as error:
            raise RequestError(str(error)) from error
        if not folder.done("orbit"):
            _write_source(arguments, asked, folder)
        # Read back even when fresh, so that a resumed run sees the very same numbers.
        orbit = read_orbit(folder.path).to("cuda" if torch.cuda.is_available() else "cpu")
        generator = torch.Generator().manual_seed(arguments.seed)
        report = draw(reconstruct(orbit, folder, settings, None, generator))
        if arguments.origin is not None:
            _place(folder, arguments.origin, orbit, settings.provenance)
    finally:
        folder.remove_if_empty()
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
        inner = path / "transforms.json" if path.is_dir() else path
        stat = (inner if inner.exists() else path).stat()
        inside = path.resolve().is_relative_to(arguments.out.resolve())
    except (OSError, ValueError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"{arguments.source!r} cannot be read: {error}") from error
    if inside:
        raise RequestError(f"{path} lies in the output folder; choose another --out")
    kept = ("elevation_deg", "fov_deg", "size", "texture", "faces", "seed", "origin", "up")
    return {
        "source": path.name,
        "source_bytes": stat.st_size,
        "source_modified": stat.st_mtime_ns,
        **{name: getattr(arguments, name) for name in kept},
    }


def _check_folder(folder: RunFolder, asked: dict[str, Any], overwrite: bool) -> None:
    """Clear another run away if that is wanted, else raise RequestError."""
    if not folder.done("request"):
        return
    try:
        before = json.loads(folder.file("request.json").read_text("utf-8"))
    except (OSError, ValueError):
        before = None
    if isinstance(before, dict) and before.get("asked") == asked:
        return
    if not overwrite:
        raise RequestError(
            f"{folder.path} holds another run; choose another --out, or --overwrite to replace it"
        )
    folder.discard("request")


def _write_source(arguments: argparse.Namespace, asked: dict[str, Any], folder: RunFolder) -> None:
    """Read the source and write the first two stages."""
    from threed.placement import turned_up
    from threed.poses import PoseConfig
    from threed.run_folder import write_orbit
    from threed.source import SourceConfig, read_source

    poses = PoseConfig(elevation_deg=arguments.elevation_deg, fov_deg=arguments.fov_deg)
    config = SourceConfig(size=arguments.size, poses=poses)
    print(f"reading {arguments.source}", file=sys.stderr, flush=True)
    source = read_source(arguments.source, config)
    for note in source.notes:
        print(note, file=sys.stderr, flush=True)
    orbit = turned_up(source.orbit, source.up, arguments.up or source.up)
    if orbit.kind == "clip":
        raise RequestError(f"{arguments.source} is no turn about an object that stands still")
    with folder.stage("request") as temporary:
        text = json.dumps({"asked": asked, "notes": list(source.notes)}, indent=2)
        (temporary / "request.json").write_text(text + "\n", "utf-8")
    with folder.stage("orbit") as temporary:
        write_orbit(temporary, orbit)


def _place(
    folder: RunFolder, origin: Any, orbit: "threed.orbit.OrbitVideo", provenance: dict[str, object]
) -> None:
    """Move the finished mesh; moving it again changes nothing, so a resumed run may."""
    from threed.dataset import cameras_up
    from threed.export import export_glb, load_glb
    from threed.placement import placed

    path = folder.file("mesh.glb")
    mesh = placed(load_glb(path), origin, cameras_up(orbit.cameras))
    export_glb(mesh, path, unlit=orbit.normals is None, extras={**provenance, "origin": origin})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = build_parser().parse_args(argv)
    try:
        run(arguments)
    except RequestError as error:
        return _complain(str(error), EXIT_REQUEST)
    except ReconstructionError as error:
        return _complain(str(error), EXIT_FAILED)
    except ImportError as error:
        return _complain(f"the installation is broken: {error}; 'make app' repairs it", EXIT_FAILED)
    except KeyboardInterrupt:
        return _complain("stopped; the same command goes on from here", EXIT_INTERRUPTED)
    return 0


def _complain(message: str, status: int) -> int:
    print(f"python -m threed: {' '.join(message.split())}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
