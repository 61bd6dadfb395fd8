"""Laws of the autoencoder."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from pipelines.video.autoencoder import (
    Autoencoder,
    AutoencoderConfig,
    ResidualBlock,
    fit_linear,
    frames_from_orbit,
    orbit_from_frames,
    without_specks,
)
from pipelines.video.checkpoint import load_autoencoder, save_model, save_tensors
from threed.cameras import orbit_cameras
from threed.orbit import OrbitVideo

CONFIG = AutoencoderConfig(latent_channels=6, stride=4, width=16, depth=1, pixel_width=8)
LEVELLED = replace(CONFIG, levels=((12, 2), (8, 1)), consistent=True)
CONFIGS = pytest.mark.parametrize("config", [CONFIG, LEVELLED], ids=["plain", "levelled"])


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


def _filled(config: AutoencoderConfig) -> Autoencoder:
    """Return an autoencoder of a fitted linear part whose decoder does something."""
    autoencoder = Autoencoder(config).requires_grad_(False)
    fit_linear(autoencoder, _patches(rank=40))
    generator = torch.Generator().manual_seed(1)
    for parameter in autoencoder.parameters():
        parameter.normal_(std=0.1, generator=generator)
    return autoencoder


def _latents() -> torch.Tensor:
    return torch.randn(2, 3, 6, 4, 5, generator=torch.Generator().manual_seed(0))


@CONFIGS
def test_a_fresh_decoder_is_the_linear_one(config: AutoencoderConfig) -> None:
    autoencoder = Autoencoder(config)
    fit_linear(autoencoder, _patches(rank=8))
    assert_close(autoencoder.decode(_latents()), autoencoder.decode_linear(_latents()))


def test_consistent_frames_encode_to_their_latents_where_nothing_is_in_doubt() -> None:
    autoencoder = _filled(LEVELLED)
    weight, bias = autoencoder.doubt.parameters()
    weight.zero_()
    bias.zero_()
    frames = autoencoder.decode(_latents())
    assert float((frames - autoencoder.decode_linear(_latents())).abs().max()) > 0.1
    assert_close(autoencoder.encode(frames), _latents(), atol=1e-3, rtol=0)
    # With all in doubt the network has the last word on the latents too.
    bias.fill_(1.0)
    free = Autoencoder(replace(LEVELLED, consistent=False))
    weights = autoencoder.state_dict()
    free.load_state_dict({k: v for k, v in weights.items() if not k.startswith("doubt.")})
    assert_close(autoencoder.decode(_latents()), free.decode(_latents()), atol=1e-4, rtol=0)


def test_mixing_of_frames_is_a_convolution_in_time() -> None:
    block = ResidualBlock(8)
    x = torch.randn(6, 8, 2, 3, generator=torch.Generator().manual_seed(0))
    line = x.reshape(2, 3, 8, 6).permute(0, 3, 2, 1).flatten(0, 1)
    slow = block.time(line).reshape(2, 6, 8, 3).permute(0, 3, 2, 1).reshape(6, 8, 2, 3)
    assert_close(block.over_time(x, 3), slow)


@CONFIGS
def test_frames_reach_as_far_as_there_are_blocks(config: AutoencoderConfig) -> None:
    # Processes that share a clip's frames rely on it.
    autoencoder = _filled(replace(config, depth=2))
    latents = torch.randn(1, 8, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    other = latents.clone()
    other[:, 0] += 1
    change = (autoencoder.decode(other) - autoencoder.decode(latents)).abs().amax(dim=(0, 2, 3, 4))
    assert bool((change[:3] > 0).all())
    assert bool((change[3:] < 1e-5).all())


@CONFIGS
def test_weights_come_back_with_their_configuration(
    config: AutoencoderConfig, tmp_path: Path
) -> None:
    autoencoder = _filled(config)
    save_model(autoencoder, tmp_path / "a.safetensors", torch.float32)
    back = load_autoencoder(tmp_path / "a.safetensors")
    assert back.config == config
    assert_close(back.decode(_latents()), autoencoder.decode(_latents()), atol=0, rtol=0)


def test_weights_from_before_there_were_levels_load(tmp_path: Path) -> None:
    autoencoder = _filled(CONFIG)
    names = ("latent_channels", "stride", "width", "depth", "pixel_width")
    earlier = {name: getattr(CONFIG, name) for name in names}
    path = tmp_path / "a.safetensors"
    save_tensors(autoencoder.state_dict(), path, {"config": json.dumps(earlier)})
    back = load_autoencoder(path)
    assert back.config == CONFIG
    assert_close(back.decode(_latents()), autoencoder.decode(_latents()), atol=0, rtol=0)


@pytest.mark.parametrize("levels", [((12, 0),), ((8, 1), (8, 1), (8, 1))])
def test_levels_that_cannot_be_are_refused(levels: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match="levels"):
        replace(CONFIG, levels=levels)


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


def test_a_faint_island_goes_and_what_touches_something_solid_stays() -> None:
    alpha = torch.zeros(2, 12, 40)
    alpha[0, 2:6, 2:6] = 1.0
    # A wire too thin to be solid anywhere but where it ends, and around a corner.
    alpha[0, 4, 6:30] = 0.1
    alpha[0, 5:9, 30] = 0.1
    kept = alpha.clone()
    alpha[0, 8:11, 2:6] = 0.2
    # The same place in another frame does not hold it.
    alpha[1, 3, 3] = 0.2
    assert_close(without_specks(alpha), kept)


def test_decoded_specks_have_neither_colour_nor_normals() -> None:
    frames = torch.full((1, 7, 16, 16), -1.0)
    frames[:, :, 2:6, 2:6] = 1.0
    frames[:, :, 12, 12] = -0.7
    orbit = orbit_from_frames(frames, orbit_cameras(1, size=16))
    assert orbit.normals is not None
    for pixels in (orbit.alpha, orbit.albedo, orbit.normals):
        assert float(pixels[:, 2:6, 2:6].abs().min()) > 0
        assert float(pixels[:, 8:].abs().max()) == 0
