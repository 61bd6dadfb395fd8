"""Drawing again the views of a result that disagree: who may, and what it will take."""

from dataclasses import replace

from pipelines.errors import RequestError
from pipelines.jobs.estimate import expected_seconds
from pipelines.jobs.records import Job
from pipelines.request import REDRAWS_RANGE, GenerationRequest
from threed.progress import Stage
from threed.report import Report
from threed.run_folder import RunFolder
from ui.desk import Desk
from ui.tongues import Language, say
from ui.words import button, roughly


def redraw(desk: Desk, job_id: object, session: object) -> str:
    """Hand in a new job that draws a finished job's weak views again; return its id.

    Raises:
        RequestError: The job is not the visitor's, has no mesh, nothing in it disagrees, it was
            drawn again too often, or the queue is full.
    """
    job = desk.job(job_id, session)
    text = desk.report_text(job)
    if text is None or job.is_live:
        raise RequestError("this job has no finished mesh, whose views could be judged")
    if not Report.from_json(text).doubtful():
        raise RequestError("no view of this one disagrees with the rest")
    return desk.submit(again(job.request), job.session, RunFolder(desk.store.folder(job)).path)


def again(request: GenerationRequest) -> GenerationRequest:
    """Return the request that draws its weak views once more."""
    return replace(request, redraws=request.redraws + 1, video_only=False)


def redraw_button(
    job: Job, report: Report, measured: dict[Stage, list[float]], language: Language
) -> str:
    """Return the button that draws a job's weak views again; nothing where it cannot be done."""
    weak = len(report.doubtful())
    most = REDRAWS_RANGE[1]
    if not weak or job.is_live or job.request.clip is not None or job.request.redraws >= most:
        return ""
    time = roughly(expected_seconds(again(job.request), measured), language)
    key = "redraw_one" if weak == 1 else "redraw"
    press = button("redraw", say(language, key, number=weak), job=job.id)
    return f'<p class="redraw">{press} <small>{say(language, "redraw_is", time=time)}</small></p>'
