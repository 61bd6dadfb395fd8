"""Settings for large models a memory class, against diffusers' plain pipeline in the same run.

    python -m benchmarks.large_models                    on a GPU: real sizes, random weights
    python -m benchmarks.large_models --tiny             a rehearsal on any machine, tiny weights
    python -m benchmarks.large_models --blank            the table with nothing measured

Speed does not depend on what weights say, so none are downloaded. Timed are the transformer's steps
of one clip, after one step that warms up, without text encoder and decoder. Each row names the
device that it was measured on; what was not measured says so. Writes benchmarks/large_models.json.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.models.architectures.base import ClipShape
from pipelines.models.architectures.wan import Wan
from pipelines.models.memory import Mode
from pipelines.models.speed import Speed, apply_speed
from pipelines.models.staging import Stages
from pipelines.video.samplers import sample_euler

OUT = Path(__file__).with_suffix(".json")
CLIP = ClipShape(num_frames=81, height=480, width=480)
TINY_CLIP = ClipShape(num_frames=9, height=32, width=32)
NUM_STEPS = 4
TOKENS = 512
# The published configurations of the transformers and what their autoencoders do to a clip.
SIZES: dict[str, dict[str, Any]] = {
    "wan2.1-t2v-1.3b": {
        "transformer": {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30},
        "strides": (4, 8),
    },
    "wan2.2-ti2v-5b": {
        "transformer": {
            "num_attention_heads": 24,
            "ffn_dim": 14336,
            "num_layers": 30,
            "in_channels": 48,
            "out_channels": 48,
        },
        "strides": (4, 16),
    },
}
TINY: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "text_dim": 32,
    "freq_dim": 32,
    "ffn_dim": 32,
    "num_layers": 2,
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One row: how the transformer is run, and on how much memory it is meant for."""

    name: str
    memory_class: str
    mode: Mode = "resident"
    speed: Speed | None = None
    plain: bool = False
    """diffusers' own pipeline rather than ours."""


