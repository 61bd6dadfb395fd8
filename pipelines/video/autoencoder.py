"""The video autoencoder: seven channels of a frame to latents 8x smaller in space, and back.

Both directions start from a linear transform of patches whose basis is the training frames'
principal components, and learn the rest as a residual that is zero at first: a linear basis is
found in seconds and already good, a network alone takes hours to get there. The encoder works on
single frames, so that latents may be cached, cut and reordered; the decoder mixes neighbouring
frames too. Time is never strided, for an orbit's frames lie too far apart.

What the network adds may be held to patches that the encoder cannot see (`consistent`): it then
invents only what the latents do not say, and the decoded frames encode to their latents again.

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
    levels: tuple[tuple[int, int], ...] = ()
    """Channels and number of the residual blocks at twice the latents' resolution, at four times,
    and so on; without any the decoder goes straight to pixels."""
    consistent: bool = False
    """Whether decoded frames encode to their latents again."""

    def __post_init__(self) -> None:
        for name in ("latent_channels", "stride", "width", "depth", "pixel_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if any(count < 1 for level in self.levels for count in level):
            raise ValueError(f"levels is {self.levels}; its numbers must be at least 1")
        if self.stride % 2 ** len(self.levels):
            raise ValueError(
                f"levels has {len(self.levels)} doublings; the stride {self.stride} has fewer"
            )


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
        hidden = self.space_in(F.silu(self.norm(x)))
        hidden = hidden + self.over_time(hidden, num_frames)
        return x + self.space_out(F.silu(hidden))

    def over_time(
        self, x: Float[Tensor, "frames channel height width"], num_frames: int
    ) -> Float[Tensor, "frames channel height width"]:
        """Return what the convolution in time gives, as three products: a GPU has no fast one."""
        clip = x.unflatten(0, (-1, num_frames))
        earlier = torch.cat([clip[:, :1], clip[:, :-1]], dim=1).flatten(0, 1)
        later = torch.cat([clip[:, 1:], clip[:, -1:]], dim=1).flatten(0, 1)
        taps = self.time.weight.to(x.dtype)[:, 0, :, None, None].unbind(dim=1)
        assert self.time.bias is not None
        bias = self.time.bias.to(x.dtype)[:, None, None]
        return taps[0] * earlier + taps[1] * x + taps[2] * later + bias


class PixelBlock(nn.Module):
    """Two convolutions in space, zero at first. No norm: a pixel's level is what it shows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.space_in = nn.Conv2d(width, width, 3, padding=1)
        self.space_out = nn.Conv2d(width, width, 3, padding=1)
        zero_init(self.space_out)

    def forward(
        self, x: Float[Tensor, "frames channel height width"]
    ) -> Float[Tensor, "frames channel height width"]:
        return x + self.space_out(F.silu(self.space_in(F.silu(x))))


