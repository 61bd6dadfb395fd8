"""python -m pipelines.training pack|render|autoencoder|transformer|export|evaluate|pictures."""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from pipelines.errors import InstallationError

PRESET_NAMES = ("nano", "small")


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's parser; needs no torch."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.training", description=__doc__)
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
    encoder.add_argument("--steps", type=int, default=2000, help="0 fits the linear part alone")
    encoder.add_argument("--seed", type=int, default=0)
    encoder.add_argument("--device", default="cpu")

    flow = commands.add_parser("transformer", help="train the diffusion transformer; resumes")
    flow.add_argument("dataset", type=Path, help="folder of orbits or file of meshes")
    flow.add_argument("--orbits", type=int, default=6, help="orbits drawn of a mesh")
    flow.add_argument("--autoencoder", type=Path, required=True)
    flow.add_argument("--out", type=Path, required=True, help="folder of the state and the log")
    flow.add_argument("--preset", default="nano", choices=PRESET_NAMES)
    begin = flow.add_mutually_exclusive_group()
    begin.add_argument("--init", type=Path, help="weights to begin with, of the same preset")
    begin.add_argument(
        "--guidance-of",
        type=Path,
        metavar="WEIGHTS",
        help="begin with these and learn to give in one pass what they give with guidance",
    )
    flow.add_argument("--steps", type=int, default=20_000, help="steps in all")
    flow.add_argument("--minutes", type=float, help="end after these, in all, instead")
    flow.add_argument("--batch-frames", type=int, default=320)
    flow.add_argument("--learning-rate", type=float, default=1e-3)
    flow.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="compile the network: minutes at first, then a third faster; default on a GPU alone",
    )
    flow.add_argument("--captions", type=int, default=16, help="captions an object")
    flow.add_argument("--recoloured", type=int, default=3, help="painted copies an object")
    flow.add_argument(
        "--pictures", type=float, default=0.2, help="share of the clips that are given a picture"
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
    score.add_argument("--cost", action="store_true", help="measure the cost alone, anew")
    score.add_argument("--steps", type=int, default=None)
    score.add_argument("--guidance", type=float, default=None)
    score.add_argument("--seed", type=int, default=0)
    score.add_argument("--out", type=Path, default=Path("docs/evaluation"))

    pictures = commands.add_parser("pictures", help="score orbits from pictures of unseen things")
    pictures.add_argument("known", type=Path, help="packed meshes that the model was trained on")
    pictures.add_argument("held_out", type=Path, help="packed meshes that it was not")
    pictures.add_argument("--model", type=Path, default=Path("assets/models/embedded"))
    pictures.add_argument("--count", type=int, default=40, help="about how many of the latter")
    pictures.add_argument("--seed", type=int, default=0)
    pictures.add_argument("--out", type=Path, default=Path("docs/evaluation"))
    return parser


def run_pack(args: argparse.Namespace) -> None:
    """Read the chosen GLBs and write them as tensors with their readable names."""
    from pipelines.training.captions import choose_rows, readable_name
    from pipelines.training.meshes import read_caption_rows, read_glb, write_packed

    found = read_caption_rows(args.source)
    kits = {row.kit for row in found}
    if unknown := sorted({*args.without, *(args.only or [])} - kits):
        raise ValueError(f"no object is of the kit {unknown[0]}; there are {sorted(kits)}")
    found = [row for row in found if row.kit not in args.without]
    found = [row for row in found if args.only is None or row.kit in args.only]
    chosen = choose_rows(found, designs_per_name=1, limit=args.names, seed=args.seed)
    rows = [replace(row, name=readable_name(row.name)) for row in chosen]
    if args.nameless:
        named = {row.id for row in rows}
        rows += [replace(row, name="") for row in found if row.id not in named]
    rows.sort(key=lambda row: row.id)
    write_packed(rows, (read_glb(args.source / row.file) for row in rows), args.out)
    print(f"{len(chosen)} names, {len(rows)} meshes: {args.out.stat().st_size / 1e6:.0f} MB")


def run_render(args: argparse.Namespace) -> None:
    """Pack the chosen GLBs and render them."""
    from pipelines.training.captions import choose_rows, readable_name
    from pipelines.training.meshes import read_caption_rows, read_glb
    from pipelines.training.renders import RenderConfig, render_dataset

    chosen = choose_rows(
        read_caption_rows(args.source),
        designs_per_name=args.designs,
        limit=args.names,
        seed=args.seed,
    )
    rows = {row.id: replace(row, name=readable_name(row.name)) for row in chosen}
    meshes = ((id_, read_glb(args.source / row.file)) for id_, row in sorted(rows.items()))
    config = RenderConfig(size=args.size, num_orbits=args.orbits)
    for done in render_dataset(meshes, rows, args.out, config, seed=args.seed, device=args.device):
        if done % 20 == 0 or done == len(rows):
            print(f"{done} of {len(rows)} objects", flush=True)


def run_autoencoder(args: argparse.Namespace) -> None:
    """Fit, train and save the autoencoder, going on from the file and the state beside it."""
    import torch

    from pipelines.training.autoencoder import (
        AutoencoderTraining,
        new_autoencoder,
        train_decoder,
    )
    from pipelines.training.orbits import open_orbits
    from pipelines.training.renders import RenderConfig
    from pipelines.training.samples import write_reconstructions
    from pipelines.video.checkpoint import load_autoencoder, save_model
    from pipelines.video.presets import PRESETS

    preset = PRESETS[args.preset]
    render = RenderConfig(size=preset.size, num_orbits=args.orbits)
    orbits = open_orbits(args.dataset, render, args.device, limit=args.objects)
    generator = torch.Generator().manual_seed(args.seed)
    if args.out.exists():
        autoencoder = load_autoencoder(args.out)
    else:
        autoencoder = new_autoencoder(orbits, preset.autoencoder, generator)
    save_model(autoencoder, args.out, torch.float32)
    if not args.steps:
        return
    config = AutoencoderTraining(num_steps=args.steps)
    state = args.out.with_suffix(".state.safetensors")
    records = train_decoder(autoencoder, orbits, config, state, seed=args.seed, device=args.device)
    for record in records:
        if record.step % 50 == 0:
            print(f"step {record.step} loss {record.loss:.4f}", flush=True)
        if record.step % 500 == 0 or record.step == record.num_steps:
            save_model(autoencoder, args.out, torch.float32)
            write_reconstructions(autoencoder, orbits, args.out.with_suffix(".png"))


def run_transformer(args: argparse.Namespace) -> None:
    """Encode the dataset and train, logging loss and sample sheets into the output folder."""
    import torch

    from pipelines.training.bank import build_bank
    from pipelines.training.clips import ClipConfig
    from pipelines.training.guidance import GuidanceTeacher, new_student
    from pipelines.training.orbits import open_orbits
    from pipelines.training.renders import RenderConfig
    from pipelines.training.samples import write_sample_sheet
    from pipelines.training.transformer import TransformerTraining, train_transformer
    from pipelines.video.checkpoint import load_autoencoder, load_transformer
    from pipelines.video.dit import DiT
    from pipelines.video.presets import PRESETS
    from pipelines.video.text import TextEncoder

    if args.threads:
        torch.set_num_threads(args.threads)
    preset = PRESETS[args.preset]
    autoencoder = load_autoencoder(args.autoencoder)
    render = RenderConfig(size=preset.size, num_orbits=args.orbits)
    begin = time.monotonic()
    bank = build_bank(
        open_orbits(args.dataset, render, args.device),
        autoencoder,
        TextEncoder(device=args.device),
        captions_per_object=args.captions,
        recoloured=args.recoloured,
        seed=args.seed,
        device=args.device,
    )
    seconds = time.monotonic() - begin
    print(f"{len(bank.latents)} orbits, {len(bank.texts)} captions: {seconds:.0f} s", flush=True)
    torch.manual_seed(args.seed)
    begun = args.guidance_of or args.init
    transformer = load_transformer(begun) if begun else DiT(preset.transformer)
    if transformer.config != preset.transformer:
        raise ValueError(f"{begun} holds another network than preset {args.preset}")
    teacher = None
    if args.guidance_of:
        teacher = GuidanceTeacher(transformer=transformer)
        transformer = new_student(transformer)
    config = TransformerTraining(
        num_steps=args.steps,
        num_minutes=args.minutes,
        batch_frames=args.batch_frames,
        learning_rate=args.learning_rate,
    )
    args.out.mkdir(parents=True, exist_ok=True)
    steps = train_transformer(
        transformer,
        bank,
        config,
        ClipConfig(give_picture=args.pictures),
        args.out / "state.safetensors",
        teacher=teacher,
        compile_model=args.device != "cpu" if args.compile is None else args.compile,
        seed=args.seed,
        device=args.device,
    )
    losses, clips, begin = [], 0, time.monotonic()
    for record in steps:
        losses.append(record.loss)
        clips += record.clips
        if record.step % args.log_steps == 0 or record.last:
            mean = float(torch.stack(losses).mean())
            rate = 3600 * clips / (time.monotonic() - begin)
            line = f"{record.step}\t{mean:.4f}\t{rate:.0f} clips/h"
            print(line, flush=True)
            with (args.out / "log.tsv").open("a") as log:
                log.write(line + "\n")
            losses = []
        if record.step % args.sheet_steps == 0 or record.last:
            path = args.out / f"sheet-{record.step:06d}.png"
            write_sample_sheet(transformer, autoencoder, preset.size, path, args.device)


def run_export(args: argparse.Namespace) -> None:
    """Write the folder that `EmbeddedModel.load` reads."""
    from pipelines.training.export import export_model
    from pipelines.training.orbits import open_orbits
    from pipelines.training.renders import RenderConfig
    from pipelines.video.presets import PRESETS

    # The default orbit alone is looked at.
    render = RenderConfig(size=PRESETS[args.preset].size, num_orbits=1)
    export_model(
        open_orbits(args.dataset, render, args.device, named=True),
        args.autoencoder,
        args.transformer,
        args.preset,
        args.out,
        args.earlier,
        args.earlier_share,
    )


def run_evaluate(args: argparse.Namespace) -> None:
    """Score the model against its known names, and on colours and other words."""
    from pipelines.training.evaluation import EvaluationConfig, evaluate, measure_cost

    config = EvaluationConfig(
        num_names=args.names,
        num_steps=args.steps,
        guidance_scale=args.guidance,
        seed=args.seed,
    )
    if args.cost:
        print(measure_cost(args.model, config, args.out))
    else:
        evaluate(args.model, config, args.out)


def run_pictures(args: argparse.Namespace) -> None:
    """Score orbits that start from one picture."""
    from pipelines.training.picture_scores import evaluate_pictures

    report = evaluate_pictures(
        args.model, args.known, args.held_out, args.count, args.out, seed=args.seed
    )
    print({key: value for key, value in report.items() if key != "objects"})


def main() -> int:
    """Run one command; 2 with one line for a wrong request, 1 for a broken installation."""
    args = build_parser().parse_args()
    run = {
        "pack": run_pack,
        "render": run_render,
        "autoencoder": run_autoencoder,
        "transformer": run_transformer,
        "export": run_export,
        "evaluate": run_evaluate,
        "pictures": run_pictures,
    }[args.command]
    try:
        run(args)
    except InstallationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
