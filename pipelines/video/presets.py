"""The embedded model's named sizes."""

from dataclasses import dataclass

from pipelines.video.autoencoder import AutoencoderConfig
from pipelines.video.conditioning import RAY_CHANNELS
from pipelines.video.dit import DiTConfig
from pipelines.video.text import TEXT_WIDTH


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One size of the embedded model."""

    size: int
    """Width and height of the frames that it is trained on, pixels."""
    autoencoder: AutoencoderConfig
    transformer: DiTConfig


PRESETS = {
    "nano": Preset(
        size=64,
        autoencoder=AutoencoderConfig(
            latent_channels=48, stride=8, width=128, depth=3, pixel_width=24
        ),
        transformer=DiTConfig(
            latent_channels=48,
            ray_channels=RAY_CHANNELS,
            text_width=TEXT_WIDTH,
            patch_frames=2,
            patch_size=2,
            width=384,
            depth=8,
            num_heads=6,
            mlp_ratio=4.0,
        ),
    ),
    "small": Preset(
        size=128,
        autoencoder=AutoencoderConfig(
            latent_channels=64,
            stride=8,
            width=128,
            depth=4,
            pixel_width=16,
            levels=((96, 3), (64, 4)),
            consistent=True,
        ),
        transformer=DiTConfig(
            latent_channels=64,
            ray_channels=RAY_CHANNELS,
            text_width=TEXT_WIDTH,
            patch_frames=2,
            patch_size=2,
            width=384,
            depth=8,
            num_heads=6,
            mlp_ratio=4.0,
        ),
    ),
}
