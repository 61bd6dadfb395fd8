"""Each family through our sampler against diffusers' own pipeline on the same noise and levels."""

import functools
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor
from torch.testing import assert_close

from pipelines.models.architectures.base import Architecture, ClipShape, Control
from pipelines.models.architectures.sana_wm import opencv_path
from pipelines.models.loading import ARCHITECTURES, load_architecture
from pipelines.video.samplers import sample_euler
from tests.pipelines.models import tiny
from threed.cameras import orbit_cameras

CLIP = ClipShape(num_frames=9, height=32, width=32)
PROMPT, NEGATIVE, SCALE = "a wooden chair", "blurry", 2.0
NUM_STEPS = 2


@pytest.fixture(autouse=True)
def _one_thread() -> Generator[None, None, None]:
    """Threads cost more than they bring to networks of this size, most of all on busy cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@functools.cache
def folder(name: str) -> Path:
    """Return a tiny pipeline on disk; one a test run."""
    return tiny.save(name, Path(tempfile.mkdtemp(prefix=name)))


@functools.cache
def loaded(name: str) -> Architecture:
    family = "wan" if name.startswith("wan") else name
    return load_architecture(family, folder(name), "resident", "cpu", torch.float32)


def _picture() -> Image.Image:
    ramp = np.linspace(0, 255, 32, dtype=np.uint8)
    return Image.fromarray(np.stack(np.broadcast_arrays(ramp[:, None], ramp, ramp[::-1]), axis=-1))


def _control() -> Control:
    picture = torch.from_numpy(np.asarray(_picture()).copy()).float() / 127.5 - 1
    return Control(
        picture=rearrange(picture, "h w c -> 1 c 1 h w"), cameras=orbit_cameras(9, size=32)
    )


def _theirs(name: str, architecture: Architecture, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return diffusers' clip in [-1, 1] from the same noise, and the levels that it used."""
    pipeline = architecture.pipeline
    if name == "ltx2":
        # Theirs cannot do without the parts that only make sound, which ours leaves out.
        pipeline = diffusers.LTX2Pipeline.from_pretrained(folder(name))
    clip = {"num_frames": CLIP.num_frames, "height": CLIP.height, "width": CLIP.width}
    call: dict[str, Any] = {
        "prompt": PROMPT,
        "negative_prompt": NEGATIVE,
        "num_inference_steps": NUM_STEPS,
        "guidance_scale": SCALE,
        "output_type": "pt",
        **clip,
    }
    if name.startswith("wan"):
        call |= {"latents": noise}
    if name == "ltx":
        call |= {"latents": pipeline._pack_latents(noise), "frame_rate": 24}
        call |= {"max_sequence_length": 256, "decode_timestep": 0.05}
        # The decoder's own noise is drawn from our fixed seed.
        call |= {"generator": torch.Generator().manual_seed(0)}
    if name == "ltx2":
        video = pipeline._pack_latents(architecture.video_latents(noise, CLIP))
        sound = rearrange(noise[:, video.numel() :], "b (l c) -> b l c", c=4)
        call |= {"latents": video, "audio_latents": sound, "stg_scale": 0.0, "audio_stg_scale": 0.0}
        call |= {"modality_scale": 1.0, "audio_modality_scale": 1.0, "guidance_rescale": 0.0}
        call |= {"audio_guidance_rescale": 0.0, "audio_guidance_scale": SCALE}
    if name == "cogvideox":
        call |= {"latents": rearrange(noise, "b c f h w -> b f c h w")}
    if name == "hunyuan15":
        call |= {"latents": noise}
        del call["guidance_scale"]
    if name == "sana_wm":
        path, intrinsics = opencv_path(_control().cameras)
        call |= {"image": _picture(), "c2w": path, "intrinsics": intrinsics}
        call |= {"generator": torch.Generator().manual_seed(5)}
    frames = pipeline(**call).frames
    frames = torch.as_tensor(frames)
    frames = frames if frames.ndim == 5 else frames[None]
    if name == "cogvideox":
        levels = architecture.sigmas(NUM_STEPS, CLIP, 1.0)
    else:
        levels = pipeline.scheduler.sigmas
    return rearrange(frames, "b f c h w -> b c f h w") * 2 - 1, levels


@pytest.mark.parametrize("name", list(tiny.BUILDERS))
def test_our_sampler_draws_what_diffusers_draws(name: str) -> None:
    architecture = loaded(name)
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(architecture.state_shape(CLIP), generator=generator)
    with torch.no_grad():
        theirs, levels = _theirs(name, architecture, noise)
        cond, uncond = architecture.encode_texts(PROMPT, NEGATIVE)
        prepared = architecture.prepare(CLIP, _control() if name == "sana_wm" else None)

        def velocity(x: Tensor, sigma: float) -> Tensor:
            ways = [architecture.velocity(x, sigma, t, CLIP, prepared) for t in (cond, uncond)]
            return ways[1] + SCALE * (ways[0] - ways[1])

        *_, last = sample_euler(velocity, architecture.hold(noise, prepared), levels.float())
        ours = architecture.decode(architecture.video_latents(last.x, CLIP))
    assert ours.shape == theirs.shape
    assert_close(ours, theirs, atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", ["ltx", "ltx2", "hunyuan15"])
def test_noise_levels_are_diffusers_own(name: str) -> None:
    architecture = loaded(name)
    noise = torch.randn(architecture.state_shape(CLIP))
    with torch.no_grad():
        _, levels = _theirs(name, architecture, noise)
    assert_close(architecture.sigmas(NUM_STEPS, CLIP, 1.0), levels.float(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", list(ARCHITECTURES))
@pytest.mark.parametrize("start", [1.0, 0.5, 0.2])
def test_levels_fall_from_the_start_to_nothing(name: str, start: float) -> None:
    levels = loaded(name).sigmas(4, CLIP, start)
    assert len(levels) == 5
    assert float(levels[0]) == pytest.approx(start, abs=1e-3)
    assert float(levels[-1]) == 0
    assert bool((levels.diff() < 0).all())


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_normalising_latents_and_back_changes_nothing(name: str) -> None:
    architecture = loaded(name)
    latents = torch.randn(
        (1, architecture.latent_channels, *architecture.latent_size(CLIP)),
        generator=torch.Generator().manual_seed(1),
    )
    assert_close(architecture.denormalise(architecture.normalise(latents)), latents)
    state = architecture.start(latents, torch.randn(architecture.state_shape(CLIP)), CLIP)
    assert tuple(state.shape) == architecture.state_shape(CLIP)
    assert_close(architecture.video_latents(state, CLIP), latents)


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_a_clip_encodes_to_latents_of_the_state(name: str) -> None:
    architecture = loaded(name)
    video = torch.rand((1, 3, 9, 32, 32), generator=torch.Generator().manual_seed(2)) * 2 - 1
    latents = architecture.encode(video)
    assert tuple(latents.shape) == (
        1,
        architecture.latent_channels,
        *architecture.latent_size(CLIP),
    )
    assert tuple(architecture.decode(latents).shape) == tuple(video.shape)
