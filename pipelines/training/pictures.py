"""Orbits as they look to somebody who holds one picture: turned to face it, its light unknown.

Some are mirrored, some painted anew: pictures show more than any set of meshes does. All work on
latents through the autoencoder's linear part, so that the cached latents serve.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from pipelines.video.autoencoder import Autoencoder
from pipelines.video.conditioning import without_normals

# The least share of a picture's light that comes from all around.
LEAST_AMBIENT = 0.45
# The lamp shines on a surface that faces it somewhat askew as on one that faces it.
LAMP_STRENGTH = 1.5
# Where the lamp stands: from here, so far over; above and before the object.
LAMPS_FROM, LAMPS_OVER = torch.tensor([-1.0, 0.1, 0.1]), torch.tensor([2.0, 1.0, 1.0])
# How faint a repainted clip's colours may become, each channel, and how grey.
LEAST_GAIN, LEAST_SATURATION = 0.5, 0.4


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How clips are seen otherwise than they were drawn."""

    turn: Float[Tensor, " clip"]
    """By how much the world is turned about +y, radians; before all else."""
    mirrored: Bool[Tensor, " clip"]
    """Whether left and right are exchanged."""
    paint: Float[Tensor, "clip 3 3"]
    """What the colours are multiplied with; no entry below 0 and no row above 1 in all, so that
    every colour stays one."""


def yaw_rotation(angle: Float[Tensor, " clip"]) -> Float[Tensor, "clip 3 3"]:
    """Return the rotations about +y; a positive angle moves +z towards +x, as azimuth does."""
    cos, sin = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rows = [cos, zero, sin, zero, one, zero, -sin, zero, cos]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def random_variation(
    turn: Float[Tensor, " clip"], share: float, generator: torch.Generator
) -> tuple[Variation, Bool[Tensor, " clip"]]:
    """Return turned clips' random variation, and which of them are painted.

    Args:
        turn: Radians.
        share: How often a clip is mirrored, and, whether it is or not, how often painted.
        generator: On the clips' device.
    """
    number = torch.rand(len(turn), 9, generator=generator, device=turn.device)
    # The order of three random numbers is a permutation of the channels.
    order = F.one_hot(number[:, :3].argsort(dim=1), 3).float()
    saturation = LEAST_SATURATION + (1 - LEAST_SATURATION) * number[:, 3, None, None]
    gain = LEAST_GAIN + (1 - LEAST_GAIN) * number[:, 4:7, None]
    plain = torch.eye(3, device=turn.device).expand(len(turn), -1, -1)
    painted = number[:, 7] < share
    paint = gain * (saturation * order + (1 - saturation) / 3)
    paint = torch.where(painted[:, None, None], paint, plain)
    return Variation(turn=turn, mirrored=number[:, 8] < share, paint=paint), painted


def vary_clips(
    autoencoder: Autoencoder,
    latents: Float[Tensor, "clip frame latent rows columns"],
    rays: Float[Tensor, "clip frame ray rows columns"],
    variation: Variation,
) -> tuple[Tensor, Tensor]:
    """Return the latents and rays of the same clips, seen otherwise.

    Args:
        autoencoder: Its linear part reads and writes the frames.
        latents: Of whole clips.
        rays: Plücker coordinates.
        variation: Turned, direction and moment turn alike; mirrored, the moment, which is a
            product of two vectors, turns the other way.
    """
    turn = yaw_rotation(variation.turn)
    frames = autoencoder.decode_linear(latents)
    colour = torch.einsum("bij,bfjhw->bfihw", variation.paint, frames[:, :, :3] + 1) - 1
    normals = torch.einsum("bij,bfjhw->bfihw", turn, frames[:, :, 4:])
    lines = torch.einsum("bij,bfkjhw->bfkihw", turn, rays.unflatten(2, (2, 3)))
    frames = torch.cat([colour, frames[:, :, 3:4], normals], dim=2)
    side = frames.new_tensor([1, 1, 1, 1, -1, 1, 1])[:, None, None]
    across = lines.new_tensor([[-1, 1, 1], [1, -1, -1]])[:, :, None, None]
    mirrored = variation.mirrored[:, None, None, None, None]
    frames = torch.where(mirrored, frames.flip(-1) * side, frames)
    lines = torch.where(mirrored[..., None], lines.flip(-1) * across, lines)
    return autoencoder.encode(frames), lines.flatten(2, 3)


def as_pictures(
    autoencoder: Autoencoder,
    latents: Float[Tensor, "clip frame latent rows columns"],
    generator: torch.Generator,
) -> Float[Tensor, "clip frame latent rows columns"]:
    """Return the latents of the frames as pictures of them: lit from somewhere, without normals.

    Half of the pictures keep the plain colours; the others are lit by one lamp above and before
    the object and by light from all around (Lambert's law).
    """
    frames = autoencoder.decode_linear(latents)
    # All numbers at once, and where the latents are: five to a picture.
    number = torch.rand(len(frames), 5, generator=generator, device=frames.device)
    around = LEAST_AMBIENT + (1 - LEAST_AMBIENT) * number[:, 0]
    around = torch.where(number[:, 1] < 0.5, 1.0, around)
    lamps_from, lamps_over = LAMPS_FROM.to(frames.device), LAMPS_OVER.to(frames.device)
    lamp = F.normalize(lamps_from + lamps_over * number[:, 2:], dim=-1)
    # Premultiplied normals have the coverage in them; where there is none, no light is needed.
    facing = torch.einsum("bi,bfihw->bfhw", lamp, frames[:, :, 4:]).clamp(0, 1)
    level = around[:, None, None, None]
    shade = (level + (1 - level) * LAMP_STRENGTH * facing).clamp(max=1)
    colour = (frames[:, :, :3] + 1) * shade[:, :, None] - 1
    lit = torch.cat([colour, frames[:, :, 3:]], dim=2)
    return autoencoder.encode(without_normals(lit))
