"""Alpha for pictures that have none, where the background is plain: no network, no download.

Each picture's background is a smooth surface of colour fitted to its border. What differs from it,
and what such a difference encloses, is the object. At its edge a pixel mixes both colours,
I = a F + (1 - a) B; with F taken from just inside, a is the projection of I - B on F - B and the
premultiplied colour is what is left of I without (1 - a) B.
"""

from collections.abc import Generator

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy import ndimage

from threed.errors import NoPlainBackgroundError, RequestError
from threed.progress import finish

NOISE_FACTOR = 4.0
"""A pixel is not background when it differs by so many times the border's noise..."""
LEAST_DIFFERENCE = 8 / 255
"""...and by so much at least."""
MOST_NOISE = 10 / 255
"""A border noisier than this is no plain background."""
LEAST_BORDER = 0.55
"""Share of the border that must be background; the object may touch the rest."""
EDGES = (2, 10)
"""Least and greatest width of the band where colours mix, pixels; enlarged clips have wide ones."""
FRAME_SHARE = (0.002, 0.9)
"""The shares of a picture that an object may cover."""
SECOND_OBJECT = 0.2
"""A second thing of so much of the largest one's area is an object of its own."""
KEY_SATURATION = 0.3
"""A background more colourful than this is a key: seen through a hole, it is no part."""


def matte(
    frames: UInt8[np.ndarray, "frame height width 3"],
) -> Float[np.ndarray, "frame height width 4"]:
    """Return what `matte_steps` does, telling nobody."""
    return finish(matte_steps(frames))


