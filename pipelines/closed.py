"""Videos of which no mesh can be made, and why. Reads a run folder; loads no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import RequestError
from pipelines.provenance import read_provenance
from threed.orbit_kind import read_kind

UNEXPLAINED = "its frames do not agree"


@dataclass(frozen=True, kw_only=True)
class Closed:
    """Why a finished video leads to no mesh."""

    found: str
    """The reason, in words."""
    camera: str | None = None
    """The camera, where it or the thing was to move otherwise than in an orbit; else None."""
    motion: str | None = None
    """What the thing was to do: a name of `pipelines.motions.MOTIONS`; None for nothing."""

    def words(self) -> str:
        """Return the reason and what to do instead."""
        if self.camera is not None:
            return (
                f"no mesh can be made of this video: {self.found}. Ask for another one with the "
                "camera 'orbit', which shows the thing standing still from all sides"
            )
        return (
            f"the model drew no turn about one object: {self.found}. The video is kept; try "
            "another seed, more tries, or fewer words about anything but the object"
        )


def why_closed(folder: Path) -> Closed | None:
    """Return why a run folder's video leads to no mesh; None where it does, or there is none."""
    if read_kind(folder / "orbit.npz") != "clip":
        return None
    told = video_findings(folder)
    found, camera, motion = (told.get(key) for key in ("found", "camera", "motion"))
    return Closed(
        found=found if isinstance(found, str) else UNEXPLAINED,
        camera=camera if isinstance(camera, str) else None,
        motion=motion if isinstance(motion, str) else None,
    )


def video_findings(folder: Path) -> dict[str, Any]:
    """Return what the model that drew a run folder's video said of it; empty where it said nothing.

    The film keeps it, so that a run that goes on from there says the same of its mesh.
    """
    try:
        told = read_provenance(folder / "orbit.mp4").made_with.get("video")
    except RequestError:
        return {}
    return told if isinstance(told, dict) else {}
