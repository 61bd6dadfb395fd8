import numpy as np

from threed.surface_fill import spread_known


def strip(count: int, x: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return a band of squares along z, two triangles each."""
    z = np.arange(count, dtype=np.float32)
    vertices = np.concatenate([np.stack([np.full(count, x + s), 0 * z, z], 1) for s in (0, 1)])
    a = np.arange(count - 1)
    faces = np.concatenate(
        [np.stack([a, a + 1, a + count], 1), np.stack([a + 1, a + count + 1, a + count], 1)]
    )
    return vertices.astype(np.float32), faces


def test_between_two_known_ends_values_run_evenly() -> None:
    vertices, faces = strip(9)
    known = (vertices[:, 2] == 0) | (vertices[:, 2] == 8)
    values = np.where(known, vertices[:, 2], 99.0)[:, None]
    filled = spread_known(vertices, faces, values, known)
    np.testing.assert_allclose(filled[:, 0], vertices[:, 2], atol=0.3)
    np.testing.assert_array_equal(filled[known], values[known])
    inner = filled[~known]
    assert inner.min() > 0
    assert inner.max() < 8


def test_values_cross_a_seam() -> None:
    """Squares that were cut apart, each with vertices of its own, are one surface."""
    vertices, faces = strip(9)
    corners = vertices[faces].reshape(-1, 3)
    apart = np.arange(len(corners)).reshape(-1, 3)
    known = (corners[:, 2] == 0) | (corners[:, 2] == 8)
    values = np.where(known, corners[:, 2], 99.0)[:, None]
    filled = spread_known(corners, apart, values, known)
    np.testing.assert_allclose(filled[:, 0], corners[:, 2], atol=0.3)


def test_a_part_of_which_nothing_is_known_keeps_its_mean() -> None:
    near, faces = strip(5)
    far, _ = strip(5, x=10.0)
    vertices = np.concatenate([near, far])
    both = np.concatenate([faces, faces + len(near)])
    known = np.arange(len(vertices)) < len(near)
    values = np.where(known, 1.0, 3.0)[:, None]
    filled = spread_known(vertices, both, values, known)
    np.testing.assert_allclose(filled, values, atol=1e-3)


def test_trusted_values_pull_as_strongly_as_they_are_trusted() -> None:
    vertices, faces = strip(9)
    known = (vertices[:, 2] == 0) | (vertices[:, 2] == 8)
    values = np.where(known, 0.0, 1.0)[:, None]
    middle = vertices[:, 2] == 4
    pulled = [
        spread_known(vertices, faces, values, known, np.full(len(known), trust))[middle].mean()
        for trust in (0.0, 0.1, 100.0)
    ]
    assert pulled[0] < 0.01
    assert 0.2 < pulled[1] < 0.9
    assert pulled[2] > 0.98


def test_what_is_wholly_known_is_left_alone() -> None:
    vertices, faces = strip(4)
    values = np.random.default_rng(0).random((len(vertices), 3))
    known = np.ones(len(vertices), dtype=bool)
    np.testing.assert_array_equal(spread_known(vertices, faces, values, known), values)
