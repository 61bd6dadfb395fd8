"""The commands of the training; `arguments.py` says what each takes."""

import argparse
import sys
import time
from dataclasses import replace

from pipelines.errors import InstallationError
from pipelines.training.arguments import build_parser


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
    config = RenderConfig(size=args.size, num_orbits=args.orbits, num_moving=args.moving)
    for done in render_dataset(meshes, rows, args.out, config, seed=args.seed, device=args.device):
        if done % 20 == 0 or done == len(rows):
            print(f"{done} of {len(rows)} objects", flush=True)


def run_autoencoder(args: argparse.Namespace) -> None:
    """Fit, train and save the autoencoder, going on from the file and the state beside it."""
    from pipelines.training.autoencoder import (
        AutoencoderTraining,
        begin_decoder,
        follow_decoder,
    )
    from pipelines.training.orbits import open_orbits
    from pipelines.training.renders import RenderConfig
    from pipelines.video.presets import PRESETS

    preset = PRESETS[args.preset]
    render = RenderConfig(size=preset.size, num_orbits=args.orbits)
    orbits = open_orbits(args.dataset, render, args.device, limit=args.objects)
    begun = begin_decoder(args.out, args.encoder_of, orbits, preset.autoencoder, args.seed)
    if args.steps:
        config = AutoencoderTraining(
            num_steps=args.steps, num_minutes=args.minutes, batch_clips=args.batch_clips
        )
        follow_decoder(begun, orbits, config, args.out, seed=args.seed, device=args.device)


def run_transformer(args: argparse.Namespace) -> None:
    """Encode the dataset and train, logging loss and sample sheets into the output folder."""
    import torch

    from pipelines.training.bank import build_bank
    from pipelines.training.clips import ClipConfig
    from pipelines.training.course import STATE_NAME, Course, follow, teach_guidance
    from pipelines.training.guidance import without_guidance
    from pipelines.training.orbits import open_orbits
    from pipelines.training.renders import RenderConfig
    from pipelines.training.transformer import TransformerTraining, averaged_network
    from pipelines.video.checkpoint import load_autoencoder, load_transformer
    from pipelines.video.dit import DiT
    from pipelines.video.presets import PRESETS
    from pipelines.video.text import TextEncoder

    if args.threads:
        torch.set_num_threads(args.threads)
    preset = PRESETS[args.preset]
    autoencoder = load_autoencoder(args.autoencoder)
    render = RenderConfig(
        size=preset.size,
        num_orbits=args.orbits,
        num_moving=args.moving,
        num_deformed=args.deformed,
    )
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
    network = load_transformer(begun) if begun else DiT(preset.transformer)
    if network.config.max_guidance > 1:
        network = without_guidance(network)
    if network.config != preset.transformer:
        raise ValueError(f"{begun} holds another network than preset {args.preset}")
    course = Course(
        bank=bank,
        training=TransformerTraining(
            num_steps=args.steps,
            num_minutes=args.minutes,
            batch_frames=args.batch_frames,
            learning_rate=args.learning_rate,
            decay_share=args.decay_share,
        ),
        clips=ClipConfig(give_picture=args.pictures),
        size=preset.size,
        compile_model=args.device != "cpu" if args.compile is None else args.compile,
        seed=args.seed,
        device=args.device,
        log_steps=args.log_steps,
        sheet_steps=args.sheet_steps,
    )
    if args.guidance_of:
        teach_guidance(network, course, args.out)
        return
    follow(network, course, args.out)
    if args.guidance_minutes:
        averaged = averaged_network(args.out / STATE_NAME, preset.transformer)
        teach_guidance(averaged, course.for_guidance(args.guidance_minutes), args.out / "guided")


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
    from pipelines.training.evaluation import (
        EvaluationConfig,
        evaluate,
        measure_cost,
        measure_moves,
    )

    config = EvaluationConfig(
        num_names=args.names,
        num_steps=args.steps,
        guidance_scale=args.guidance,
        seed=args.seed,
    )
    if args.cost:
        print(measure_cost(args.model, config, args.out))
    elif args.moves:
        print(measure_moves(args.model, config, args.out))
    else:
        evaluate(args.model, config, args.out)


def run_pictures(args: argparse.Namespace) -> None:
    """Score orbits that start from one picture."""
    from pipelines.training.picture_scores import evaluate_pictures

    report = evaluate_pictures(
        args.model,
        args.known,
        args.held_out,
        args.count,
        args.out,
        num_steps=args.steps,
        guidance_scale=args.guidance,
        seed=args.seed,
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
