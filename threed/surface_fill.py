"""Colours where nobody looks: spread over a mesh from where somebody does.

A field has never been asked for its colour there, and answers with noise.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import spsolve

# The least with which a vertex keeps to its own value: it decides only in parts of which nothing is
# known.
LEAST_TRUST = 1e-6


def spread_known(
    vertices: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    values: Float[np.ndarray, "vertex channel"],
    known: Bool[np.ndarray, " vertex"],
    trust: Float[np.ndarray, " vertex"] | float = 0.0,
) -> Float[np.ndarray, "vertex channel"]:
    """Return values that are as smooth as can be where they are not known, and unchanged elsewhere.

    Each unknown vertex has the mean of its neighbours, nearer ones counting more (the discrete
    harmonic function with edges weighted by inverse length). A part that holds no known vertex
    keeps, in the mean, its values.

    Args:
        vertices: Positions; several at one place, as seams have them, are one.
        faces: Corners.
        values: At the vertices.
        known: Which of them stand.
        trust: How strongly each of the others keeps to its own value beside its neighbours', whose
            strengths sum to one.
    """
    if known.all():
        return values
    _, index, place = np.unique(vertices, axis=0, return_index=True, return_inverse=True)
    place = place.reshape(-1)
    count = len(index)
    # A place is known if any of its vertices is, and then has the mean of those alone.
    stands = np.bincount(place, known, count) > 0
    weight = (known | ~stands[place]).astype(float)
    total = np.bincount(place, weight, count)
    at = np.stack([np.bincount(place, weight * v, count) for v in values.T], axis=1)
    at = at / np.maximum(total, 1.0)[:, None]

    corners = place[faces]
    first, second = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]).T
    # In double precision, which the least trust asks for.
    spots = vertices[index].astype(np.float64)
    length = np.linalg.norm(spots[first] - spots[second], axis=1)
    closeness = 1 / np.maximum(length, 1e-6)
    links = coo_matrix((closeness, (first, second)), shape=(count, count))
    links = (links + links.T).tocsr()
    strength = np.asarray(links.sum(axis=1))[:, 0]
    links = diags(1 / np.maximum(strength, 1e-12)) @ links
    unknown = ~stands
    rows = links[unknown]
    own = np.broadcast_to(np.asarray(trust, float), known.shape)
    own = np.bincount(place, own, count) / np.bincount(place, minlength=count)
    own = np.maximum(own[unknown], LEAST_TRUST)
    matrix = diags(1 + own) - rows[:, unknown]
    wanted = rows[:, stands] @ at[stands] + own[:, None] * at[unknown]
    solved = np.asarray(spsolve(matrix.tocsc(), wanted))
    at[unknown] = solved.reshape(-1, values.shape[1])
    return np.where(known[:, None], values, at[place])
