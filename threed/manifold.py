"""Repair of closed meshes that touch themselves after simplification.

Edge collapse can press two sheets of a closed surface together: an edge gets four faces, or two
fans meet in one vertex. The boundary of the mesh is still empty, so that nothing need be filled:
the sheets are parted again, each with its own copy of the shared vertices.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

# How far a parted copy moves towards its own neighbours, as a share of the way.
PARTING = 0.05
MAX_ROUNDS = 4


def part_touching_sheets(
    vertices: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"]
) -> tuple[Float[np.ndarray, "new_vertex 3"], Int[np.ndarray, "new_face 3"]]:
    """Return the mesh with every edge between two faces and every vertex in one fan.

    Args:
        vertices: World positions.
        faces: A consistently oriented closed mesh: each edge is walked as often one way as the
            other. Edges for which that is not so are left as they are.
    """
    faces = faces[~_degenerate(faces) & ~_folded(faces)]
    for _ in range(MAX_ROUNDS):
        first, second = _paired_half_edges(vertices, faces)
        vertices, faces = _one_vertex_a_fan(vertices, faces, first, second)
        num_faces = len(faces)
        vertices, faces = _split_twin_edges(vertices, faces, first, second)
        if len(faces) == num_faces:
            break
    return vertices, faces


def _one_vertex_a_fan(
    vertices: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    first: Int[np.ndarray, " pair"],
    second: Int[np.ndarray, " pair"],
) -> tuple[Float[np.ndarray, "new_vertex 3"], Int[np.ndarray, "face 3"]]:
    """Return the mesh in which faces share a vertex only if paired edges lead round it."""
    # Half edge h of face h // 3 runs from corner h to corner next(h). Of two paired half edges the
    # start of one is the end of the other, and both ends belong to one fan each.
    corners = np.concatenate(
        [np.stack([first, _next(second)], 1), np.stack([_next(first), second], 1)]
    )
    graph = coo_matrix(
        (np.ones(len(corners), dtype=np.int8), (corners[:, 0], corners[:, 1])),
        shape=(faces.size, faces.size),
    )
    num_fans, fan = connected_components(graph, directed=False)
    new_faces = fan.reshape(-1, 3).astype(np.int64)
    source = np.zeros(num_fans, dtype=np.int64)
    source[fan] = faces.ravel()
    new_vertices = vertices[source]
    shared = np.bincount(source, minlength=len(vertices))[source] > 1
    if shared.any():
        new_vertices = _moved_apart(new_vertices, new_faces, shared)
    return new_vertices, new_faces


def _split_twin_edges(
    vertices: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    first: Int[np.ndarray, " pair"],
    second: Int[np.ndarray, " pair"],
) -> tuple[Float[np.ndarray, "new_vertex 3"], Int[np.ndarray, "new_face 3"]]:
    """Return the mesh with a vertex more on edges that share both ends with another edge.

    A tube that was pressed to the thickness of a line has two edges between the same two vertices;
    a vertex in the middle of one opens it. A face is cut once; the next round does the rest.
    """
    ends = np.sort(np.stack([faces.ravel()[first], faces.ravel()[_next(first)]], 1), axis=1)
    _, one_of_each = np.unique(ends, axis=0, return_index=True)
    twins = np.setdiff1d(np.arange(len(first)), one_of_each)
    cut: set[int] = set()
    middles: list[Float[np.ndarray, " 3"]] = []
    new_faces = faces.tolist()
    for pair in twins:
        halves = (int(first[pair]), int(second[pair]))
        touched = {half // 3 for half in halves}
        if len(touched) < 2 or cut & touched:
            continue
        cut |= touched
        middle = len(vertices) + len(middles)
        opposite = []
        for half in halves:
            a, b, c = np.roll(faces[half // 3], -(half % 3)).tolist()
            new_faces[half // 3] = [a, middle, c]
            new_faces.append([middle, b, c])
            opposite.append(vertices[c])
        place = vertices[ends[pair]].mean(axis=0)
        middles.append(place + PARTING * (np.mean(opposite, axis=0) - place))
    if not middles:
        return vertices, faces
    return np.concatenate([vertices, np.stack(middles)]), np.array(new_faces, dtype=np.int64)


def _next(half_edge: Int[np.ndarray, " edge"]) -> Int[np.ndarray, " edge"]:
    return half_edge - half_edge % 3 + (half_edge + 1) % 3


def _degenerate(faces: Int[np.ndarray, "face 3"]) -> Bool[np.ndarray, " face"]:
    return (faces == np.roll(faces, 1, axis=1)).any(axis=1)


def _folded(faces: Int[np.ndarray, "face 3"]) -> Bool[np.ndarray, " face"]:
    """Return which faces share all three corners with another one: a fin without volume."""
    _, inverse, counts = np.unique(
        np.sort(faces, axis=1), axis=0, return_inverse=True, return_counts=True
    )
    # Only even numbers cancel; of three copies one must stay, which is left to the pairing.
    return (counts % 2 == 0)[inverse.ravel()]


def _paired_half_edges(
    vertices: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"]
) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    """Return pairs of half edges that face each other across the inside of the solid."""
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    forward = start < end
    low, high = np.minimum(start, end), np.maximum(start, end)
    half_edge = np.arange(len(start))
    key = low.astype(np.int64) * len(vertices) + high
    _, edge, counts = np.unique(key, return_inverse=True, return_counts=True)
    crowded = counts[edge] > 2
    angle = np.zeros(len(start))
    chosen = half_edge[crowded]
    angle[chosen] = _wing_angles(vertices, faces, low[chosen], high[chosen], chosen)
    # Seen along the edge, the inside of a forward face lies at smaller angles: its partner is the
    # backward face before it on the circle. Sorted by angle from the first backward face on, they
    # alternate, and the ranks pair them.
    first_back = np.full(len(counts), np.inf)
    np.minimum.at(first_back, edge[~forward], angle[~forward])
    turned = np.where(angle < first_back[edge], angle + 2 * np.pi, angle)
    ordered_forward = half_edge[forward][np.lexsort((turned[forward], edge[forward]))]
    ordered_back = half_edge[~forward][np.lexsort((turned[~forward], edge[~forward]))]
    balanced = np.bincount(edge[forward], minlength=len(counts)) * 2 == counts
    ordered_forward = ordered_forward[balanced[edge[ordered_forward]]]
    ordered_back = ordered_back[balanced[edge[ordered_back]]]
    return ordered_forward, ordered_back


def _wing_angles(
    vertices: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    low: Int[np.ndarray, " edge"],
    high: Int[np.ndarray, " edge"],
    half_edge: Int[np.ndarray, " edge"],
) -> Float[np.ndarray, " edge"]:
    """Return the angle of each half edge's face about its edge, anticlockwise along low to high."""
    axis = vertices[high] - vertices[low]
    axis = axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-12)
    wing = vertices[faces.ravel()[_next(_next(half_edge))]] - vertices[low]
    helper = np.eye(3)[np.abs(axis).argmin(axis=1)]
    across = np.cross(axis, helper)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    beside = np.cross(axis, across)
    return np.arctan2((wing * beside).sum(axis=1), (wing * across).sum(axis=1))


def _moved_apart(
    vertices: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    chosen: Bool[np.ndarray, " vertex"],
) -> Float[np.ndarray, "vertex 3"]:
    """Return the chosen vertices moved a little towards the mean of their own neighbours."""
    total = np.zeros_like(vertices)
    count = np.zeros(len(vertices))
    for shift in (1, 2):
        np.add.at(total, faces.ravel(), vertices[np.roll(faces, -shift, axis=1).ravel()])
        np.add.at(count, faces.ravel(), 1)
    mean = total / np.maximum(count, 1)[:, None]
    return np.where(chosen[:, None], vertices + PARTING * (mean - vertices), vertices)
