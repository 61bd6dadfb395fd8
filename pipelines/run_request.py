"""A run folder's request.json: whose run it is, what may still change, and by what it was made."""

import json
import os
from dataclasses import asdict
from typing import Any

from pipelines.closed import why_closed
from pipelines.errors import RequestError
from pipelines.models.catalogue import find_card
from pipelines.provenance import made_with
from pipelines.request import MADE_WITH, GenerationRequest
from pipelines.shots import plan_shot
from threed.run_folder import RunFolder

DECIDED_BY_STAGE = {
    "distil": "field",
    "redraw": "mesh",
    "max_faces": "mesh",
    "texture_size": "mesh",
    "max_mb": "mesh",
}
"""Settings that may still change until the stage is done that they are for."""


def check_folder(request: GenerationRequest, folder: RunFolder) -> None:
    """Raise RequestError where the folder holds another request's run.

    A run that stopped at the video may be taken on to the mesh, with other settings of the mesh
    too, or be looked at as a video.
    """
    if not folder.done("request"):
        return
    there = GenerationRequest.from_json(folder.file("request.json").read_text("utf-8"))
    if there == request:
        return
    before, asked = asdict(there), asdict(request)
    before["video_only"] = request.video_only
    # A video alone may show a camera or a thing that moves, and a mesh has neither.
    before["camera"], asked["camera"] = _camera(there), _camera(request)
    if folder.done("orbit") and why_closed(folder.path) is None:
        before["camera"] = "orbit"
    free = {name for name, stage in DECIDED_BY_STAGE.items() if not folder.done(stage)}
    # Of a run that ended with its video only what concerns the video is decided.
    free = free if folder.done("orbit") else set()
    differences = [
        f"{name} is {before[name]!r} there and {asked[name]!r} here"
        for name in asked
        if before[name] != asked[name] and name not in free
    ]
    if differences:
        raise RequestError(
            f"{folder.path} holds the run of another request ({'; '.join(differences)}); "
            "choose another folder"
        )


def _camera(request: GenerationRequest) -> str:
    """Return what the camera does, and the thing where it moves."""
    try:
        moves = find_card(request.model).moves
    except RequestError:
        # A model that is handed in by name only, as tests and other programs may.
        moves = False
    shot = plan_shot(request, moves)
    return shot.camera if shot.motion is None else f"{shot.camera} ({shot.motion.name})"


def holds_another(request: GenerationRequest, folder: RunFolder) -> bool:
    """Return whether the folder holds another request's run."""
    try:
        check_folder(request, folder)
    except RequestError:
        return True
    return False


def write_request(
    request: GenerationRequest, folder: RunFolder, replacing: bool = False
) -> dict[str, Any]:
    """Write request.json, and return what stands in it, for the other files' metadata.

    Args:
        request: Whose run it is.
        folder: Was made for writing; holds nothing, or a run of the same request.
        replacing: Another request's run in the folder is given up.
    """
    provenance = {**asdict(request), MADE_WITH: made_with(request)}
    text = json.dumps(provenance, indent=2, ensure_ascii=False) + "\n"
    if replacing or not folder.done("request"):
        with folder.stage("request") as temporary:
            (temporary / "request.json").write_text(text, "utf-8")
    else:
        # The same run, perhaps taken on from the video to the mesh: what is made so far stands.
        _amend(folder, text)
    return provenance


def _amend(folder: RunFolder, text: str) -> None:
    """Replace request.json in one move; written as a stage it would discard those after it."""
    path = folder.file("request.json")
    if path.read_text("utf-8") == text:
        return
    # Here a killed run's remnants are cleared away.
    draft = folder.file(".stages") / "request.json.tmp"
    try:
        draft.write_text(text, "utf-8")
        os.replace(draft, path)
    except OSError as error:
        raise RequestError(f"{path} cannot be written: {error.strerror}") from error