SETTINGS = (
    Setting(name="diffusers' plain pipeline, bf16", memory_class="24 GB and more", plain=True),
    Setting(name="resident, bf16", memory_class="24 GB and more"),
    Setting(
        name="resident, first-block cache",
        memory_class="24 GB and more",
        speed=Speed(cache="first-block"),
    ),
    Setting(
        name="resident, compiled blocks", memory_class="24 GB and more", speed=Speed(compile=True)
    ),
    Setting(name="fp8 weights", memory_class="12 to 24 GB", mode="fp8"),
    Setting(name="streamed blocks", memory_class="8 to 12 GB", mode="streamed"),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    model: str
    setting: str
    memory_class: str
    device: str
    seconds_a_step: float | None
    peak_gb: float | None
    remark: str


class _Shell:
    """As much of a pipeline as the transformer's steps need, without text encoder and decoder."""

    def __init__(self, transformer: Any, strides: tuple[int, int]) -> None:
        from diffusers import FlowMatchEulerDiscreteScheduler

        self.transformer = transformer
        self.vae_scale_factor_temporal, self.vae_scale_factor_spatial = strides
        self.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
        self.config = type("Config", (), {"expand_timesteps": strides[1] == 16})


def build(model: str, tiny: bool, dtype: torch.dtype, device: torch.device) -> Any:
    """Return a transformer of real size with random weights, made where they will be."""
    from diffusers import WanTransformer3DModel

    config = {"text_dim": 4096, **SIZES[model]["transformer"]}
    if tiny:
        config |= TINY
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            return WanTransformer3DModel(**config).eval()
    finally:
        torch.set_default_dtype(default)


def measure(model: str, setting: Setting, tiny: bool, device: torch.device) -> Row:
    """Return one row: seconds a step with guidance, and the peak of the GPU's memory."""
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    clip = TINY_CLIP if tiny else CLIP
    home = device if setting.mode == "resident" else torch.device("cpu")
    transformer = build(model, tiny, dtype, home)
    steps = (_plain if setting.plain else _ours)(transformer, model, setting, clip, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    steps(1)
    start = _now(device)
    steps(NUM_STEPS)
    seconds = (_now(device) - start) / NUM_STEPS
    peak = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else None
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    return Row(
        model=model,
        setting=setting.name,
        memory_class=setting.memory_class,
        device=name,
        seconds_a_step=round(seconds, 4),
        peak_gb=None if peak is None else round(peak, 2),
        remark="tiny weights, a rehearsal: says nothing of the model" if tiny else "",
    )


def _ours(
    transformer: Any, model: str, setting: Setting, clip: ClipShape, device: torch.device
) -> Callable[[int], object]:
    shell = _Shell(transformer, SIZES[model]["strides"])
    architecture = Wan(shell, Stages(shell, ("transformer",), setting.mode, device))
    apply_speed(transformer, setting.speed or Speed())
    texts = [{"encoder_hidden_states": embeds} for embeds in _embeds(transformer, device)]
    noise = torch.randn(architecture.state_shape(clip)).to(device)

    def velocity(x: Tensor, sigma: float) -> Tensor:
        ways = []
        for name, text in zip(("cond", "uncond"), texts, strict=True):
            with torch.no_grad(), transformer.cache_context(name):
                ways.append(architecture.velocity(x, sigma, text, clip, {}))
        return ways[1] + 5.0 * (ways[0] - ways[1])

    def run(num_steps: int) -> None:
        with architecture.stages.at_work("transformer"):
            list(sample_euler(velocity, noise, architecture.sigmas(num_steps, clip, 1.0)))

    return run


def _plain(
    transformer: Any, model: str, setting: Setting, clip: ClipShape, device: torch.device
) -> Callable[[int], object]:
    from diffusers import AutoencoderKLWan, WanPipeline

    shell = _Shell(transformer, SIZES[model]["strides"])
    # Never used, for latents are asked for; but the pipeline reads its strides.
    time_stride, space_stride = SIZES[model]["strides"]
    vae = AutoencoderKLWan(
        base_dim=4,
        z_dim=16,
        scale_factor_temporal=time_stride,
        scale_factor_spatial=space_stride,
    )
    pipeline = WanPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=vae,
        scheduler=shell.scheduler,
        transformer=transformer,
        expand_timesteps=shell.config.expand_timesteps,
    ).to(device)
    pipeline.set_progress_bar_config(disable=True)
    cond, uncond = _embeds(transformer, device)

    def run(num_steps: int) -> object:
        return pipeline(
            prompt_embeds=cond,
            negative_prompt_embeds=uncond,
            height=clip.height,
            width=clip.width,
            num_frames=clip.num_frames,
            num_inference_steps=num_steps,
            guidance_scale=5.0,
            output_type="latent",
        )

    return run


def _embeds(transformer: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    shape = (1, TOKENS, transformer.config.text_dim)
    return torch.randn(shape, device=device).to(transformer.dtype), torch.zeros(
        shape, device=device, dtype=transformer.dtype
    )


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def blank(model: str, setting: Setting, remark: str) -> Row:
    """Return a row that was not measured."""
    return Row(
        model=model,
        setting=setting.name,
        memory_class=setting.memory_class,
        device="none",
        seconds_a_step=None,
        peak_gb=None,
        remark=remark,
    )


def table(rows: list[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = ["| model | setting | meant for | device | s a step | peak GB | |", "|" + "---|" * 7]
    for row in rows:
        seconds = "not measured" if row.seconds_a_step is None else f"{row.seconds_a_step:.3f}"
        peak = "not measured" if row.peak_gb is None else f"{row.peak_gb:.1f}"
        cells = (row.model, row.setting, row.memory_class, row.device, seconds, peak, row.remark)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure every setting that can be measured here and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="tiny weights, for a rehearsal")
    parser.add_argument("--blank", action="store_true", help="measure nothing")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = []
    for model in SIZES:
        for setting in SETTINGS:
            if arguments.blank or (device.type == "cpu" and not arguments.tiny):
                rows.append(blank(model, setting, "no GPU at hand"))
                continue
            if device.type == "cpu" and setting.speed is not None and setting.speed.compile:
                rows.append(blank(model, setting, "compiling is not rehearsed"))
                continue
            try:
                rows.append(measure(model, setting, arguments.tiny, device))
            except (RuntimeError, ImportError) as error:
                # Out of memory, or no compiler: a row for that too, and the rest goes on.
                rows.append(blank(model, setting, str(error).splitlines()[0][:80]))
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()
    print(table(rows))
    arguments.out.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
