"""A picture's object in a frame, as large and as central as in the embedded model's renders."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

OUTLINE_SHARE = 0.78
"""The longer side of an object's outline in the first frame of the default orbit, of the frame's
side: the median over the renders that the embedded model learnt from, as
`benchmarks/picture_share.py` finds it."""


def frame_picture(
    picture: Float[Tensor, "height width 4"], size: int, share: float = OUTLINE_SHARE
) -> Float[Tensor, "side row 4"]:
    """Return a square frame with the object in its middle, transparent around it.

    Args:
        picture: Premultiplied, cut to the object's outline.
        size: Width and height of the frame, pixels.
        share: The longer side of the outline, of the frame's side.
    """
    scale = share * size / max(picture.shape[:2])
    # Margins are whole pixels: they are equal only where the outline is as even, or odd, as the
    # frame.
    odd = size % 2
    sides = [2 * max(1, round((side * scale - odd) / 2)) + odd for side in picture.shape[:2]]
    small = F.interpolate(
        rearrange(picture, "h w c -> 1 c h w"),
        size=tuple(sides),
        mode="bilinear",
        antialias=True,
        align_corners=False,
    )
    top, left = (size - sides[0]) // 2, (size - sides[1]) // 2
    frame = rearrange(F.pad(small, (left, left, top, top)), "1 c h w -> h w c").clamp(0, 1)
    # Rounding must not leave more colour than coverage.
    return torch.cat([torch.minimum(frame[..., :3], frame[..., 3:]), frame[..., 3:]], dim=-1)
