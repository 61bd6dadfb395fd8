"""What the user is told of a result: how well the views agree, and what the mesh is like.

Importing this module loads no torch, so that a page may read reports.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import mean, median
from typing import Literal, get_args

from threed.file_size import SizeBudget

# Views that agree to this many decibels look alike, and below the second they show another thing.
GOOD_PSNR, POOR_PSNR = 24.0, 18.0
# A view so far below the median is named even where most are good.
WEAK_PSNR = 3.0
# Of the weak parts of a turn, how many the verdict names.
MAX_NAMED = 2
# Cameras above this elevation, and below its negative, look from above and from below.
STEEP = math.radians(50)

Side = Literal["front", "right", "back", "left", "above", "below"]


@dataclass(frozen=True, kw_only=True)
class WeakViews:
    """Neighbouring views that agree with the mesh much less than the others do."""

    views: tuple[int, ...]
    """Indices in the order of the turn, which may run over its end."""
    sides: tuple[Side, ...]
    """What they show of the object, in the same order, each once."""
    psnr: float
    """Their mean agreement, dB."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The findings on one run, as they stand in report.json."""

    psnr: list[float]
    """Agreement of each frame with the field inside the object's box, dB (`threed.metrics`); of a
    video that was drawn again, the first drawing's."""
    mean_psnr: float
    """Mean of the views' agreement, dB."""
    worst_view: int
    """Index of the frame that agrees least."""
    mesh_psnr: float
    """Mean agreement of the frames with the finished mesh, dB."""
    watertight: bool
    """Whether the mesh in the file is closed and bounds a volume."""
    num_faces: int
    num_vertices: int
    """Vertices in the file, where a vertex on a seam counts more than once."""
    texture_size: int
    """Texels along a side of the texture."""
    glb_bytes: int
    light_baked: bool
    """Whether the colours hold the light they were filmed in."""
    seconds: dict[str, float]
    """Wall time of each stage that ran; what an earlier run had finished is missing."""
    verdict: str
    """The whole in a few sentences."""
    sides: list[Side] = field(default_factory=list)
    """From where each frame sees the object; `right` is the right in the picture of the front."""
    texture_kind: str = "PNG"
    """What the texture is kept as: PNG, JPEG or WebP."""
    budget: SizeBudget | None = None
    """The limit of the file's size, and what the mesh would have been without; None: no limit."""
    redrawn_psnr: float | None = None
    """Mean agreement of the frames with the field once they were drawn again, dB; None: they were
    not."""

    def weak(self) -> list[WeakViews]:
        """Return the parts of the turn that disagree with the rest, the worst first."""
        return weak_views(self.psnr, self.sides)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Return the report that `to_json` wrote; an unknown key is a TypeError."""
        values = json.loads(text)
        if values.get("budget") is not None:
            values["budget"] = SizeBudget(**values["budget"])
        return cls(**values)


def side_of(azimuth: float, elevation: float) -> Side:
    """Return which side of an object a camera sees, both angles in radians."""
    if abs(elevation) > STEEP:
        return "above" if elevation > 0 else "below"
    return get_args(Side)[round(azimuth / (math.pi / 2)) % 4]


def weak_views(psnr: Sequence[float], sides: Sequence[Side]) -> list[WeakViews]:
    """Return runs of neighbouring views far below the median, the worst first.

    Args:
        psnr: Agreement of each view, dB; the last view's neighbour is the first.
        sides: What each shows; empty where that is not known.
    """
    limit = min(median(psnr) - WEAK_PSNR, GOOD_PSNR)
    weak = [value < limit for value in psnr]
    starts = [view for view in range(len(psnr)) if weak[view] and not weak[view - 1]]
    runs = []
    for start in starts:
        views = [start]
        while weak[(views[-1] + 1) % len(psnr)]:
            views.append((views[-1] + 1) % len(psnr))
        seen: list[Side] = []
        for view in views:
            if sides and sides[view] not in seen:
                seen.append(sides[view])
        level = mean(psnr[view] for view in views)
        runs.append(WeakViews(views=tuple(views), sides=tuple(seen), psnr=level))
    return sorted(runs, key=lambda run: run.psnr)


def verdict(
    psnr: Sequence[float],
    sides: Sequence[Side] = (),
    *,
    watertight: bool,
    light_baked: bool,
    given_up: str = "",
    redrawn_psnr: float | None = None,
) -> str:
    """Return what a user should know, in plain sentences, good or bad."""
    level = mean(psnr)
    named = [_weak_words(run) for run in weak_views(psnr, sides)[:MAX_NAMED]]
    if level >= GOOD_PSNR and named:
        words = f"Most views agree with one another ({level:.1f} dB on average), but {named[0]}."
        named = named[1:]
    elif level >= GOOD_PSNR:
        words = f"The views agree with one another ({level:.1f} dB on average)."
    elif level >= POOR_PSNR:
        words = (
            f"The views agree roughly ({level:.1f} dB on average): the shape is right in the "
            "large, details may be blurred."
        )
    else:
        words = (
            f"The views do not agree with one another ({level:.1f} dB on average): no single "
            "object looks like all of them, so the mesh is a compromise. Another seed may do "
            "better."
        )
    sentences = [words, *(f"{name[0].upper()}{name[1:]}." for name in named)]
    if redrawn_psnr is not None:
        sentences.append(
            f"The video was drawn again by what its views agree on ({redrawn_psnr:.1f} dB now)."
        )
    sentences.append("The mesh is closed." if watertight else "The mesh is not closed.")
    if light_baked:
        sentences.append("The light of the video is part of the colours.")
    if given_up:
        sentences.append(given_up)
    return " ".join(sentences)


def given_up(
    budget: SizeBudget | None, *, num_faces: int, texture_size: int, texture_kind: str
) -> str:
    """Return what a mesh lost to stay within its megabytes, as a sentence; nothing for nothing."""
    if budget is None:
        return ""
    lost = []
    if num_faces < budget.faces:
        lost.append(f"{num_faces:,} triangles instead of {budget.faces:,}")
    if texture_size < budget.texture:
        lost.append(f"a texture of {texture_size} pixels instead of {budget.texture}")
    if texture_kind != "PNG":
        lost.append(f"the texture as {texture_kind}")
    if not lost:
        return ""
    listed = " and ".join(filter(None, [", ".join(lost[:-1]), lost[-1]]))
    return f"To stay within {budget.max_mb:g} MB it has {listed}."


def view_numbers(views: Sequence[int]) -> str:
    """Return the first and the last of neighbouring views as people count them."""
    if len(views) == 1:
        return f"{views[0] + 1}"
    return f"{views[0] + 1} to {views[-1] + 1}"


def _weak_words(run: WeakViews) -> str:
    names = [side if side in ("front", "back") else f"{side} side" for side in run.sides]
    names = [{"above side": "top", "below side": "underside"}.get(name, name) for name in names]
    if len(run.views) == 1:
        seen = f" ({names[0]})" if names else ""
        return f"view {view_numbers(run.views)}{seen} disagrees with the rest ({run.psnr:.1f} dB)"
    what = " and ".join(f"the {name}" for name in names) or "what they show"
    numbers = view_numbers(run.views)
    return f"views {numbers} disagree with the rest ({run.psnr:.1f} dB): {what} may be soft"
