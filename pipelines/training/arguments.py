"""The arguments of the training's commands; reading them needs no torch."""

import argparse
from pathlib import Path

PRESET_NAMES = ("nano", "small")
USAGE = "python -m pipelines.training pack|render|autoencoder|transformer|export|evaluate|pictures."


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's parser; needs no torch."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.training", description=USAGE)
    commands = parser.add_subparsers(dest="command", required=True)

    pack = commands.add_parser("pack", help="bring captioned GLBs into one file of meshes")
    pack.add_argument("source", type=Path, help="folder with captions.csv (file, name) and GLBs")
    pack.add_argument("--out", type=Path, required=True, help="meshes.safetensors")
    pack.add_argument("--names", type=int, default=None, help="how many names; all if not given")
    pack.add_argument(
        "--nameless",
        action="store_true",
        help="add all other designs without their names, to be learnt beside a picture",
    )
    pack.add_argument(
        "--without", nargs="*", default=[], metavar="KIT", help="kits to keep for the scores"
    )
    pack.add_argument("--only", nargs="*", metavar="KIT", help="nothing but these kits")
    pack.add_argument("--seed", type=int, default=0)

    render = commands.add_parser("render", help="draw a folder of captioned GLBs as orbits")
    render.add_argument("source", type=Path, help="folder with captions.csv (file, name) and GLBs")
    render.add_argument("--out", type=Path, required=True, help="dataset folder to write")
    render.add_argument("--size", type=int, default=64, help="pixels along a frame's side")
    render.add_argument("--orbits", type=int, default=6, help="orbits an object")
    render.add_argument("--moving", type=int, default=3, help="clips in which something moves")
    render.add_argument("--names", type=int, default=None, help="how many names; all if not given")
    render.add_argument("--designs", type=int, default=2, help="designs a name")
    render.add_argument("--seed", type=int, default=0)
    render.add_argument("--device", default="cpu")

    encoder = commands.add_parser("autoencoder", help="fit the latents, train the decoder")
    encoder.add_argument("dataset", type=Path, help="folder of orbits or file of meshes")
    encoder.add_argument("--objects", type=int, help="how many of the meshes; all if not given")
    encoder.add_argument("--orbits", type=int, default=6, help="orbits drawn of a mesh")
    encoder.add_argument("--out", type=Path, required=True, help="autoencoder.safetensors")
    encoder.add_argument("--preset", default="nano", choices=PRESET_NAMES)
    encoder.add_argument("--encoder-of", type=Path, help="autoencoder whose latents are kept")
    encoder.add_argument("--steps", type=int, default=2000, help="0 fits the linear part alone")
    encoder.add_argument("--minutes", type=float, help="end after these, in all, instead")
    encoder.add_argument("--batch-clips", type=int, default=8, help="clips of four frames a step")
    encoder.add_argument("--seed", type=int, default=0)
    encoder.add_argument("--device", default="cpu")

    flow = commands.add_parser("transformer", help="train the diffusion transformer; resumes")
    flow.add_argument("dataset", type=Path, help="folder of orbits or file of meshes")
    flow.add_argument("--orbits", type=int, default=6, help="orbits drawn of a mesh")
    flow.add_argument(
        "--moving", type=int, default=3, help="clips of a named mesh in which something moves"
    )
    flow.add_argument(
        "--deformed", type=int, default=2, help="copies of a mesh in another shape, for pictures"
    )
    flow.add_argument("--autoencoder", type=Path, required=True)
    flow.add_argument("--out", type=Path, required=True, help="folder of the state and the log")
    flow.add_argument("--preset", default="nano", choices=PRESET_NAMES)
    begin = flow.add_mutually_exclusive_group()
    begin.add_argument("--init", type=Path, help="weights to go on from, of the same preset")
    begin.add_argument(
        "--guidance-of",
        type=Path,
        metavar="WEIGHTS",
        help="begin with these and learn to give in one pass what they give with guidance",
    )
    flow.add_argument("--steps", type=int, default=20_000, help="steps in all")
    flow.add_argument("--minutes", type=float, help="end after these, in all, instead")
    flow.add_argument(
        "--guidance-minutes",
        type=float,
        help="then teach the weights guidance in one pass, for so long, into OUT/guided",
    )
    flow.add_argument("--batch-frames", type=int, default=320)
    flow.add_argument("--learning-rate", type=float, default=1e-3)
    flow.add_argument(
        "--decay-share", type=float, default=0.25, help="share in which the rate falls to zero"
    )
    flow.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="compile the network: minutes at first, then a third faster; default on a GPU alone",
    )
    flow.add_argument("--captions", type=int, default=16, help="captions an object")
    flow.add_argument("--recoloured", type=int, default=3, help="painted copies an object")
    flow.add_argument(
        "--pictures", type=float, default=0.5, help="share of the clips that are given a picture"
    )
    flow.add_argument("--sheet-steps", type=int, default=1000, help="steps between sample sheets")
    flow.add_argument("--log-steps", type=int, default=50, help="steps between lines of the log")
    flow.add_argument("--threads", type=int, default=0, help="CPU threads; 0 is all")
    flow.add_argument("--seed", type=int, default=0)
    flow.add_argument("--device", default="cpu")

    export = commands.add_parser("export", help="write the shipped files from a training state")
    export.add_argument("--dataset", type=Path, required=True, help="folder or file of meshes")
    export.add_argument("--autoencoder", type=Path, required=True)
    export.add_argument("--transformer", type=Path, required=True, help="state folder or weights")
    export.add_argument("--preset", default="nano", choices=PRESET_NAMES)
    export.add_argument("--out", type=Path, default=Path("assets/models/embedded"))
    export.add_argument("--device", default="cpu", help="where meshes are drawn")
    export.add_argument("--earlier", type=Path, help="transformer of an edition to mix in")
    export.add_argument("--earlier-share", type=float, default=0.3, help="how much of it (0.3)")

    score = commands.add_parser("evaluate", help="score the shipped model, write JSON and a sheet")
    score.add_argument("--model", type=Path, default=Path("assets/models/embedded"))
    score.add_argument("--names", type=int, default=200, help="known names to draw")
    part = score.add_mutually_exclusive_group()
    part.add_argument("--cost", action="store_true", help="measure the cost alone, anew")
    part.add_argument("--moves", action="store_true", help="score what moves alone, anew")
    score.add_argument("--steps", type=int, default=None)
    score.add_argument("--guidance", type=float, default=None)
    score.add_argument("--seed", type=int, default=0)
    score.add_argument("--out", type=Path, default=Path("docs/evaluation"))

    pictures = commands.add_parser("pictures", help="score orbits from pictures of unseen things")
    pictures.add_argument("known", type=Path, help="packed meshes that the model was trained on")
    pictures.add_argument("held_out", type=Path, help="packed meshes that it was not")
    pictures.add_argument("--model", type=Path, default=Path("assets/models/embedded"))
    pictures.add_argument("--count", type=int, default=40, help="about how many of the latter")
    pictures.add_argument("--steps", type=int, default=None)
    pictures.add_argument("--guidance", type=float, default=None)
    pictures.add_argument("--seed", type=int, default=0)
    pictures.add_argument("--out", type=Path, default=Path("docs/evaluation"))
    return parser
