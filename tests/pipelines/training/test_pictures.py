"""Laws of clips with a picture: the world turns as one, and a picture tells no normals."""

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from pipelines.training.bank import LatentBank
from pipelines.training.clips import ClipConfig, draw_batch
from pipelines.training.pictures import Variation, as_pictures, random_variation, vary_clips
from pipelines.video.autoencoder import FRAME_CHANNELS, Autoencoder, AutoencoderConfig
from pipelines.video.conditioning import PICTURE_MASK, plucker_rays
from threed.cameras import camera_angles, orbit_cameras

SIZE = 8


def plain_autoencoder() -> Autoencoder:
    """Return an autoencoder whose latents are the frames themselves."""
    config = AutoencoderConfig(
        latent_channels=FRAME_CHANNELS, stride=1, width=8, depth=1, pixel_width=4
    )
    autoencoder = Autoencoder(config)
    autoencoder.analysis.copy_(torch.eye(FRAME_CHANNELS))
    autoencoder.synthesis.copy_(torch.eye(FRAME_CHANNELS))
    return autoencoder


def ball_frames(azimuth: torch.Tensor) -> torch.Tensor:
    """Return frames of a grey ball that faces each camera: the normal at its middle looks there."""
    normal = torch.stack([azimuth.sin(), torch.zeros_like(azimuth), azimuth.cos()], dim=-1)
    frames = torch.zeros(len(azimuth), FRAME_CHANNELS, SIZE, SIZE)
    frames[:, 3] = 1
    frames[:, 4:] = normal[:, :, None, None]
    return frames


def make_bank() -> LatentBank:
    """Return a bank of one orbit of the ball, level, that starts anywhere."""
    cameras = orbit_cameras(8, size=SIZE, start_azimuth=0.7)
    azimuth = camera_angles(cameras)[0]
    return LatentBank(
        latents=ball_frames(azimuth)[None].half(),
        rays=plucker_rays(cameras, 1)[None].half(),
        azimuth=azimuth[None],
        named=torch.tensor([0]),
        turning=torch.tensor([0]),
        moving=torch.zeros(0, dtype=torch.long),
        level=torch.tensor([0]),
        default=torch.tensor([0]),
        painted=torch.tensor([0]),
        captions=torch.zeros(1, 1, dtype=torch.long),
        tokens=torch.ones(1, 3, 8).half(),
        pooled=torch.ones(1, 8).half(),
        texts=["ball"],
        channel_weight=torch.ones(FRAME_CHANNELS),
        autoencoder=plain_autoencoder(),
    )


def variation(turn: float = 0.0, *, mirrored: bool = False) -> Variation:
    """Return one clip's, in its own colours."""
    return Variation(
        turn=torch.tensor([turn]), mirrored=torch.tensor([mirrored]), paint=torch.eye(3)[None]
    )


def test_a_turned_clip_is_what_turned_cameras_see_of_the_turned_object() -> None:
    start = orbit_cameras(8, size=SIZE)
    turned = orbit_cameras(8, size=SIZE, start_azimuth=0.4)
    latents, rays = vary_clips(
        plain_autoencoder(),
        ball_frames(camera_angles(start)[0])[None],
        plucker_rays(start, 1)[None],
        variation(0.4),
    )
    assert_close(rays[0], plucker_rays(turned, 1))
    assert_close(latents[0], ball_frames(camera_angles(turned)[0]))


def test_a_mirrored_clip_is_what_the_cameras_behind_the_mirror_see_of_its_image() -> None:
    start = orbit_cameras(8, size=SIZE, elevation=0.3, start_azimuth=-0.4)
    behind = orbit_cameras(8, size=SIZE, elevation=0.3, start_azimuth=0.4)
    # The mirror stands at x = 0; who goes around to the left is seen to go to the right.
    behind = behind[[0, 7, 6, 5, 4, 3, 2, 1]]
    frames = ball_frames(camera_angles(start)[0])
    # A mark left of the middle, and its colour.
    frames[:, 0, 3, 2] = 0.5
    latents, rays = vary_clips(
        plain_autoencoder(), frames[None], plucker_rays(start, 1)[None], variation(mirrored=True)
    )
    expected = ball_frames(camera_angles(behind)[0])
    expected[:, 0, 3, SIZE - 1 - 2] = 0.5
    assert_close(rays[0], plucker_rays(behind, 1))
    assert_close(latents[0], expected)