def matte_steps(
    frames: UInt8[np.ndarray, "frame height width 3"],
) -> Generator[None, None, Float[np.ndarray, "frame height width 4"]]:
    """Return premultiplied RGBA of objects before plain backgrounds, sRGB in [0, 1].

    Between any two frames it yields.

    Raises:
        NoPlainBackgroundError: No plain background is found.
        RequestError: Nothing stands out from it.
    """
    # One lens and one encoder made all edges; the least of some frames is the one that shading
    # near an edge did not widen.
    some = frames[:: max(1, len(frames) // 6)]
    widths: list[int] = []
    for frame in some:
        widths.append(_edge_width(*_outline(_unit(frame))[1:3]))
        yield
    mattes = np.empty((*frames.shape[:3], 4), dtype=np.float32)
    for index, frame in enumerate(frames):
        mattes[index] = _matte_one(_unit(frame), min(widths))
        yield
    return mattes


def check_one_object(alpha: Float[np.ndarray, "frame height width"]) -> None:
    """Refuse a clip most of whose frames show two or more things apart.

    Raises:
        RequestError: The second largest is no small part of the largest.
    """
    apart = 0
    for picture in alpha:
        sizes = np.sort(np.bincount(_parts(picture > 0.5).ravel())[1:])
        apart += len(sizes) > 1 and sizes[-2] > SECOND_OBJECT * sizes[-1]
    if 2 * apart > len(alpha):
        raise RequestError(
            f"{apart} of {len(alpha)} frames show more than one object; film one at a time"
        )


def _unit(frame: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width 3"]:
    return frame.astype(np.float32) / 255


def _matte_one(
    image: Float[np.ndarray, "height width 3"], edge: int
) -> Float[np.ndarray, "height width 4"]:
    background, difference, solid, threshold = _outline(image)
    alpha = _soft_alpha(image - background, difference, solid, threshold, edge)
    colour = image - (1 - alpha[..., None]) * background
    return np.concatenate([colour.clip(0, alpha[..., None]), alpha[..., None]], axis=-1)


def _outline(
    image: Float[np.ndarray, "height width 3"],
) -> tuple[
    Float[np.ndarray, "height width 3"],
    Float[np.ndarray, "height width"],
    Bool[np.ndarray, "height width"],
    float,
]:
    """Return the background, each pixel's difference from it, what is object, and from where."""
    if min(image.shape[:2]) < 16:
        raise RequestError("a picture smaller than 16 pixels is too small to find its background")
    background, noise = _background(image)
    difference = np.sqrt(((image - background) ** 2).mean(axis=-1))
    threshold = max(NOISE_FACTOR * noise, LEAST_DIFFERENCE)
    solid = _object_mask(difference, background, threshold)
    share = float(solid.mean())
    if share < FRAME_SHARE[0]:
        raise RequestError(
            "nothing stands out from the background; the object needs a plain colour behind it "
            "that it does not have, or alpha (transparency) around it"
        )
    if share > FRAME_SHARE[1]:
        raise _no_background()
    return background, difference, solid, threshold


def _no_background() -> NoPlainBackgroundError:
    return NoPlainBackgroundError(
        "no plain background is found around the object; it needs one even colour behind it with "
        "room on all sides, or alpha (transparency)"
    )


def _background(
    image: Float[np.ndarray, "height width 3"],
) -> tuple[Float[np.ndarray, "height width 3"], float]:
    """Return the background's colour everywhere and the noise of the border about it."""
    height, width = image.shape[:2]
    thickness = max(2, min(height, width) // 40)
    border = np.ones((height, width), dtype=bool)
    border[thickness:-thickness, thickness:-thickness] = False
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).astype(np.float32)
    design, colours = terms[border], image[border]
    # From the constant that most of the border agrees on, then wider: a surface fitted at once
    # would bend towards an object that touches the border.
    kept = np.abs(colours - _mode(colours)).max(axis=-1) < 0.12
    for num_terms in (1, 3, 3, 6, 6):
        if kept.mean() < LEAST_BORDER / 2:
            raise _no_background()
        fit, *_ = np.linalg.lstsq(design[kept, :num_terms], colours[kept], rcond=None)
        residual = np.sqrt(((colours - design[:, :num_terms] @ fit) ** 2).mean(axis=-1))
        noise = 1.4826 * float(np.median(residual[kept]))
        kept = residual < max(NOISE_FACTOR * noise, LEAST_DIFFERENCE)
    if kept.mean() < LEAST_BORDER or noise > MOST_NOISE:
        raise _no_background()
    return (terms @ fit).clip(0, 1), noise


def _mode(colours: Float[np.ndarray, "pixel 3"]) -> Float[np.ndarray, " 3"]:
    """Return the commonest colour: the mean of the fullest of coarse bins of colour."""
    bins = (colours * 7.999).astype(np.int64) @ np.array([64, 8, 1])
    return colours[bins == np.bincount(bins).argmax()].mean(axis=0)


def _object_mask(
    difference: Float[np.ndarray, "height width"],
    background: Float[np.ndarray, "height width 3"],
    threshold: float,
) -> Bool[np.ndarray, "height width"]:
    like_background = difference < threshold
    labels = _parts(like_background)
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    outside = np.isin(labels, np.unique(rim[rim > 0]))
    mean = background.mean(axis=(0, 1))
    if float(np.ptp(mean)) > KEY_SATURATION:
        # A wrongly opened hole lets a tunnel be carved through the object, a closed one is only
        # painted: so holes are opened where the colour can hardly be the object's own.
        outside |= np.asarray(ndimage.binary_opening(like_background), dtype=bool)
    return without_specks(~outside)


def without_specks(
    solid: Bool[np.ndarray, "height width"],
) -> Bool[np.ndarray, "height width"]:
    """Return a mask without what is tiny beside its largest part."""
    # Specks of noise and dust are not the object; its separate parts are far larger.
    labels = _parts(solid)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return solid & (sizes >= max(9, 0.01 * sizes.max()))[labels]


def _parts(mask: Bool[np.ndarray, "height width"]) -> Int[np.ndarray, "height width"]:
    """Return the number of the connected part that each pixel is in, 0 outside."""
    labels = np.zeros(mask.shape, dtype=np.int32)
    ndimage.label(mask, output=labels)
    return labels


def _soft_alpha(
    offset: Float[np.ndarray, "height width 3"],
    difference: Float[np.ndarray, "height width"],
    solid: Bool[np.ndarray, "height width"],
    threshold: float,
    edge: int,
) -> Float[np.ndarray, "height width"]:
    """Return coverage: 1 inside, 0 outside, the mix of colours in the band between."""
    eroded = ndimage.binary_erosion(solid, iterations=edge, border_value=1)
    inside = np.asarray(eroded, dtype=bool)
    band = np.asarray(ndimage.binary_dilation(solid), dtype=bool) & ~inside
    # The object's own colour at an edge pixel: the nearest pixel well inside, or where the part
    # is too thin to have an inside, the least mixed pixel around.
    nearest = np.zeros((2, *inside.shape), dtype=np.int32)
    found = ndimage.distance_transform_edt(~inside, return_indices=True, indices=nearest)
    distance = np.asarray(found)
    rows, columns = np.nonzero(band)
    own = offset[nearest[0][rows, columns], nearest[1][rows, columns]]
    thin = distance[rows, columns] > 2 * edge
    if thin.any():
        own[thin] = _purest_around(offset, difference, rows[thin], columns[thin], edge)
    strength = (own**2).sum(axis=-1)
    mixed = (offset[rows, columns] * own).sum(axis=-1) / np.maximum(strength, 1e-8)
    # Where the object's colour is next to the background's, the mix cannot be told: cut hard.
    told = np.sqrt(strength / 3) > 2 * threshold
    alpha = inside.astype(np.float32)
    alpha[rows, columns] = np.where(told, mixed.clip(0, 1), solid[rows, columns])
    # Compression leaves a faint halo that no eye sees but a hull does.
    return ((alpha - 0.04) / 0.92).clip(0, 1).astype(np.float32)


def _edge_width(
    difference: Float[np.ndarray, "height width"], solid: Bool[np.ndarray, "height width"]
) -> int:
    """Return at what depth, in pixels, the object has nearly its full difference."""
    padded = np.asarray(ndimage.distance_transform_edt(np.pad(solid, 1, "edge")))
    depth = np.ceil(padded[1:-1, 1:-1])
    least, most = EDGES
    most = max(least, min(most, min(solid.shape) // 24))
    medians = [
        float(np.median(difference[depth == step])) if (depth == step).any() else 0.0
        for step in range(1, most + 1)
    ]
    full = max(medians)
    return max(least, 1 + next(step for step, value in enumerate(medians) if value >= 0.9 * full))


def _purest_around(
    offset: Float[np.ndarray, "height width 3"],
    difference: Float[np.ndarray, "height width"],
    rows: Int[np.ndarray, " pixel"],
    columns: Int[np.ndarray, " pixel"],
    reach: int,
) -> Float[np.ndarray, "pixel 3"]:
    """Return the offset within reach of each pixel that differs most from the background."""
    height, width = difference.shape
    steps = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1, 1)
    near_rows = (rows + steps[0]).clip(0, height - 1)
    near_columns = (columns + steps[1]).clip(0, width - 1)
    best = difference[near_rows, near_columns].argmax(axis=0)
    pixel = np.arange(len(rows))
    return offset[near_rows[best, pixel], near_columns[best, pixel]]
