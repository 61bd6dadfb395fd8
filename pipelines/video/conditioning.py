"""What the transformer is told besides the noisy clip: words, cameras, reference frames.

Size and length need no channel of their own: the rays say what each latent pixel looks at, and a
clip that the patch does not divide is padded with further real views (see `pad_cameras`).
"""

from dataclasses import dataclass, fields, replace

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from threed.cameras import Cameras, camera_rays

RAY_CHANNELS = 6
# In the reference mask: a picture, of which colours and outline are known, light and normals not.
PICTURE_MASK = 0.5


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """The transformer's conditions for a batch of clips."""

    text: Float[Tensor, "batch token channel"]
    """Text tokens, padded to a fixed length with zeros."""
    pooled: Float[Tensor, "batch channel"]
    """The sentence's embedding, of unit length; zero is no text."""
    rays: Float[Tensor, "clip frame ray height width"]
    """Plücker coordinates at latent resolution, one clip for all or one a clip."""
    reference: Float[Tensor, "batch frame latent height width"]
    """Clean latents of the given frames, zero elsewhere."""
    reference_mask: Float[Tensor, "batch frame 1 height width"]
    """1 on the given frames, `PICTURE_MASK` on a picture, 0 elsewhere."""
    guidance: Float[Tensor, " batch"]
    """How strongly the network shall lead away from the null condition by itself, 1 is not at all;
    heard by networks that have learnt it (`DiTConfig.max_guidance`)."""

    def to(self, device: torch.device | str) -> "Conditioning":
        """Return the same conditions on a device."""
        return Conditioning(
            **{field.name: getattr(self, field.name).to(device) for field in fields(self)}
        )

    @staticmethod
    def stack(first: "Conditioning", second: "Conditioning") -> "Conditioning":
        """Return both batches as one."""
        return Conditioning(
            **{
                field.name: torch.cat([getattr(first, field.name), getattr(second, field.name)])
                for field in fields(Conditioning)
            }
        )

    def without_text(self) -> "Conditioning":
        """Return the condition without words; cameras and frames stay."""
        return replace(self, text=torch.zeros_like(self.text), pooled=torch.zeros_like(self.pooled))

    def null(self) -> "Conditioning":
        """Return the condition that guidance leads away from: cameras alone."""
        reference, mask = torch.zeros_like(self.reference), torch.zeros_like(self.reference_mask)
        return replace(self.without_text(), reference=reference, reference_mask=mask)


def plucker_rays(cameras: Cameras, stride: int) -> Float[Tensor, "frame ray height width"]:
    """Return direction and moment of the rays through the centres of latent pixels.

    Plücker coordinates (d, o x d) name a line whichever of its points is the origin. Rays that
    meet an object in the unit sphere have moments of at most one.

    Args:
        cameras: One a frame.
        stride: Pixels that a latent pixel spans.

    Raises:
        ValueError: The stride does not divide the image.
    """
    if cameras.width % stride or cameras.height % stride:
        raise ValueError(
            f"frames of {cameras.width} x {cameras.height} do not divide into latents of {stride}"
        )
    coarse = cameras.resized(cameras.width // stride, cameras.height // stride)
    origins, directions = camera_rays(coarse)
    moment = torch.linalg.cross(origins, directions)
    return rearrange(torch.cat([directions, moment], dim=-1), "f h w c -> f c h w")


def without_normals(
    frames: Float[Tensor, "*batch 7 height width"],
) -> Float[Tensor, "*batch 7 height width"]:
    """Return the networks' frames as a picture tells them: albedo and coverage, no normals."""
    return torch.cat([frames[..., :4, :, :], torch.zeros_like(frames[..., 4:, :, :])], dim=-3)


def empty_reference(
    batch: int, num_frames: int, channels: int, height: int, width: int
) -> tuple[
    Float[Tensor, "batch frame channel height width"], Float[Tensor, "batch frame 1 height width"]
]:
    """Return reference latents and mask that give no frame."""
    return (
        torch.zeros(batch, num_frames, channels, height, width),
        torch.zeros(batch, num_frames, 1, height, width),
    )


def pad_cameras(cameras: Cameras, frames: int, pixels: int) -> Cameras:
    """Return cameras whose clip divides into `frames` and whose image into `pixels`.

    Padding is more of the same scene and so needs no mask: missing frames repeat the last camera,
    and missing rows and columns widen the field of view about the same centre. The sampler's
    result is cropped back.
    """
    missing = -len(cameras) % frames
    index = list(range(len(cameras))) + [len(cameras) - 1] * missing
    cameras = cameras[index]
    width = cameras.width + (-cameras.width % pixels)
    height = cameras.height + (-cameras.height % pixels)
    fov_y = 2 * torch.atan(0.5 * height / cameras.focal)
    return Cameras(c2w=cameras.c2w, fov_y=fov_y, width=width, height=height)
