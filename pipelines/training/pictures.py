"""Orbits as they look to somebody who holds one picture: turned to face it, its light unknown.

Both work on latents through the autoencoder's linear part, so that the cached latents serve.
"""

import torch
from jaxtyping import Float
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


def yaw_rotation(angle: Float[Tensor, " clip"]) -> Float[Tensor, "clip 3 3"]:
    """Return the rotations about +y; a positive angle moves +z towards +x, as azimuth does."""
    cos, sin = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rows = [cos, zero, sin, zero, one, zero, -sin, zero, cos]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def turn_clips(
    autoencoder: Autoencoder,
    latents: Float[Tensor, "clip frame latent rows columns"],
    rays: Float[Tensor, "clip frame ray rows columns"],
    angle: Float[Tensor, " clip"],
) -> tuple[Tensor, Tensor]:
    """Return the latents and rays of the same clips after the world was turned about +y.

    Args:
        autoencoder: Its linear part reads and writes the normals.
        latents: Of whole clips.
        rays: Plücker coordinates; direction and moment turn alike.
        angle: Radians, one a clip.
    """
    turn = yaw_rotation(angle)
    frames = autoencoder.decode_linear(latents)
    normals = torch.einsum("bij,bfjhw->bfihw", turn, frames[:, :, 4:])
    turned = autoencoder.encode(torch.cat([frames[:, :, :4], normals], dim=2))
    lines = rays.unflatten(2, (2, 3))
    return turned, torch.einsum("bij,bfkjhw->bfkihw", turn, lines).flatten(2, 3)


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
