"""What programs tell the endpoints and what they are told, as JSON values."""

import json
import time
from typing import Any

from pipelines.errors import InstallationError, RequestError
from pipelines.jobs.estimate import fraction_done, seconds_left
from pipelines.jobs.records import Job
from pipelines.models.catalogue import ModelCard
from pipelines.request import GenerationRequest
from threed.run_folder import RunFolder
from ui.desk import DOWNLOADS, Desk

DEFAULT = GenerationRequest(prompt="-")
MEASURE = "measure"


def session_of(desk: Desk, key: object) -> str:
    """Return a caller's session: that of the key, or a new one where none is given."""
    if not key:
        return desk.session(None)
    session = desk.session(key)
    if session != key:
        raise RequestError("this key was not given out here; leave it empty to get one")
    return session


def standing_of(desk: Desk, job_id: object, key: object) -> dict[str, Any]:
    """Return how a caller's job stands, with the id and the key that reach it."""
    job = desk.job(job_id, key)
    return {"job": job.id, "key": job.session, **standing(desk, job)}


def standing(desk: Desk, job: Job) -> dict[str, Any]:
    """Return how a job stands, as JSON values."""
    measured = desk.store.stage_seconds()
    queue = desk.standing(job)
    folder = RunFolder(desk.store.folder(job))
    report = desk.report_text(job)
    return {
        "title": job.title,
        "state": job.state,
        "message": job.message,
        "stage": job.stage,
        "step": job.step,
        "num_steps": job.num_steps,
        "fraction_done": round(fraction_done(job, measured), 3),
        "jobs_ahead": job.num_ahead,
        "seconds_until_start": round(queue.wait_seconds, 1),
        "seconds_left": (
            round(seconds_left(job, measured, time.time()), 1) if job.state == "running" else None
        ),
        "ready": [name for name, stage in DOWNLOADS.items() if folder.done(stage)],
        "report": json.loads(report) if report else None,
    }


def extent(card: ModelCard) -> dict[str, Any]:
    """Return the lengths and sizes that a model makes; nothing where its files do not say."""
    try:
        limits = {"max_frames": card.max_frames, "sizes": list(card.sizes)}
        return {**limits, "picture": card.image, "moves": card.moves}
    except InstallationError:
        return {}


def degrees(words: str | None) -> float | None:
    """Return the number that words stand for, None where it is to be measured."""
    if words is None or words.strip() in ("", MEASURE):
        return None
    try:
        return float(words)
    except ValueError as error:
        raise RequestError(
            f"elevation_deg is {words!r}; it must be a number of degrees or {MEASURE!r}"
        ) from error


def real(value: Any) -> Any:
    """Return JSON's number as the float that is meant: it knows one kind, so 15.0 comes as 15."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    try:
        return float(value)
    except OverflowError:
        # Beyond every range, which its field says.
        return value


def whole(value: float | None, default: int) -> Any:
    """Return a number from a form as the whole number that it is; others are refused later."""
    if value is None:
        return default
    return int(value) if isinstance(value, float) and value.is_integer() else value
