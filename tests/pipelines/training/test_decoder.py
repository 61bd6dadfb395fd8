"""Laws of the autoencoder's training, on a real small dataset."""

import math
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from pipelines.training.autoencoder import (
    ANGLE_WEIGHT,
    AutoencoderTraining,
    begin_with,
    box_psnr,
    new_autoencoder,
    normal_error_deg,
    reconstruction_loss,
    train_decoder,
)
from pipelines.training.meshes import read_caption_rows, read_glb
from pipelines.training.orbits import Orbits, RenderedFolder, network_frames
from pipelines.training.renders import RenderConfig, render_dataset
from pipelines.video.autoencoder import Autoencoder, AutoencoderConfig
from tests.pipelines.training.test_renders import write_folder

CONFIG = AutoencoderConfig(
    latent_channels=6,
    stride=8,
    width=16,
    depth=1,
    pixel_width=8,
    levels=((12, 1), (8, 1)),
    consistent=True,
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Orbits:
    folder = tmp_path_factory.mktemp("corpus")
    write_folder(folder)
    rows = {row.id: row for row in read_caption_rows(folder)}
    meshes = ((id_, read_glb(folder / row.file)) for id_, row in sorted(rows.items()))
    config = RenderConfig(size=32, num_frames=8, num_orbits=2)
    list(render_dataset(meshes, rows, folder / "orbits", config, seed=0))
    return RenderedFolder(folder=folder / "orbits")


def fitted(dataset: Orbits, config: AutoencoderConfig = CONFIG) -> Autoencoder:
    return new_autoencoder(dataset, config, torch.Generator().manual_seed(0))


def train(dataset: Orbits, state: Path, steps: int, stop_after: int | None = None) -> Autoencoder:
    torch.manual_seed(0)
    autoencoder = fitted(dataset)
    config = AutoencoderTraining(num_steps=steps, batch_clips=4, clip_frames=2)
    records = train_decoder(autoencoder, dataset, config, state, seed=0, save_seconds=0.0)
    for record in records:
        if record.step == stop_after:
            break
    return autoencoder


def quality(autoencoder: Autoencoder, dataset: Orbits) -> tuple[float, float]:
    """Return the mean PSNR (dB) and the mean angle between normals (degrees)."""
    frames = network_frames(next(dataset.shards()).frames[:, :4])
    with torch.no_grad():
        decoded = autoencoder.decode(autoencoder.encode(frames)).flatten(0, 1)
    frames = frames.flatten(0, 1)
    return float(box_psnr(decoded, frames).mean()), normal_error_deg(decoded, frames)


def test_the_decoder_gains_on_the_linear_one(dataset: Orbits, tmp_path: Path) -> None:
    linear = fitted(dataset)
    trained = train(dataset, tmp_path / "state.safetensors", 160)
    (psnr, angle), (plain_psnr, plain_angle) = (quality(x, dataset) for x in (trained, linear))
    assert psnr > plain_psnr + 0.5
    assert angle < 0.8 * plain_angle
    assert_close(trained.analysis, linear.analysis)


def test_a_resumed_decoder_is_the_unbroken_one(dataset: Orbits, tmp_path: Path) -> None:
    whole = train(dataset, tmp_path / "whole.safetensors", 6)
    train(dataset, tmp_path / "broken.safetensors", 6, stop_after=3)
    resumed = train(dataset, tmp_path / "broken.safetensors", 6)
    for name, value in whole.state_dict().items():
        assert_close(resumed.state_dict()[name], value, atol=0, rtol=0, msg=name)


def test_a_decoder_trains_until_its_minutes_are_over(dataset: Orbits, tmp_path: Path) -> None:
    autoencoder = begin_with(fitted(dataset), CONFIG)
    config = AutoencoderTraining(num_steps=10**6, num_minutes=0.02, batch_clips=2, clip_frames=2)
    state = tmp_path / "state.safetensors"
    begin = time.monotonic()
    *_, last = train_decoder(autoencoder, dataset, config, state, seed=0)
    assert time.monotonic() - begin > 60 * 0.02
    assert last.last
    # The minutes of earlier runs count: nothing is left to do.
    assert list(train_decoder(autoencoder, dataset, config, state, seed=0)) == []


def test_a_decoder_begun_with_an_earlier_one_keeps_its_latents(dataset: Orbits) -> None:
    plain = replace(CONFIG, levels=(), consistent=False)
    earlier = fitted(dataset, plain)
    with torch.no_grad():
        for parameter in earlier.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(0))
    begun = begin_with(earlier, CONFIG)
    frames = network_frames(next(dataset.shards()).frames[:, :2])
    assert torch.equal(begun.encode(frames), earlier.encode(frames))
    assert torch.equal(
        begun.decode_linear(begun.encode(frames)), begun.decode(begun.encode(frames))
    )
    assert torch.equal(begun.state_dict()["latent_in.weight"], earlier.latent_in.weight)
    # With the same last convolutions it is the earlier one whole.
    latents = earlier.encode(frames)
    assert_close(begin_with(earlier, plain).decode(latents), earlier.decode(latents))
    with pytest.raises(ValueError, match="latents"):
        begin_with(earlier, replace(CONFIG, latent_channels=5))


def test_the_loss_prefers_either_side_of_a_crease_to_what_lies_between() -> None:
    frames = torch.ones(1, 2, 7, 8, 8)
    frames[:, :, 4:] = 0.0
    frames[:, 0, 4], frames[:, 1, 5] = 1.0, 1.0
    side, between = frames.clone(), frames.clone()
    side[:, :, 4], side[:, :, 5] = 1.0, 0.0
    between[:, :, 4:6] = 0.5
    assert_close(reconstruction_loss(frames, frames), torch.tensor(0.001 * ANGLE_WEIGHT))
    # One of two is off by a right angle, or both by half of it.
    turned = [reconstruction_loss(x, frames) for x in (side, between)]
    numbers = torch.tensor([0.25 / 7 + 2 * 0.0625 / 7, 0.25 / 7 + 2 * 0.015625 * 2 / 7])
    chords = torch.tensor([0.5 * 2**0.5, 2 * math.sin(math.pi / 8)])
    assert_close(torch.stack(turned), numbers + ANGLE_WEIGHT * chords, atol=3e-3, rtol=0)


def test_box_psnr_and_normal_angle_in_closed_form() -> None:
    frames = torch.full((1, 7, 32, 32), -1.0)
    frames[:, 4:] = 0.0
    frames[:, :4, 12:20, 12:20] = 1.0
    frames[:, 4, 12:20, 12:20] = 1.0
    turned = frames.clone()
    turned[:, 4, 12:20, 12:20], turned[:, 5, 12:20, 12:20] = 0.8, 0.6
    turned[:, :4] *= 0.8
    # All four channels are off by 0.1 of the full range wherever one looks: 20 dB.
    assert_close(box_psnr(turned, frames), torch.tensor([20.0]))
    assert normal_error_deg(turned, frames) == pytest.approx(36.87, abs=0.01)
