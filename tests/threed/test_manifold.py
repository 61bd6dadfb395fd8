import numpy as np
import pytest
import trimesh

from threed.manifold import part_touching_sheets


def joined(*solids: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    """Return several solids as one mesh in which equal places are one vertex."""
    both = trimesh.util.concatenate(solids)
    places, index = np.unique(both.vertices.round(9), axis=0, return_inverse=True)
    return places, index.ravel()[both.faces].astype(np.int64)


def solid_of(vertices: np.ndarray, faces: np.ndarray) -> trimesh.Trimesh:
    return trimesh.Trimesh(vertices, faces, process=True)


@pytest.mark.parametrize("shift", [(1.0, 1.0, 0.0), (1.0, 1.0, 1.0), (0.0, -1.0, 1.0)])
def test_cubes_that_touch_in_an_edge_or_a_corner_are_parted(shift: tuple[float, ...]) -> None:
    cube = trimesh.creation.box()
    vertices, faces = joined(cube, cube.copy().apply_translation(shift))
    solid = solid_of(*part_touching_sheets(vertices, faces))
    assert solid.is_volume
    assert solid.body_count == 2
    assert 1.8 < solid.volume < 2.0


def test_closed_mesh_without_contact_stays_as_it_is() -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    vertices, faces = part_touching_sheets(ball.vertices, ball.faces.astype(np.int64))
    np.testing.assert_array_equal(vertices[faces], ball.vertices[ball.faces])
    assert len(vertices) == len(ball.vertices)


def test_fin_without_volume_is_removed() -> None:
    cube = trimesh.creation.box()
    fin = np.array([[0, 1, 8], [1, 0, 8]])
    vertices = np.concatenate([cube.vertices, [[0.0, 3.0, 0.0]]])
    _, faces = part_touching_sheets(vertices, np.concatenate([cube.faces, fin]).astype(np.int64))
    assert len(faces) == len(cube.faces)


def test_tube_pressed_to_a_line_is_opened() -> None:
    """Two tetrahedra-like caps that share an edge twice: the tube between them has two sides."""
    # Caps over the quadrilaterals a c b d below and above the edge a b, joined along that edge.
    points = np.array(
        [[-1, 0, 0], [1, 0, 0], [0, 1, -1], [0, -1, -1], [0, 1, 1], [0, -1, 1]], dtype=np.float64
    )
    a, b, c, d, e, f = range(6)
    below = [[a, c, b], [b, d, a], [a, d, c], [b, c, d]]
    above = [[b, e, a], [a, f, b], [a, e, f], [b, f, e]]
    faces = np.array(below + above, dtype=np.int64)
    solid = solid_of(*part_touching_sheets(points, faces))
    assert solid.is_watertight
    assert solid.is_winding_consistent
