"""Laws of the transformer and of its conditioning."""

import math
from dataclasses import replace

import pytest
import torch
from einops import rearrange
from torch.testing import assert_close

from pipelines.video.conditioning import (
    RAY_CHANNELS,
    Conditioning,
    empty_reference,
    pad_cameras,
    plucker_rays,
)
from pipelines.video.dit import DiT, DiTBlock, DiTConfig, patchify, unpatchify
from pipelines.video.layers import apply_rope, rope_angles
from threed.cameras import camera_rays, orbit_cameras

CONFIG = DiTConfig(
    latent_channels=4,
    ray_channels=RAY_CHANNELS,
    text_width=8,
    patch_frames=2,
    patch_size=2,
    width=32,
    depth=2,
    num_heads=2,
    mlp_ratio=2.0,
)


def make_cond(batch: int, num_frames: int, rows: int, generator: torch.Generator) -> Conditioning:
    reference, mask = empty_reference(batch, num_frames, 4, rows, rows)
    cameras = orbit_cameras(num_frames, size=8 * rows)
    return Conditioning(
        text=torch.randn(batch, 5, 8, generator=generator),
        pooled=torch.randn(batch, 8, generator=generator),
        rays=plucker_rays(cameras, 8)[None],
        reference=reference,
        reference_mask=mask,
        guidance=torch.ones(batch),
    )


def filled_dit(max_guidance: float = 1.0) -> DiT:
    """Return a small transformer whose zero-initialised layers hold something."""
    torch.manual_seed(0)
    model = DiT(replace(CONFIG, max_guidance=max_guidance))
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def test_patches_come_back() -> None:
    x = torch.arange(2 * 4 * 3 * 6 * 8, dtype=torch.float32).view(2, 4, 3, 6, 8)
    assert torch.equal(unpatchify(patchify(x, 2, 2), (2, 3, 4), 2, 2), x)


def test_a_clip_that_the_patch_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="pad the clip"):
        patchify(torch.zeros(1, 3, 1, 4, 4), 2, 2)


def test_a_fresh_block_is_the_identity() -> None:
    torch.manual_seed(0)
    block = DiTBlock(32, 2, 2.0)
    x, cond = torch.randn(2, 7, 32), torch.randn(2, 32)
    rope = rope_angles(torch.randint(0, 9, (7, 3)), 16)
    assert torch.equal(block(x, cond, rope), x)


def test_a_fresh_transformer_predicts_the_mean_latent() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, 4, 4, 4, generator=generator)
    assert not DiT(CONFIG)(x, torch.rand(2), make_cond(2, 4, 4, generator)).any()


def test_attention_sees_only_differences_of_positions() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 1, 6, 32, generator=generator, dtype=torch.float64)
    positions = torch.randint(0, 20, (6, 3), generator=generator)
    moved = positions + torch.tensor([3, -5, 7])
    scores = [
        apply_rope(q, rope_angles(at, 32).double()) @ apply_rope(k, rope_angles(at, 32).double()).mT
        for at in (positions, moved)
    ]
    assert_close(scores[0], scores[1], atol=1e-5, rtol=0)
    swapped = apply_rope(q, rope_angles(positions.flip(1), 32).double())
    assert not torch.allclose(swapped @ k.mT, scores[0], atol=1e-2)


@pytest.mark.parametrize(("num_frames", "rows"), [(2, 2), (4, 6), (10, 4)])
def test_any_length_and_size_that_the_patch_divides(num_frames: int, rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, num_frames, 4, rows, rows, generator=generator)
    out = filled_dit()(x, torch.tensor([0.5]), make_cond(1, num_frames, rows, generator))
    assert out.shape == x.shape and bool(out.isfinite().all())


