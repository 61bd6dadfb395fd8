import numpy as np
import pytest
from scipy import ndimage

from threed.mask_edge import coverage, cut_along

SIZE, CELLS = 192, 96


def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pixels, about, to the outline of a shape with dents; positive inside."""
    return SIZE * 0.28 * (1 + 0.2 * np.cos(3 * np.arctan2(y, x))) - np.hypot(x, y)


def on_grid(cells: int, shift: float = 0.0) -> np.ndarray:
    place = ((np.arange(cells) + 0.5) / cells - 0.5) * SIZE
    return (distance(*np.meshgrid(place, place)) + shift).astype(np.float32)


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture of the shape before a busy background, its coverage and its own colours."""
    rng = np.random.default_rng(seed)

    def texture(scale: float) -> np.ndarray:
        blurred = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE, 3)), (scale, scale, 0))
        return (blurred - blurred.min()) / np.ptp(blurred)

    behind, own = texture(4), (0.2 + 0.7 * texture(6)) * [1, 0.5, 0.3]
    alpha = (on_grid(8 * SIZE) > 0).reshape(SIZE, 8, SIZE, 8).mean(axis=(1, 3))
    mixed = alpha[..., None] * own + (1 - alpha[..., None]) * behind
    return np.rint(255 * mixed).astype(np.uint8), alpha, own


def test_ideal_logits_give_back_coverage_and_colour_before_a_busy_background() -> None:
    picture, alpha, own = scene()
    found = cut_along(picture, on_grid(CELLS))
    near = ndimage.binary_dilation((alpha > 0) & (alpha < 1), iterations=3)
    assert np.abs(found[..., 3] - alpha)[near].mean() < 0.03
    assert np.abs(found[..., :3] - alpha[..., None] * own)[near].mean() < 0.015
    assert abs(found[..., 3].sum() / alpha.sum() - 1) < 0.01
    assert (found[..., :3] <= found[..., 3:] + 1e-6).all()
    # What is surely inside is the picture's, to the bit; what is surely outside is nothing.
    inside, outside = on_grid(SIZE) > 6, on_grid(SIZE) < -6
    assert np.array_equal(found[inside][:, :3], picture[inside].astype(np.float32) / 255)
    assert (found[inside][:, 3] == 1).all() and not found[outside].any()


@pytest.mark.parametrize("shift", [-1.5, 1.5])
def test_an_outline_that_is_beside_is_drawn_to_the_pictures_own(shift: float) -> None:
    """Within a step of the logits the picture's colours tell where the object ends."""
    picture, alpha, own = scene()
    logits = on_grid(CELLS, shift)
    near = ndimage.binary_dilation((alpha > 0) & (alpha < 1), iterations=3)
    by_logits = np.abs(coverage(logits, SIZE, SIZE) - alpha)[near].mean()
    found = cut_along(picture, logits)
    assert np.abs(found[..., 3] - alpha)[near].mean() < by_logits / 2
    assert np.abs(found[..., :3] - alpha[..., None] * own)[near].mean() < 0.05


def test_coverage_is_the_distance_whatever_the_logits_slope_and_grid() -> None:
    alpha = (on_grid(8 * SIZE) > 0).reshape(SIZE, 8, SIZE, 8).mean(axis=(1, 3))
    for cells in (48, CELLS, SIZE, 3 * SIZE):
        found = coverage(on_grid(cells), SIZE, SIZE)
        assert np.abs(found - alpha).max() < 0.2, cells
        assert np.abs(found - coverage(0.01 * on_grid(cells), SIZE, SIZE)).max() < 1e-3
    # Not square, as frames are not: the logits are stretched over the whole.
    wide = coverage(on_grid(CELLS), SIZE, 2 * SIZE)
    assert abs(wide.mean() / alpha.mean() - 1) < 0.01


def test_specks_are_left_out_and_flat_logits_are_cut_hard() -> None:
    logits = np.full((32, 32), -5.0, np.float32)
    logits[8:24, 8:24] = 5.0
    logits[1, 1] = 5.0
    found = coverage(logits, 128, 128)
    assert found[:16, :16].max() == 0 and found[64, 64] == 1
    assert set(np.unique(coverage(np.ones((8, 8), np.float32), 16, 16))) == {1.0}
