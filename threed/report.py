"""What the user is told of a result: how well the views agree, and what the mesh is like.

Importing this module loads no torch, so that a page may read reports.
"""

import json
from dataclasses import asdict, dataclass

# Views that agree to this many decibels look alike, and below the second they show another thing.
GOOD_PSNR, POOR_PSNR = 24.0, 18.0
# A view so far below the mean is named even where the mean is good.
OUTLIER_PSNR = 5.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """The findings on one run, as they stand in report.json."""

    psnr: list[float]
    """Agreement of each frame with the field inside the object's box, dB (`threed.metrics`)."""
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
    """The whole in a sentence or two."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Return the report that `to_json` wrote; an unknown key is a TypeError."""
        return cls(**json.loads(text))


def verdict(psnr: list[float], *, watertight: bool, light_baked: bool) -> str:
    """Return what a user should know, in plain sentences, good or bad."""
    mean, worst = sum(psnr) / len(psnr), psnr.index(min(psnr))
    if mean >= GOOD_PSNR:
        sentence = f"The views agree with one another ({mean:.1f} dB on average)."
    elif mean >= POOR_PSNR:
        sentence = (
            f"The views agree roughly ({mean:.1f} dB on average): the shape is right in the large, "
            "details may be blurred."
        )
    else:
        sentence = (
            f"The views do not agree with one another ({mean:.1f} dB on average): no single object "
            "looks like all of them, so the mesh is a compromise. Another seed may do better."
        )
    if psnr[worst] < min(mean - OUTLIER_PSNR, GOOD_PSNR):
        sentence += f" View {worst + 1} of {len(psnr)} fits worst ({psnr[worst]:.1f} dB)."
    sentence += " The mesh is closed." if watertight else " The mesh is not closed."
    if light_baked:
        sentence += " The light of the video is part of the colours."
    return sentence