class Level(nn.Module):
    """Twice the resolution of what came before, and blocks that see the linear frames too."""

    def __init__(self, width_before: int, width: int, depth: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.up = nn.Conv2d(width_before, 4 * width, 1)
        self.linear_in = nn.Conv2d(FRAME_CHANNELS * stride**2, width, 1)
        self.blocks = nn.ModuleList(PixelBlock(width) for _ in range(depth))

    def forward(
        self,
        x: Float[Tensor, "frames channel rows columns"],
        linear: Float[Tensor, "frames 7 height width"],
    ) -> Float[Tensor, "frames wide rows2 columns2"]:
        hidden = F.pixel_shuffle(self.up(F.silu(x)), 2)
        hidden = hidden + self.linear_in(F.pixel_unshuffle(linear, self.stride))
        # With few channels a processor convolves several times faster in this order.
        hidden = hidden.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            hidden = block(hidden)
        return hidden


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
        self.levels = nn.ModuleList()
        width, stride = config.width, config.stride
        for level_width, depth in config.levels:
            stride //= 2
            self.levels.append(Level(width, level_width, depth, stride))
            width = level_width
        self.to_pixels = nn.Conv2d(width, config.pixel_width * stride**2, 1)
        self.pixel_in = nn.Conv2d(
            config.pixel_width + FRAME_CHANNELS, config.pixel_width, 3, padding=1
        )
        self.pixel_mid = nn.Conv2d(config.pixel_width, config.pixel_width, 3, padding=1)
        self.pixel_out = nn.Conv2d(config.pixel_width, FRAME_CHANNELS, 3, padding=1)
        zero_init(self.pixel_out)
        if config.consistent:
            self.doubt = zero_init(nn.Conv2d(config.width, config.latent_channels, 1))

    def encode(
        self, frames: Float[Tensor, "batch frame channel height width"]
    ) -> Float[Tensor, "batch frame latent rows columns"]:
        """Return latents of about unit variance."""
        seen = (self._patches(frames) - self.mean) @ self.analysis.T
        return rearrange(seen, "b f h w c -> b f c h w")

    def decode_linear(
        self, latents: Float[Tensor, "batch frame latent rows columns"]
    ) -> Float[Tensor, "batch frame channel height width"]:
        """Return the linear part of the reconstruction, good enough for a live preview."""
        codes = rearrange(latents, "b f c h w -> b f h w c")
        return self._joined(codes @ self.synthesis.T + self.mean)

    def decode(
        self, latents: Float[Tensor, "batch frame latent rows columns"]
    ) -> Float[Tensor, "batch frame channel height width"]:
        """Return the frames, not clamped."""
        num_frames = latents.shape[1]
        linear = rearrange(self.decode_linear(latents), "b f c h w -> (b f) c h w")
        hidden = self.latent_in(rearrange(latents, "b f c h w -> (b f) c h w"))
        for block in self.blocks:
            hidden = block(hidden, num_frames)
        code = F.silu(hidden)
        for level in self.levels:
            hidden = level(hidden, linear)
        stride = self.config.stride // 2 ** len(self.levels)
        pixels = F.pixel_shuffle(self.to_pixels(F.silu(hidden)), stride)
        pixels = F.silu(self.pixel_in(torch.cat([pixels, linear], dim=1)))
        pixels = F.silu(self.pixel_mid(pixels))
        added = rearrange(self.pixel_out(pixels), "(b f) c h w -> b f c h w", f=num_frames)
        linear = rearrange(linear, "(b f) c h w -> b f c h w", f=num_frames)
        if self.config.consistent:
            doubt = rearrange(self.doubt(code), "(b f) c h w -> b f h w c", f=num_frames)
            added = self._unseen(added, doubt)
        return linear + added

    def _unseen(self, frames: Tensor, doubt: Tensor) -> Tensor:
        """Return a difference of frames, but of what would change their latents only `doubt`."""
        patches = self._patches(frames)
        change = (1 - doubt) * (patches @ self.analysis.T)
        return self._joined(patches - change @ self.synthesis.T)

    def _patches(self, frames: Tensor) -> Tensor:
        side = self.config.stride
        return rearrange(frames, "b f c (h ph) (w pw) -> b f h w (c ph pw)", ph=side, pw=side)

    def _joined(self, patches: Tensor) -> Tensor:
        side = self.config.stride
        return rearrange(patches, "b f h w (c ph pw) -> b f c (h ph) (w pw)", ph=side, pw=side)


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
    alpha = without_specks(((alpha - 0.04) / 0.92).clamp(0, 1))
    albedo = (0.5 * pixels[..., :3] + 0.5).clamp(min=0)
    albedo = torch.minimum(albedo, alpha[..., None])
    normals = F.normalize(pixels[..., 4:], dim=-1, eps=1e-6) * alpha[..., None]
    return OrbitVideo(albedo=albedo, alpha=alpha, normals=normals, cameras=cameras)


def without_specks(
    alpha: Float[Tensor, "frame height width"], solid: float = 0.25, faint: float = 0.01
) -> Float[Tensor, "frame height width"]:
    """Return coverage without islands that are nowhere solid, such as a decoder leaves in the air.

    What touches something solid stays as it is, however long, unless nobody could see it.
    """
    covered = alpha > faint
    kept = alpha > solid
    while True:
        grown = F.max_pool2d(kept.float()[:, None], 3, stride=1, padding=1)[:, 0] > 0
        grown &= covered
        if torch.equal(grown, kept):
            return alpha * kept
        kept = grown
