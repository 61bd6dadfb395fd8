"""The orbit video: what the video stage hands to the 3D stage, and how it is lit for the eye."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from threed.cameras import Cameras

# A key light above the viewer's left shoulder at azimuth 0, and a sky brighter than the ground.
KEY_LIGHT = (-0.45, 0.75, 0.65)
AMBIENT_SKY, AMBIENT_GROUND, KEY_STRENGTH = 0.62, 0.42, 0.50


@dataclass(frozen=True, kw_only=True)
class OrbitVideo:
    """Frames of one object with their cameras; sRGB values in [0, 1], premultiplied by alpha.

    Raises:
        ValueError: The fields disagree in size.
    """

    albedo: Float[Tensor, "frame height width 3"]
    """Colour without light, or as filmed where `normals` is None; premultiplied by alpha."""
    alpha: Float[Tensor, "frame height width"]
    """Coverage in [0, 1]."""
    normals: Float[Tensor, "frame height width 3"] | None
    """World-space unit normals premultiplied by alpha, zero on the background; None if unknown."""
    cameras: Cameras
    """One camera a frame, of the frames' pixel size."""
    kind: Literal["orbit", "clip"] = "orbit"
    """`clip` is a video that no rigid object explains; the 3D stage declines it."""

    def __post_init__(self) -> None:
        size = (len(self.cameras), self.cameras.height, self.cameras.width)
        for name, expected in (("alpha", size), ("albedo", (*size, 3)), ("normals", (*size, 3))):
            value = getattr(self, name)
            if value is not None and tuple(value.shape) != expected:
                raise ValueError(
                    f"{name} has shape {tuple(value.shape)}, the cameras say {expected}"
                )

    @property
    def num_frames(self) -> int:
        return self.alpha.shape[0]

    def select(self, index: slice | list[int]) -> "OrbitVideo":
        """Return the chosen frames with their cameras."""
        return OrbitVideo(
            albedo=self.albedo[index],
            alpha=self.alpha[index],
            normals=None if self.normals is None else self.normals[index],
            cameras=self.cameras[index],
            kind=self.kind,
        )

    def to(self, device: torch.device | str) -> "OrbitVideo":
        """Return the same video on a device."""
        return OrbitVideo(
            albedo=self.albedo.to(device),
            alpha=self.alpha.to(device),
            normals=None if self.normals is None else self.normals.to(device),
            cameras=self.cameras.to(device),
            kind=self.kind,
        )


def shade(
    albedo: Float[Tensor, "*pixels 3"], normals: Float[Tensor, "*pixels 3"]
) -> Float[Tensor, "*pixels 3"]:
    """Return colours lit by a fixed sky and key light, for display; premultiplied in and out.

    Both inputs are premultiplied; the normals' lengths do not matter, and where a normal is zero
    the colour is lit by the average sky alone.
    """
    unit = F.normalize(normals, dim=-1, eps=1e-6)
    key = F.normalize(unit.new_tensor(KEY_LIGHT), dim=0)
    sky = 0.5 * (1 + unit[..., 1:2])
    light = AMBIENT_GROUND + (AMBIENT_SKY - AMBIENT_GROUND) * sky
    light = light + KEY_STRENGTH * (unit @ key).clamp(min=0)[..., None]
    # Clamped to the premultiplied white of the pixel would need alpha; light never exceeds 1.15.
    return (albedo * light).clamp(0, 1)


def display_frames(
    orbit: OrbitVideo, background: float = 1.0
) -> Float[Tensor, "frame height width 3"]:
    """Return the frames as a viewer sees them: shaded where normals are known, over a grey."""
    colour = orbit.albedo if orbit.normals is None else shade(orbit.albedo, orbit.normals)
    return (colour + background * (1 - orbit.alpha[..., None])).clamp(0, 1)


def display_pixels(orbit: OrbitVideo) -> UInt8[np.ndarray, "frame height width 3"]:
    """Return the frames as a viewer sees them over white, in sRGB of eight bits."""
    return (255 * display_frames(orbit.to("cpu"))).round().to(torch.uint8).numpy()
