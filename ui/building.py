"""Whether a mesh can be made of a job's video; where it cannot, the page says why."""

from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.closed import Closed, why_closed
from pipelines.errors import RequestError
from pipelines.request import CAMERAS
from pipelines.run_request import DECIDED_BY_STAGE
from threed.run_folder import RunFolder
from ui.tongues import Language, say

MESH_SETTINGS = frozenset(DECIDED_BY_STAGE)
"""What may still be chosen once the video is there."""


def check_build(folder: RunFolder, changes: Iterable[str]) -> None:
    """Refuse to go on from a job's video to the mesh where that cannot be done.

    Args:
        folder: The job's.
        changes: Names of the settings that shall differ from the job's request.

    Raises:
        RequestError: There is no whole video, it is none of which a mesh can be made, the mesh is
            there already, or a change concerns the video.
    """
    if not folder.done("orbit"):
        raise RequestError("this job has no finished video yet")
    if (closed := why_closed(folder.path)) is not None:
        raise RequestError(closed.words())
    if folder.done("report"):
        raise RequestError("this job has its mesh already; hand it in again for another one")
    if wrong := set(changes) - MESH_SETTINGS:
        raise RequestError(f"{', '.join(sorted(wrong))} cannot change once the video is made")


def undecided(folder: RunFolder, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return those changes whose stage is not done: what it was made with stands."""
    return {
        name: value for name, value in changes.items() if not folder.done(DECIDED_BY_STAGE[name])
    }


def closed_words(closed: Closed, language: Language) -> str:
    """Return what stands in the place of the mesh of a video that leads to none."""
    if closed.motion is not None:
        return say(language, "closed_motion")
    if closed.camera in CAMERAS:
        return say(language, "closed_camera", camera=say(language, f"camera_{closed.camera}"))
    return say(language, "closed_clip", reason=closed.found)
