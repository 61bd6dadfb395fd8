"""What a press within the page's own HTML does; `assets/script/studio.js` sends it here.

Whatever arrives may have been made up, so a job is named together with its visitor's key and the
desk refuses what is not theirs.
"""

from collections.abc import Sequence
from typing import Any

from pipelines.request import GenerationRequest
from ui.desk import Desk
from ui.gallery import PAGE_SIZE
from ui.mesh_settings import mesh_changes
from ui.panel import Visit
from ui.tongues import language_of

CANCEL_WAIT_SECONDS = 1.9


def act(
    desk: Desk, visit: Visit, pressed: dict[str, Any], form_values: Sequence[Any]
) -> GenerationRequest | None:
    """Do what was pressed; return the request whose settings the form is to show, if any.

    Args:
        desk: Where it is done.
        visit: The tab, which is changed in place.
        pressed: `act`, and `job` or `text` where the act has them.
        form_values: The form's values, whose 3D settings a build takes.

    Raises:
        RequestError: It cannot be done.
    """
    name, job_id, key = pressed.get("act"), pressed.get("job"), visit.key
    text = pressed.get("text")
    if name == "language":
        visit.language = language_of(text)
    elif name == "more":
        visit.num_listed += PAGE_SIZE
    elif name == "search":
        visit.search, visit.num_listed = str(text or "")[:200], PAGE_SIZE
    elif name == "viewer":
        # A viewer that failed says so, perhaps twice; a press changes to the other one.
        visit.another_viewer = text == "other" or not visit.another_viewer
    elif name == "choose":
        visit.chosen, visit.shared = desk.job(job_id, key).id, None
        visit.another_viewer = False
    elif name == "again":
        return desk.job(job_id, key).request
    else:
        _change(desk, visit, name, job_id, text, form_values)
    return None


def _change(
    desk: Desk, visit: Visit, name: object, job_id: object, text: object, values: Sequence[Any]
) -> None:
    """Change one of the visitor's jobs; an unknown name changes nothing."""
    key = visit.key
    if name == "build":
        desk.build(job_id, key, **mesh_changes(values))
    elif name == "resume":
        desk.resume(job_id, key)
    elif name == "stop":
        desk.stop(job_id, key)
    elif name == "cancel":
        desk.cancel(job_id, key)
        # Meanwhile the timer's ticks say that it is being cancelled.
        desk.wait_until_over(job_id, key, CANCEL_WAIT_SECONDS)
    elif name == "rename":
        desk.rename(job_id, key, str(text or ""))
    elif name == "delete":
        desk.delete(job_id, key)
    elif name == "share":
        desk.share(job_id, key)
    elif name == "unshare":
        desk.unshare(job_id, key)
