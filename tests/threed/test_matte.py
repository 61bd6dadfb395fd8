import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from threed.errors import RequestError
from threed.matte import matte

SIZE = 96


def disc_alpha(radius: float = 26.0, samples: int = 8) -> np.ndarray:
    """Coverage of a disc by counting samples, so that its edge is a known mix."""
    place = (np.arange(SIZE * samples) + 0.5) / samples - SIZE / 2
    inside = np.hypot(place[:, None], place[None]) < radius
    return inside.reshape(SIZE, samples, SIZE, samples).mean(axis=(1, 3))


def over(alpha: np.ndarray, colour: object, background: object) -> np.ndarray:
    mixed = alpha[..., None] * np.asarray(colour) + (1 - alpha[..., None]) * np.asarray(background)
    return np.rint(255 * mixed.clip(0, 1)).astype(np.uint8)[None]


@pytest.mark.parametrize("background", [(1, 1, 1), (0, 0, 0), (0.1, 0.7, 0.2), (0.5, 0.5, 0.5)])
def test_a_mix_is_undone(background: tuple[float, float, float]) -> None:
    """Over any plain colour both the coverage and the premultiplied colour come back."""
    alpha, colour = disc_alpha(), np.array([0.8, 0.25, 0.3])
    found = matte(over(alpha, colour, background))[0]
    assert np.abs(found[..., 3] - alpha).max() < 0.06
    assert np.abs(found[..., :3] - alpha[..., None] * colour).max() < 0.06
    assert (found[..., :3] <= found[..., 3:] + 1e-6).all()


def test_a_slow_gradient_with_noise_is_plain() -> None:
    y, x = np.meshgrid(np.linspace(0, 1, SIZE), np.linspace(0, 1, SIZE), indexing="ij")
    background = np.stack([0.5 + 0.3 * x, 0.6 - 0.2 * y, 0.7 + 0.1 * x * y], axis=-1)
    noise = np.random.default_rng(0).normal(0, 0.008, (SIZE, SIZE, 3))
    alpha = disc_alpha()
    found = matte(over(alpha, (0.15, 0.1, 0.3), background + noise))[0, ..., 3]
    assert np.abs(found - alpha).mean() < 0.01
    assert found[alpha == 0].mean() < 0.002


def test_an_object_that_touches_the_border_is_kept_whole() -> None:
    alpha = np.zeros((SIZE, SIZE))
    alpha[40:, 30:66] = 1
    found = matte(over(alpha, (0.2, 0.3, 0.7), (1, 1, 1)))[0, ..., 3]
    assert (found[46:, 36:60] > 0.95).all() and (found[:34] == 0).all()


def test_an_enclosed_patch_of_the_backgrounds_colour_stays_unless_it_is_a_key() -> None:
    ring = disc_alpha(34) - disc_alpha(14)
    white = matte(over(ring, (0.3, 0.2, 0.5), (1, 1, 1)))[0, ..., 3]
    key = matte(over(ring, (0.6, 0.2, 0.5), (0, 0.8, 0.1)))[0, ..., 3]
    assert white[SIZE // 2, SIZE // 2] == 1 and key[SIZE // 2, SIZE // 2] == 0


def test_an_enlarged_picture_covers_as_much_as_the_original() -> None:
    """However wide interpolation has made the edges, the sum of alpha is the object's area."""
    alpha = disc_alpha()
    small = over(alpha, (0.8, 0.7, 0.2), (0.75, 0.85, 0.95))[0]
    large = np.asarray(Image.fromarray(small).resize((4 * SIZE,) * 2, Image.Resampling.LANCZOS))
    found = matte(large[None])[0, ..., 3]
    assert abs(found.mean() / alpha.mean() - 1) < 0.015


def test_a_thin_line_keeps_its_colour() -> None:
    alpha = disc_alpha(20)
    alpha[:, 47] = np.maximum(alpha[:, 47], (np.arange(SIZE) > 10) * 0.7)
    colour = np.array([0.9, 0.1, 0.1])
    found = matte(over(alpha, colour, (1, 1, 1)))[0]
    line = found[15:24, 47]
    assert (line[:, 3] > 0.6).all()
    straight = line[:, :3] / line[:, 3:]
    # A line thinner than a pixel has no pure pixel: its colour can only be bounded.
    assert (straight[:, 0] > 0.85).all() and (straight[:, 1] < 0.5).all()


@pytest.mark.parametrize("scene", ["busy", "blank", "full", "tiny"])
def test_no_plain_background_is_said(scene: str) -> None:
    rng = np.random.default_rng(0)
    frame = np.full((SIZE, SIZE, 3), 240, np.uint8)
    if scene == "busy":
        blurred = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE, 3)), (5, 5, 0))
        frame = np.uint8(255 * (blurred - blurred.min()) / np.ptp(blurred))
    elif scene == "full":
        frame[2:-2, 2:-2] = (40, 90, 30)
    elif scene == "tiny":
        frame = frame[:8, :8]
    with pytest.raises(RequestError, match="background"):
        matte(frame[None])