def test_a_painted_clip_keeps_its_outline_its_shape_and_colours_that_can_be() -> None:
    generator = torch.Generator().manual_seed(0)
    found, painted = random_variation(torch.zeros(400), 0.5, generator)
    for chosen in (painted, found.mirrored):
        assert 0.4 < float(chosen.float().mean()) < 0.6
    assert torch.equal(found.paint[~painted], torch.eye(3).expand(int((~painted).sum()), 3, 3))
    assert float((found.paint[painted] - torch.eye(3)).abs().amax(dim=(1, 2)).min()) > 0.01
    cameras = orbit_cameras(2, size=SIZE)
    frames = ball_frames(camera_angles(cameras)[0]).expand(400, -1, -1, -1, -1).clone()
    frames[:, :, :4] = 2 * torch.rand(400, 2, 4, SIZE, SIZE, generator=generator) - 1
    # Premultiplied: no colour is brighter than its coverage.
    frames[:, :, :3] = torch.minimum(frames[:, :, :3], frames[:, :, 3:4])
    plain = Variation(turn=found.turn, mirrored=torch.zeros_like(found.mirrored), paint=found.paint)
    rays = plucker_rays(cameras, 1).expand(400, -1, -1, -1, -1)
    latents, lines = vary_clips(plain_autoencoder(), frames, rays, plain)
    assert_close(lines, rays)
    assert_close(latents[:, :, 3:], frames[:, :, 3:])
    assert bool((latents[:, :, :3] <= frames[:, :, 3:4] + 1e-5).all())
    assert float(latents.min()) >= -1 - 1e-5


@pytest.mark.parametrize("vary", [0.0, 0.5, 1.0])
def test_the_picture_stands_at_azimuth_zero_and_tells_its_outline_but_no_normals(
    vary: float,
) -> None:
    clips = ClipConfig(
        lengths=(4,),
        shares=(1.0,),
        give_frames=0.0,
        give_picture=1.0,
        drop_pictured_text=0.5,
        vary_pictured=vary,
    )
    clean, cond = draw_batch(make_bank(), clips, 400, torch.Generator().manual_seed(0))
    mask = cond.reference_mask[:, :, 0, 0, 0]
    assert bool((mask[:, 0] == PICTURE_MASK).all()) and not mask[:, 1:].any()
    # The first camera looks from the front, so the ball's middle there faces +z.
    towards = torch.tensor([0.0, 0.0, 1.0]).expand(len(clean), 3)
    assert_close(clean[:, 0, 4:, 0, 0], towards, atol=1e-2, rtol=0)
    centre = cond.rays[:, 0, :3].mean(dim=(-1, -2))
    assert float(centre[:, 0].abs().max()) < 1e-2 and float(centre[:, 2].max()) < 0
    assert not cond.reference[:, 1:].any() and not cond.reference[:, 0, 4:].any()
    assert_close(cond.reference[:, 0, 3], clean[:, 0, 3])
    # Half lose their words, and so do all that were painted.
    told = cond.pooled.any(dim=1).float().mean() / max(1 - vary, 1e-9)
    if vary < 1:
        assert 0.3 < float(told) < 0.7
    else:
        assert not cond.pooled.any() and not cond.text.any()


def test_pictures_are_cut_from_default_orbits_as_often_as_is_asked() -> None:
    bank = make_bank()
    # Another orbit of the thing, in which nothing is to be seen.
    empty = torch.full_like(bank.latents, -1)
    bank = replace(
        bank,
        latents=torch.cat([bank.latents, empty]),
        rays=bank.rays.expand(2, -1, -1, -1, -1),
        azimuth=bank.azimuth.expand(2, -1),
        captions=bank.captions.expand(2, -1),
        turning=torch.tensor([0, 1]),
    )
    for share, least, most in ((1.0, 1.0, 1.0), (0.0, 0.4, 0.6), (0.5, 0.65, 0.85)):
        clips = ClipConfig(
            lengths=(4,), shares=(1.0,), give_frames=0.0, give_picture=1.0, default_share=share
        )
        clean, _ = draw_batch(bank, clips, 2000, torch.Generator().manual_seed(0))
        seen = (clean[:, 0, 3, 0, 0] > 0).float().mean()
        assert least <= float(seen) <= most


def test_pictures_are_lit_from_before_and_never_brighter_than_their_colours() -> None:
    azimuth = torch.zeros(64)
    frames = ball_frames(azimuth)[:, None]
    away = ball_frames(azimuth + math.pi)[:, None]
    lit = as_pictures(plain_autoencoder(), frames, torch.Generator().manual_seed(0))[:, 0, 0]
    dark = as_pictures(plain_autoencoder(), away, torch.Generator().manual_seed(0))[:, 0, 0]
    plain = frames[:, 0, 0]
    assert bool((lit <= plain + 1e-6).all()) and bool((dark <= lit + 1e-6).all())
    as_they_are = (lit == plain).flatten(1).all(dim=1)
    assert 0.3 < float((dark == plain).flatten(1).all(dim=1).float().mean()) < 0.7
    assert bool(as_they_are.any()) and float((plain - dark).max()) > 0.2
