"""The video autoencoder: seven channels of a frame to latents 8x smaller in space, and back.

Both directions start from a linear transform of patches whose basis is the training frames'
principal components, and learn the rest as a residual that is zero at first: a linear basis is
found in seconds and already good, a network alone takes hours to get there. The encoder works on
single frames, so that latents may be cached, cut and reordered; the decoder mixes neighbouring
frames too. Time is never strided, for an orbit's frames lie too far apart.

Frames hold 2x - 1 of albedo and alpha (0-3), premultiplied, and the premultiplied world-space
normals (4-6), all in [-1, 1].
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.video.layers import zero_init
from threed.cameras import Cameras
from threed.orbit import OrbitVideo

FRAME_CHANNELS = 7


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Shape of the autoencoder.

    Raises:
        ValueError: A field is out of range.
    """

    latent_channels: int
    stride: int
    """Pixels along a latent pixel's side."""
    width: int
    """Channels of the decoder's residual blocks at latent resolution."""
    depth: int
    """Number of the decoder's residual blocks."""
    pixel_width: int
    """Channels of the decoder's last convolutions, at full resolution."""

    def __post_init__(self) -> None:
        for name in ("latent_channels", "stride", "width", "depth", "pixel_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")


class ResidualBlock(nn.Module):
    """Convolution in space, mixing of neighbouring frames, convolution; zero at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.space_in = nn.Conv2d(width, width, 3, padding=1)
        self.time = nn.Conv1d(width, width, 3, padding=1, groups=width, padding_mode="replicate")
        self.space_out = nn.Conv2d(width, width, 3, padding=1)
        zero_init(self.space_out)

    def forward(
        self, x: Float[Tensor, "frames channel height width"], num_frames: int
    ) -> Float[Tensor, "frames channel height width"]:
        height, width = x.shape[-2:]
        hidden = self.space_in(F.silu(self.norm(x)))
        line = rearrange(hidden, "(b f) c h w -> (b h w) c f", f=num_frames)
        hidden = hidden + rearrange(
            self.time(line), "(b h w) c f -> (b f) c h w", h=height, w=width
        )
        return x + self.space_out(F.silu(hidden))


class Autoencoder(nn.Module):
    """Linear analysis, and a synthesis that a small network refines."""

    mean: Tensor
    analysis: Tensor
    synthesis: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        volume = FRAME_CHANNELS * config.stride**2
        self.register_buffer("mean", torch.zeros(volume))
        self.register_buffer("analysis", torch.zeros(config.latent_channels, volume))
        self.register_buffer("synthesis", torch.zeros(volume, config.latent_channels))
        self.latent_in = nn.Conv2d(config.latent_channels, config.width, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(config.width) for _ in range(config.depth))
        self.to_pixels = nn.Conv2d(config.width, config.pixel_width * config.stride**2, 1)
        self.pixel_in = nn.Conv2d(
            config.pixel_width + FRAME_CHANNELS, config.pixel_width, 3, padding=1
        )
        self.pixel_mid = nn.Conv2d(config.pixel_width, config.pixel_width, 3, padding=1)
        self.pixel_out = nn.Conv2d(config.pixel_width, FRAME_CHANNELS, 3, padding=1)
        zero_init(self.pixel_out)

    def encode(
        self, frames: Float[Tensor, "batch frame channel height width"]
    ) -> Float[Tensor, "batch frame latent rows columns"]:
        """Return latents of about unit variance."""
        patches = rearrange(
            frames,
            "b f c (h ph) (w pw) -> b f h w (c ph pw)",
            ph=self.config.stride,
            pw=self.config.stride,
        )
        return rearrange((patches - self.mean) @ self.analysis.T, "b f h w c -> b f c h w")

    def decode_linear(
        self, latents: Float[Tensor, "batch frame latent rows columns"]
    ) -> Float[Tensor, "batch frame channel height width"]:
        """Return the linear part of the reconstruction, good enough for a live preview."""
        patches = rearrange(latents, "b f c h w -> b f h w c") @ self.synthesis.T + self.mean
        return rearrange(
            patches,
            "b f h w (c ph pw) -> b f c (h ph) (w pw)",
            ph=self.config.stride,
            pw=self.config.stride,
        )

    def decode(
        self, latents: Float[Tensor, "batch frame latent rows columns"]
    ) -> Float[Tensor, "batch frame channel height width"]:
        """Return the frames, not clamped."""
        num_frames = latents.shape[1]
        linear = rearrange(self.decode_linear(latents), "b f c h w -> (b f) c h w")
        hidden = self.latent_in(rearrange(latents, "b f c h w -> (b f) c h w"))
        for block in self.blocks:
            hidden = block(hidden, num_frames)
        pixels = F.pixel_shuffle(self.to_pixels(F.silu(hidden)), self.config.stride)
        pixels = F.silu(self.pixel_in(torch.cat([pixels, linear], dim=1)))
        pixels = F.silu(self.pixel_mid(pixels))
        out = linear + self.pixel_out(pixels)
        return rearrange(out, "(b f) c h w -> b f c h w", f=num_frames)


def fit_linear(
    autoencoder: Autoencoder, patches: Float[Tensor, "sample volume"], whitening: float = 0.5
) -> None:
    """Set the linear transforms to the patches' principal components.

    Args:
        autoencoder: Changed in place.
        patches: Training patches, channel-major as `encode` cuts them.
        whitening: 0 keeps the components' own spread, which spends the diffusion model on the
            first few; 1 makes them equal, which spends it on the faintest; between is a power.
    """
    channels = autoencoder.config.latent_channels
    mean = patches.double().mean(dim=0)
    centred = patches.double() - mean
    variance, basis = torch.linalg.eigh(centred.T @ centred / len(patches))
    variance, basis = variance.flip(0)[:channels], basis.flip(1)[:, :channels]
    scale = variance.clamp(min=1e-8).pow(-0.5 * whitening)
    scale = scale / (variance * scale**2).mean().sqrt()
    autoencoder.mean.copy_(mean)
    autoencoder.analysis.copy_((basis * scale).T)
    autoencoder.synthesis.copy_(basis / scale)


def frames_from_orbit(orbit: OrbitVideo) -> Float[Tensor, "frame channel height width"]:
    """Return the autoencoder's seven channels of an orbit that has normals.

    Raises:
        ValueError: The orbit has no normals.
    """
    if orbit.normals is None:
        raise ValueError("the autoencoder needs normals; this orbit has none")
    colour = 2 * torch.cat([orbit.albedo, orbit.alpha[..., None]], dim=-1) - 1
    return rearrange(torch.cat([colour, orbit.normals], dim=-1), "f h w c -> f c h w")


def orbit_from_frames(
    frames: Float[Tensor, "frame channel height width"], cameras: Cameras
) -> OrbitVideo:
    """Return the orbit that decoded frames show: colour held within alpha, unit normals."""
    pixels = rearrange(frames.float(), "f c h w -> f h w c")
    alpha = (0.5 * pixels[..., 3] + 0.5).clamp(0, 1)
    # The decoder rings faintly around the silhouette; what is nearly empty or full is so.
    alpha = ((alpha - 0.04) / 0.92).clamp(0, 1)
    albedo = (0.5 * pixels[..., :3] + 0.5).clamp(min=0)
    albedo = torch.minimum(albedo, alpha[..., None])
    normals = F.normalize(pixels[..., 4:], dim=-1, eps=1e-6) * alpha[..., None]
    return OrbitVideo(albedo=albedo, alpha=alpha, normals=normals, cameras=cameras)
