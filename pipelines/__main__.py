"""Words to an orbit video and a textured mesh, without the page.

    python -m pipelines "a wooden chair" --seed 7 --out out/
    python -m pipelines models
    torchrun --nproc-per-node 2 -m pipelines "a wooden chair"        one clip on two processes
    python -m pipelines models download NAME

The exit status is 0, 2 for what is known to be wrong before any work, or 1.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import InstallationError, ReconstructionError, RequestError
from pipelines.hashing import file_sha256
from pipelines.models.catalogue import check_request
from pipelines.models.command_line import main as models
from pipelines.models.machine import take_device
from pipelines.parallel.environment import launched_rank, launched_size
from pipelines.request import CAMERAS, GenerationRequest
from threed.command_line import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_REQUEST,
    OneLineParser,
    complain,
)
from threed.run_folder import RunFolder
from threed.threads import sleep_soon

if TYPE_CHECKING:
    import pipelines.models.protocol

PROGRAM = "python -m pipelines"


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's parser; its defaults are the request's own."""
    parser = OneLineParser(
        prog=PROGRAM,
        description="Make an orbit video and a textured mesh from words.",
        epilog="'python -m pipelines models' lists the video models. A run that was interrupted "
        "goes on when the same command is given again.",
    )
    default = GenerationRequest(prompt="-")
    parser.add_argument("prompt", help="what to make, in words, for instance 'a wooden chair'")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the files (out)")
    parser.add_argument(
        "--picture",
        type=Path,
        help="a picture of the object (PNG, JPEG, WebP), with alpha or before a plain background; "
        "--elevation-deg is then the height of its camera",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace another request's run in that folder"
    )
    parser.add_argument(
        "--seed", type=int, default=default.seed, help=f"same seed, same frames ({default.seed})"
    )
    parser.add_argument("--model", default=default.model, help=f"video model ({default.model})")
    parser.add_argument(
        "--frames", type=int, default=default.num_frames, help=f"frames ({default.num_frames})"
    )
    parser.add_argument("--size", type=int, help="the video's width and height (the model's own)")
    parser.add_argument("--steps", type=int, help="denoising steps (the model's own)")
    parser.add_argument(
        "--guidance", type=float, help="how strongly the words steer, 1 is off (the model's own)"
    )
    parser.add_argument(
        "--elevation-deg",
        type=float,
        default=default.elevation_deg,
        help=f"height of the cameras above the horizon, degrees ({default.elevation_deg:g})",
    )
    parser.add_argument(
        "--camera",
        default=default.camera,
        help=f"what the camera does: {', '.join(CAMERAS)}; all but auto and orbit are for "
        f"--video-only, and for a model that follows them ({default.camera})",
    )
    parser.add_argument(
        "--texture",
        type=int,
        default=default.texture_size,
        help=f"the texture's width and height, pixels ({default.texture_size})",
    )
    parser.add_argument(
        "--faces", type=int, default=default.max_faces, help=f"at most ({default.max_faces})"
    )
    parser.add_argument(
        "--max-mb",
        type=float,
        help="megabytes that mesh.glb may have: texture, then triangles give way (no limit)",
    )
    parser.add_argument("--revision", help="a large model's branch, tag or commit (its own)")
    parser.add_argument(
        "--tries", type=int, help="clips drawn, the best kept, by models without cameras (its own)"
    )
    parser.add_argument(
        "--recaption",
        default=default.recaption,
        help="how the prompt is put into the model's own words: template, none (as typed), or, for "
        f"a large model, a language model ({default.recaption})",
    )
    parser.add_argument(
        "--commercial", action="store_true", help="refuse models whose licence forbids that"
    )
    parser.add_argument("--video-only", action="store_true", help="stop at the orbit video")
    parser.add_argument(
        "--no-distil", action="store_true", help="do not refine the field with the video model"
    )
    parser.add_argument(
        "--redraw",
        action=argparse.BooleanOptionalAction,
        help="draw the video again, once there is a shape, by what its views agree on, and take "
        "the texture from that (with the embedded model)",
    )
    parser.add_argument(
        "--attention",
        choices=("ulysses", "ring"),
        help="how attention is spread where torchrun has started several processes (ulysses on "
        "up to as many as the model has heads, else ring)",
    )
    return parser


def request_of(arguments: argparse.Namespace) -> GenerationRequest:
    """Return the request that the command line makes, or raise RequestError."""
    return GenerationRequest(
        prompt=arguments.prompt,
        seed=arguments.seed,
        model=arguments.model,
        num_frames=arguments.frames,
        size=arguments.size,
        num_steps=arguments.steps,
        guidance_scale=arguments.guidance,
        elevation_deg=arguments.elevation_deg,
        camera=arguments.camera,
        texture_size=arguments.texture,
        max_faces=arguments.faces,
        max_mb=arguments.max_mb,
        revision=arguments.revision,
        num_tries=arguments.tries,
        recaption=arguments.recaption,
        commercial=arguments.commercial,
        video_only=arguments.video_only,
        distil=not arguments.no_distil,
        redraw=arguments.redraw,
        picture=arguments.picture and _sha256(arguments.picture),
    )


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}") from error


@contextmanager
def _model(
    request: GenerationRequest, arguments: argparse.Namespace
) -> Iterator[tuple["pipelines.models.protocol.VideoModel | None", str]]:
    """Yield a device, and the model if it is spread; None leaves the loading to the chain."""
    if launched_size() > 1:
        from pipelines.parallel.launch import leading

        with leading(request, arguments.attention) as spread:
            yield spread
    else:
        yield None, str(take_device())


def run(arguments: argparse.Namespace) -> None:
    """Carry out one request, from the arguments to the last line of output."""
    request = request_of(arguments)
    check_request(request)
    if arguments.attention and launched_size() == 1:
        raise RequestError(
            "--attention says how several processes share a clip, and this is one alone; "
            "torchrun starts more: torchrun --nproc-per-node 2 -m pipelines ..."
        )
    if launched_rank() > 0:
        from pipelines.parallel.launch import follow

        follow(request, arguments.attention)
        return
    folder = RunFolder.create(arguments.out)
    try:
        # Torch comes in only here, after all that can be refused without it.
        from pipelines.generate import generate
        from threed.progress_bar import draw

        with _model(request, arguments) as (model, device):
            steps = generate(request, folder, model, device, arguments.overwrite, arguments.picture)
            report = draw(steps)
    finally:
        folder.remove_if_empty()
    if report is None:
        print(f"{folder.file('orbit.mp4')}")
    else:
        print(f"{folder.file('mesh.glb')}\n{report.verdict}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if list(argv)[:1] == ["models"]:
        return models(list(argv)[1:])
    arguments = build_parser().parse_args(argv)
    try:
        run(arguments)
    except RequestError as error:
        # Every process finds the same fault in a request; one says so.
        if launched_rank() > 0:
            return EXIT_REQUEST
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