def test_a_clips_estimate_does_not_depend_on_its_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    model, x = filled_dit(), torch.randn(3, 4, 4, 4, 4, generator=generator)
    cond, sigma = make_cond(3, 4, 4, generator), torch.tensor([0.2, 0.5, 0.9])
    together = model(x, sigma, cond)
    alone = model(
        x[1:2],
        sigma[1:2],
        replace(
            cond,
            text=cond.text[1:2],
            pooled=cond.pooled[1:2],
            reference=cond.reference[1:2],
            reference_mask=cond.reference_mask[1:2],
            guidance=cond.guidance[1:2],
        ),
    )
    assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "field", ["text", "pooled", "rays", "reference", "reference_mask", "guidance"]
)
def test_every_condition_is_heard(field: str) -> None:
    generator = torch.Generator().manual_seed(0)
    model, cond = filled_dit(max_guidance=3.0), make_cond(1, 4, 4, generator)
    x, sigma = torch.randn(1, 4, 4, 4, 4, generator=generator), torch.tensor([0.5])
    changed = replace(cond, **{field: getattr(cond, field) + 0.5})
    assert not torch.allclose(model(x, sigma, cond), model(x, sigma, changed), atol=1e-4)


def test_rays_have_a_path_of_their_own() -> None:
    """Cameras are heard even by a network whose patches have learnt to look at latents alone."""
    generator = torch.Generator().manual_seed(0)
    model, cond = filled_dit(), make_cond(1, 4, 4, generator)
    columns = rearrange(model.patch_in.weight.data, "w (p c) -> w p c", c=CONFIG.input_channels)
    columns[:, :, -CONFIG.ray_channels :] = 0
    x, sigma = torch.randn(1, 4, 4, 4, 4, generator=generator), torch.tensor([0.5])
    changed = replace(cond, rays=cond.rays.flip(1))
    assert not torch.allclose(model(x, sigma, cond), model(x, sigma, changed), atol=1e-4)


def test_without_words_cameras_and_frames_stay_and_the_null_condition_has_cameras_alone() -> None:
    cond = make_cond(1, 4, 4, torch.Generator().manual_seed(0))
    wordless, null = cond.without_text(), cond.null()
    for lacking in (wordless, null):
        assert not lacking.text.any() and not lacking.pooled.any()
        assert lacking.rays is cond.rays
    assert wordless.reference is cond.reference
    assert not null.reference.any() and not null.reference_mask.any()


def test_a_transformer_learns_one_batch_by_heart() -> None:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model, cond = DiT(CONFIG), make_cond(2, 2, 4, generator)
    clean = torch.randn(2, 2, 4, 4, 4, generator=generator)
    noise = torch.randn(2, 2, 4, 4, 4, generator=generator)
    sigma = torch.tensor([0.4, 0.7])
    x = clean + sigma.view(-1, 1, 1, 1, 1) * (noise - clean)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(300):
        loss = (model(x, sigma, cond) - clean).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.02


def test_plucker_rays_name_the_line_and_not_the_origin() -> None:
    cameras = orbit_cameras(3, size=32, elevation=0.4)
    rays = plucker_rays(cameras, 8)
    direction, moment = rays[:, :3], rays[:, 3:]
    assert_close((direction * moment).sum(dim=1), torch.zeros(3, 4, 4), atol=1e-6, rtol=0)
    origins, _ = camera_rays(cameras.resized(4, 4))
    further = origins.permute(0, 3, 1, 2) + 1.7 * direction
    assert_close(torch.linalg.cross(further, direction, dim=1), moment, atol=1e-5, rtol=0)


def test_padded_cameras_see_the_same_in_the_middle() -> None:
    cameras = orbit_cameras(5, size=40, elevation=0.2)
    padded = pad_cameras(cameras, 2, 16)
    assert (len(padded), padded.width, padded.height) == (6, 48, 48)
    assert_close(padded.c2w[5], cameras.c2w[4])
    _, directions = camera_rays(padded)
    _, wanted = camera_rays(cameras)
    assert_close(directions[:5, 4:-4, 4:-4], wanted, atol=1e-6, rtol=0)
    assert pad_cameras(padded, 2, 16).width == 48
    assert math.isclose(float(pad_cameras(padded, 2, 16).fov_y[0]), float(padded.fov_y[0]))
