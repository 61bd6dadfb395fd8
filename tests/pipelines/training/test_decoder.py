"""Laws of the autoencoder's training, on a real small dataset."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from pipelines.training.autoencoder import (
    AutoencoderTraining,
    box_psnr,
    new_autoencoder,
    normal_error_deg,
    train_decoder,
)
from pipelines.training.meshes import read_caption_rows, read_glb
from pipelines.training.orbits import Orbits, RenderedFolder, network_frames
from pipelines.training.renders import RenderConfig, render_dataset
from pipelines.video.autoencoder import Autoencoder, AutoencoderConfig
from tests.pipelines.training.test_renders import write_folder

CONFIG = AutoencoderConfig(latent_channels=6, stride=8, width=16, depth=1, pixel_width=8)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Orbits:
    folder = tmp_path_factory.mktemp("corpus")
    write_folder(folder)
    rows = {row.id: row for row in read_caption_rows(folder)}
    meshes = ((id_, read_glb(folder / row.file)) for id_, row in sorted(rows.items()))
    config = RenderConfig(size=32, num_frames=8, num_orbits=2)
    list(render_dataset(meshes, rows, folder / "orbits", config, seed=0))
    return RenderedFolder(folder=folder / "orbits")


def train(dataset: Orbits, state: Path, steps: int, stop_after: int | None = None) -> Autoencoder:
    torch.manual_seed(0)
    autoencoder = new_autoencoder(dataset, CONFIG, torch.Generator().manual_seed(0))
    config = AutoencoderTraining(num_steps=steps, batch_clips=4, clip_frames=2)
    records = train_decoder(autoencoder, dataset, config, state, seed=0, save_seconds=0.0)
    for record in records:
        if record.step == stop_after:
            break
    return autoencoder


def psnr(autoencoder: Autoencoder, dataset: Orbits) -> float:
    frames = network_frames(next(dataset.shards()).frames[:, :4])
    with torch.no_grad():
        decoded = autoencoder.decode(autoencoder.encode(frames))
    return float(box_psnr(decoded.flatten(0, 1), frames.flatten(0, 1)).mean())


def test_the_decoder_gains_on_the_linear_one(dataset: Orbits, tmp_path: Path) -> None:
    linear = new_autoencoder(dataset, CONFIG, torch.Generator().manual_seed(0))
    trained = train(dataset, tmp_path / "state.safetensors", 80)
    assert psnr(trained, dataset) > psnr(linear, dataset) + 0.5
    assert_close(trained.analysis, linear.analysis)


def test_a_resumed_decoder_is_the_unbroken_one(dataset: Orbits, tmp_path: Path) -> None:
    whole = train(dataset, tmp_path / "whole.safetensors", 6)
    train(dataset, tmp_path / "broken.safetensors", 6, stop_after=3)
    resumed = train(dataset, tmp_path / "broken.safetensors", 6)
    for name, value in whole.state_dict().items():
        assert_close(resumed.state_dict()[name], value, atol=0, rtol=0, msg=name)


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
