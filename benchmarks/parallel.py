"""python -m benchmarks.parallel: one long clip on several processes, against one.

For the preset's architecture with random weights (neither memory nor error depends on what they
say) it runs one guided pass of the transformer and one decoding, and prints for each number of
processes and each way of attention: the largest difference from one process, the peak of tensor
bytes on the leader and on the fullest follower, and seconds. Processes share this machine's cores,
so seconds show what spreading costs and not what more machines would gain.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from benchmarks.live_bytes import LiveBytes
from pipelines.parallel.attention import AttentionKind
from pipelines.parallel.embedded import SpreadAutoencoder, SpreadDiT
from pipelines.parallel.ranks import Ranks
from pipelines.video.autoencoder import Autoencoder
from pipelines.video.conditioning import Conditioning, empty_reference, plucker_rays
from pipelines.video.dit import DiT
from pipelines.video.presets import PRESETS
from threed.cameras import orbit_cameras

NUM_TEXT_TOKENS = 32


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What every row of the table computes."""

    preset: str
    num_frames: int
    depth: int
    """Blocks of the transformer; its memory does not depend on them."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One process's share of one row."""

    outputs: tuple[Tensor, ...] = ()
    """The pass's and the decoder's results, on the leader."""
    transformer_bytes: int
    decoder_bytes: int
    seconds: float


def networks(work: Workload) -> tuple[DiT, Autoencoder]:
    """Return both networks, their weights random but the same in every process."""
    preset = PRESETS[work.preset]
    generator = torch.Generator().manual_seed(0)
    transformer = DiT(replace(preset.transformer, depth=work.depth))
    autoencoder = Autoencoder(preset.autoencoder)
    for tensor in (*transformer.parameters(), *autoencoder.parameters(), *autoencoder.buffers()):
        torch.nn.init.normal_(tensor, std=0.02, generator=generator)
    return transformer.eval(), autoencoder.eval()


def inputs(work: Workload, text_width: int) -> tuple[Tensor, Conditioning]:
    """Return noisy latents and conditions of a guided pass, a batch of two."""
    preset = PRESETS[work.preset]
    stride, channels = preset.autoencoder.stride, preset.autoencoder.latent_channels
    rows = preset.size // stride
    generator = torch.Generator().manual_seed(1)
    cameras = orbit_cameras(work.num_frames, size=preset.size)
    reference, mask = empty_reference(2, work.num_frames, channels, rows, rows)
    cond = Conditioning(
        text=torch.randn(2, NUM_TEXT_TOKENS, text_width, generator=generator),
        pooled=torch.randn(2, text_width, generator=generator) / text_width**0.5,
        rays=plucker_rays(cameras, stride)[None].expand(2, -1, -1, -1, -1),
        reference=reference,
        reference_mask=mask,
        guidance=torch.ones(2),
    )
    x = torch.randn(2, work.num_frames, channels, rows, rows, generator=generator)
    return x, cond


def measure(work: Workload, kind: AttentionKind, num_ranks: int) -> Measured:
    """Run the work on this rank, alone or among others."""
    torch.set_num_threads(1)
    transformer, autoencoder = networks(work)
    transformer_bytes, decoder_bytes = LiveBytes(), LiveBytes()
    begin = time.monotonic()
    if num_ranks > 1:
        ranks = Ranks(torch.device("cpu"))
        transformer = SpreadDiT(transformer, ranks, kind)
        autoencoder = SpreadAutoencoder(autoencoder, ranks)
        if not ranks.leads:

            def serve_pass(part: object) -> Tensor:
                with transformer_bytes:
                    return transformer.part(part)

            def serve_decoder(part: object) -> Tensor:
                with decoder_bytes:
                    return autoencoder.part(part)

            ranks.serve({"transformer": serve_pass, "autoencoder": serve_decoder})
            return Measured(
                transformer_bytes=transformer_bytes.peak,
                decoder_bytes=decoder_bytes.peak,
                seconds=time.monotonic() - begin,
            )
    x, cond = inputs(work, transformer.config.text_width)
    with torch.no_grad():
        with transformer_bytes:
            clean = transformer(x, torch.tensor([0.7, 0.7]), cond)
        with decoder_bytes:
            frames = autoencoder.decode(clean[:1])
    seconds = time.monotonic() - begin
    if num_ranks > 1:
        ranks.dismiss()
    return Measured(
        outputs=(clean, frames),
        transformer_bytes=transformer_bytes.peak,
        decoder_bytes=decoder_bytes.peak,
        seconds=seconds,
    )


def _process(work: Workload, kind: AttentionKind, rank: int, num_ranks: int, folder: Path) -> None:
    dist.init_process_group(
        "gloo", init_method=(folder / "rendezvous").as_uri(), rank=rank, world_size=num_ranks
    )
    torch.save(measure(work, kind, num_ranks), folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def measure_ranks(work: Workload, kind: AttentionKind, num_ranks: int) -> list[Measured]:
    """Return every process's measurements, the leader's first."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        processes = [
            context.Process(target=_process, args=(work, kind, rank, num_ranks, folder))
            for rank in range(num_ranks)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        return [torch.load(folder / f"{r}.pt", weights_only=False) for r in range(num_ranks)]


def main() -> None:
    """Measure every row and print the table; `--json` also writes the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--preset", default="small", choices=tuple(PRESETS))
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    work = Workload(preset=args.preset, num_frames=args.frames, depth=args.depth)
    alone = measure(work, "ulysses", 1)
    print(f"{'':12} {'':5} {'':10} {'transformer MiB':>21} {'decoder MiB':>21}")
    columns = ("leader", "follower")
    print(
        f"{'attention':12} {'ranks':>5} {'difference':>10} "
        + " ".join(f"{name:>10}" for name in (*columns, *columns, "seconds"))
    )
    rows = []
    cases = [(kind, size) for kind in ("ulysses", "ring") for size in args.ranks]
    for kind, size in [("plain", 1), *cases]:
        leader, *followers = [alone] if size == 1 else measure_ranks(work, kind, size)
        row = {
            "attention": kind,
            "ranks": size,
            "difference": max(
                float((one - other).abs().max())
                for one, other in zip(alone.outputs, leader.outputs, strict=True)
            ),
            "transformer_leader_mib": leader.transformer_bytes / 2**20,
            "transformer_follower_mib": _largest(followers, "transformer_bytes"),
            "decoder_leader_mib": leader.decoder_bytes / 2**20,
            "decoder_follower_mib": _largest(followers, "decoder_bytes"),
            "seconds": leader.seconds,
        }
        rows.append(row)
        print(
            f"{kind:12} {size:5} {row['difference']:10.1e} "
            + " ".join(f"{value:10.1f}" for value in list(row.values())[3:]),
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps({"work": asdict(work), "rows": rows}, indent=1) + "\n")


def _largest(followers: list[Measured], field: str) -> float:
    return max((getattr(follower, field) / 2**20 for follower in followers), default=float("nan"))


if __name__ == "__main__":
    main()
