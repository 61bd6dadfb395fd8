"""Drawing the video of a result again so that its views agree: who may, and what it takes."""

from dataclasses import replace

from pipelines.errors import RequestError
from pipelines.jobs.estimate import expected_seconds
from pipelines.jobs.records import Job
from pipelines.request import REDRAWS_RANGE, GenerationRequest
from threed.progress import Stage
from threed.run_folder import RunFolder
from ui.desk import Desk
from ui.tongues import Language, say
from ui.words import button, roughly


def redraw(desk: Desk, job_id: object, session: object) -> str:
    """Hand in a new job that draws a finished job's video again; return its id.

    Raises:
        RequestError: The job is not the visitor's, has no mesh, was filmed, was drawn again too
            often, or the queue is full.
    """
    job = desk.job(job_id, session)
    if desk.report_text(job) is None or job.is_live:
        raise RequestError("this job has no finished mesh by which it could be drawn again")
    return desk.submit(again(job.request), job.session, RunFolder(desk.store.folder(job)).path)


def again(request: GenerationRequest) -> GenerationRequest:
    """Return the request that draws its video once more."""
    return replace(request, redraws=request.redraws + 1, video_only=False)


def redraw_button(job: Job, measured: dict[Stage, list[float]], language: Language) -> str:
    """Return the button that draws a job's video again; nothing where it cannot be done."""
    most = REDRAWS_RANGE[1]
    if job.is_live or job.request.clip is not None or job.request.redraws >= most:
        return ""
    time = roughly(expected_seconds(again(job.request), measured), language)
    press = button("redraw", say(language, "redraw"), job=job.id)
    return f'<p class="redraw">{press} <small>{say(language, "redraw_is", time=time)}</small></p>'
