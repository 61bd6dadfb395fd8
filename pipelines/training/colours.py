"""Colour words found in the pixels, and recoloured copies that obey a colour word."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

# Each word's typical sRGB colour; a pixel's word is found by hue, saturation and value below.
TARGETS = {
    "red": (0.82, 0.13, 0.13),
    "orange": (0.95, 0.52, 0.10),
    "yellow": (0.97, 0.85, 0.20),
    "green": (0.20, 0.62, 0.25),
    "blue": (0.16, 0.36, 0.82),
    "purple": (0.52, 0.24, 0.72),
    "pink": (0.96, 0.52, 0.70),
    "brown": (0.47, 0.29, 0.15),
    "black": (0.11, 0.11, 0.12),
    "white": (0.94, 0.94, 0.95),
    "grey": (0.52, 0.52, 0.54),
}
NAMES = tuple(TARGETS)


def hue_saturation_value(
    colour: Float[Tensor, "*pixel 3"],
) -> tuple[Float[Tensor, "*pixel"], Float[Tensor, "*pixel"], Float[Tensor, "*pixel"]]:
    """Return hue in degrees, saturation and value of sRGB colours (Smith's HSV)."""
    high, low = colour.amax(dim=-1), colour.amin(dim=-1)
    chroma = high - low
    safe = chroma.clamp(min=1e-6)
    red, green, blue = colour.unbind(dim=-1)
    hue = torch.where(
        high == red,
        ((green - blue) / safe) % 6,
        torch.where(high == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    return 60 * hue, chroma / high.clamp(min=1e-6), high


def colour_names(colour: Float[Tensor, "*pixel 3"]) -> UInt8[Tensor, "*pixel"]:
    """Return the index in `NAMES` of every colour's everyday word."""
    hue, saturation, value = hue_saturation_value(colour)
    index = {name: number for number, name in enumerate(NAMES)}
    out = torch.full(hue.shape, index["red"], dtype=torch.uint8, device=colour.device)

    def paint(mask: Tensor, name: str) -> None:
        out[mask] = index[name]

    paint((hue >= 17) & (hue < 44), "orange")
    paint((hue >= 44) & (hue < 68), "yellow")
    paint((hue >= 68) & (hue < 170), "green")
    paint((hue >= 170) & (hue < 257), "blue")
    paint((hue >= 257) & (hue < 310), "purple")
    paint((hue >= 310) & (hue < 346), "pink")
    # Light, weak reds are pink; dark oranges and dark yellows are brown.
    paint(((hue >= 346) | (hue < 17)) & (saturation < 0.55) & (value > 0.75), "pink")
    paint((hue >= 8) & (hue < 50) & (value < 0.72) & (saturation > 0.2), "brown")
    paint((hue >= 12) & (hue < 44) & (value < 0.86) & (saturation < 0.56), "brown")
    grey = (saturation < 0.16) | ((saturation < 0.24) & (value < 0.45))
    paint(grey, "grey")
    paint(grey & (value > 0.82), "white")
    paint((value < 0.2) | (grey & (value < 0.28)), "black")
    return out


def dominant_colours(
    frames: UInt8[Tensor, "frame height width 7"], share: float = 0.25
) -> list[str]:
    """Return the words of the colours that cover at least `share` of the object, largest first."""
    solid = frames[..., 3] > 250
    if not bool(solid.any()):
        return []
    counts = torch.bincount(
        colour_names(frames[..., :3][solid].float() / 255).long(), minlength=len(NAMES)
    )
    order = counts.argsort(descending=True).tolist()
    return [NAMES[i] for i in order if counts[i] >= share * counts.sum()]


def recolour(
    frames: UInt8[Tensor, "frame height width 7"], name: str
) -> UInt8[Tensor, "frame height width 7"]:
    """Return the frames with the object's dominant colour turned into the named one.

    Pixels of the dominant word take the target's hue and saturation; their value is the target's,
    moved half of the way by how light or dark they were among the dominant ones, so that their
    parts stay apart. The rest stays as it is.
    """
    alpha = frames[..., 3:4].float() / 255
    straight = (frames[..., :3].float() / 255) / alpha.clamp(min=1 / 255)
    solid = frames[..., 3] > 64
    words = colour_names(straight.clamp(0, 1))
    counts = torch.bincount(words[solid].long(), minlength=len(NAMES))
    chosen = solid & (words == int(counts.argmax()))
    value = straight.amax(dim=-1)
    relative = value / value[chosen].mean().clamp(min=0.05) if bool(chosen.any()) else value
    target = straight.new_tensor(TARGETS[name])
    painted = (target * (0.5 + 0.5 * relative)[..., None]).clamp(0, 1)
    out = frames.clone()
    out[..., :3] = torch.where(
        chosen[..., None], (painted * alpha * 255).round().to(torch.uint8), frames[..., :3]
    )
    return out
