"""Laws of the autoencoder."""

import pytest
import torch
from torch.testing import assert_close

from pipelines.video.autoencoder import (
    Autoencoder,
    AutoencoderConfig,
    fit_linear,
    frames_from_orbit,
    orbit_from_frames,
)
from threed.cameras import orbit_cameras
from threed.orbit import OrbitVideo

CONFIG = AutoencoderConfig(latent_channels=6, stride=4, width=16, depth=1, pixel_width=8)


def _patches(rank: int, count: int = 4000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(rank, 7 * 16, generator=generator)
    return torch.randn(count, rank, generator=generator) @ basis * 0.1 + 0.3


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_patches_of_low_rank_come_back_exactly(whitening: float) -> None:
    autoencoder = Autoencoder(CONFIG)
    patches = _patches(rank=5)
    fit_linear(autoencoder, patches, whitening)
    frames = patches[:6].view(1, 6, 7, 4, 4)
    assert_close(autoencoder.decode_linear(autoencoder.encode(frames)), frames, atol=1e-4, rtol=0)


def test_the_linear_fit_is_the_best_of_its_rank() -> None:
    autoencoder = Autoencoder(CONFIG)
    patches = _patches(rank=40)
    fit_linear(autoencoder, patches)
    frames = patches.view(1, -1, 7, 4, 4)
    found = (autoencoder.decode_linear(autoencoder.encode(frames)) - frames).square().sum()
    # Eckart and Young: the singular values that are left out are the error that must remain.
    values = torch.linalg.svdvals(patches.double() - patches.double().mean(dim=0))
    assert_close(found.double(), values[6:].square().sum(), rtol=1e-3, atol=0)


def test_full_whitening_makes_latents_of_unit_covariance() -> None:
    autoencoder = Autoencoder(CONFIG)
    patches = _patches(rank=40)
    fit_linear(autoencoder, patches, whitening=1.0)
    latents = autoencoder.encode(patches.view(1, -1, 7, 4, 4)).flatten(2)[0]
    assert_close(latents.T @ latents / len(latents), torch.eye(6), atol=2e-3, rtol=0)


def test_a_fresh_decoder_is_the_linear_one() -> None:
    autoencoder = Autoencoder(CONFIG)
    fit_linear(autoencoder, _patches(rank=8))
    latents = torch.randn(2, 3, 6, 4, 5, generator=torch.Generator().manual_seed(0))
    assert_close(autoencoder.decode(latents), autoencoder.decode_linear(latents))


def test_frames_are_encoded_alone() -> None:
    autoencoder = Autoencoder(CONFIG)
    fit_linear(autoencoder, _patches(rank=8))
    frames = torch.randn(1, 4, 7, 8, 8, generator=torch.Generator().manual_seed(0))
    assert_close(autoencoder.encode(frames)[:, 2:3], autoencoder.encode(frames[:, 2:3]))


def test_an_orbit_survives_the_networks_range() -> None:
    generator = torch.Generator().manual_seed(0)
    alpha = (torch.rand(3, 8, 8, generator=generator) > 0.5).float()
    normals = torch.nn.functional.normalize(torch.randn(3, 8, 8, 3, generator=generator), dim=-1)
    orbit = OrbitVideo(
        albedo=torch.rand(3, 8, 8, 3, generator=generator) * alpha[..., None],
        alpha=alpha,
        normals=normals * alpha[..., None],
        cameras=orbit_cameras(3, size=8),
    )
    back = orbit_from_frames(frames_from_orbit(orbit), orbit.cameras)
    assert_close(back.albedo, orbit.albedo)
    assert_close(back.alpha, orbit.alpha)
    assert_close(back.normals, orbit.normals)


def test_decoded_colour_never_exceeds_its_coverage() -> None:
    frames = torch.randn(2, 7, 8, 8, generator=torch.Generator().manual_seed(0))
    orbit = orbit_from_frames(frames, orbit_cameras(2, size=8))
    assert bool((orbit.albedo <= orbit.alpha[..., None]).all())
    assert orbit.normals is not None
    assert_close(orbit.normals.norm(dim=-1), orbit.alpha, atol=1e-5, rtol=0)
