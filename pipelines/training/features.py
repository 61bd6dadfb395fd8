"""Small descriptions of orbits by which generated clips are compared with rendered truth."""

import torch
from einops import rearrange, reduce
from jaxtyping import Float, Int
from torch import Tensor

FEATURE_VIEWS = 4
"""Views of the default orbit, a quarter turn apart."""
FEATURE_SIZE = 16
"""Rows and columns that a view is averaged down to."""


def orbit_feature(
    frames: Float[Tensor, "frame 7 height width"],
) -> Float[Tensor, " feature"]:
    """Return colour, coverage and normals of four views, averaged over 16 x 16 blocks.

    The distance between two such features is the root mean square difference of the blurred
    pictures: a name is found again when its shape and its colours are, from all sides.

    Args:
        frames: The default orbit, in the networks' channels and range; a multiple of four frames.

    Raises:
        ValueError: The frames do not divide into four views or 16 blocks.
    """
    if len(frames) % FEATURE_VIEWS or frames.shape[-1] % FEATURE_SIZE:
        raise ValueError(
            f"{len(frames)} frames of {frames.shape[-1]} pixels do not divide into "
            f"{FEATURE_VIEWS} views of {FEATURE_SIZE}"
        )
    views = frames[:: len(frames) // FEATURE_VIEWS]
    block = frames.shape[-1] // FEATURE_SIZE
    small = reduce(views, "f c (h bh) (w bw) -> f c h w", "mean", bh=block, bw=block)
    return rearrange(small, "f c h w -> (f c h w)")


def feature_distance(
    a: Float[Tensor, "left feature"], b: Float[Tensor, "right feature"]
) -> Float[Tensor, "left right"]:
    """Return the root mean square difference of every pair."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist") / a.shape[1] ** 0.5


def merge_twins(
    names: list[str], features: Float[Tensor, "design feature"], threshold: float
) -> dict[str, str]:
    """Return a representative for each name that looks like another under a different name.

    Two names are twins when any design of one lies within `threshold` of any design of the other;
    twins of twins are twins. The representative is the first of them by the alphabet.
    """
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    close = (feature_distance(features, features) < threshold).nonzero().tolist()
    for left, right in close:
        a, b = sorted((root(names[left]), root(names[right])))
        parent[b] = a
    return {name: root(name) for name in sorted(set(names)) if root(name) != name}


def retrieval_rank(
    feature: Float[Tensor, " feature"],
    features: Float[Tensor, "design feature"],
    design_name: Int[Tensor, " design"],
    wanted: int,
) -> int:
    """Return the place (1 is first) of the wanted name among all names.

    A name stands for its nearest design.
    """
    distance = feature_distance(feature[None], features)[0]
    num_names = int(design_name.max()) + 1
    nearest = torch.full((num_names,), torch.inf).scatter_reduce(0, design_name, distance, "amin")
    return int((nearest < nearest[wanted]).sum()) + 1
