from pathlib import Path

import pytest

from pipelines.jobs.records import Job, KnownThings
from pipelines.models.catalogue import MODELS
from pipelines.request import FRAMES_RANGE, GenerationRequest
from threed.report import Report
from ui.compose import EXAMPLES, frames_words, read_request
from ui.gallery import latest_stage, preview_html
from ui.progress import known_html, status_html
from ui.report import report_html
from ui.viewer import mesh_html
from ui.words import FIELD_LABELS, duration, listing, notice, sentence

HOSTILE = '<img src=x onerror="alert(1)">'
DEFAULTS = ("a chair", 0, "embedded", 24, 0, 0, 15, 1024, 20_000, True, False)


def job(**changes: object) -> Job:
    values: dict[str, object] = {
        "id": "id",
        "session": "session",
        "request": GenerationRequest(prompt="a chair"),
        "state": "running",
        "num_ahead": 0,
        "started": 1000.0,
        "finished": None,
        "stage": "field",
        "stage_started": 1000.0,
        "step": 5,
        "num_steps": 10,
        "message": "fitting",
        "cancelling": False,
        "known": None,
        "previews": {},
    }
    return Job(**(values | changes))  # type: ignore[arg-type]


def test_the_untouched_form_is_the_default_request() -> None:
    assert read_request(*DEFAULTS) == GenerationRequest(prompt="a chair")
    emptied = ("a chair", None, "embedded", None, None, None, None, None, None, True, False)
    assert read_request(*emptied) == GenerationRequest(prompt="a chair")


def test_every_example_is_a_request() -> None:
    for example in EXAMPLES:
        assert read_request(example, *DEFAULTS[1:]).prompt == example


def test_the_form_names_the_models_own_longest_clip() -> None:
    card = MODELS[0]
    assert frames_words([card]) == f"{FRAMES_RANGE[0]} to {card.max_frames}"
    assert frames_words([]) == "{} to {}".format(*FRAMES_RANGE)


def test_a_refusal_calls_the_fields_what_the_page_calls_them() -> None:
    assert sentence("num_steps is 900; it must be a whole number from 1 to 200") == (
        "“Steps” is 900; it must be a whole number from 1 to 200."
    )
    assert FIELD_LABELS.keys() >= {"prompt", "seed", "num_frames", "size", "max_faces"}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "a few seconds"),
        (12, "10 seconds"),
        (54, "55 seconds"),
        (60, "a minute"),
        (90, "a minute and a half"),
        (110, "2 minutes"),
        (3600, "60 minutes"),
    ],
)
def test_durations_are_said_as_one_says_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_listing_reads_as_a_sentence() -> None:
    assert [listing(["a", "b", "c"][:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]


def test_nothing_that_a_visitor_or_a_model_says_becomes_markup() -> None:
    hostile = job(
        request=GenerationRequest(prompt=HOSTILE),
        message=HOSTILE,
        known=KnownThings(familiar=False, names=(HOSTILE,)),
    )
    report = Report(
        psnr=[20.0],
        mean_psnr=20.0,
        worst_view=0,
        mesh_psnr=20.0,
        watertight=True,
        num_faces=1,
        num_vertices=1,
        texture_size=1,
        glb_bytes=1,
        light_baked=False,
        seconds={},
        verdict=HOSTILE,
    )
    for shown in (
        status_html(hostile, {}, 1000.0),
        status_html(job(state="failed", message=HOSTILE), {}, 1000.0),
        known_html(hostile),
        known_html(job(known=KnownThings(familiar=True, names=(HOSTILE,)))),
        report_html(report.to_json(), 61.4),
        mesh_html(Path('/cache/"><script>/a.glb'), HOSTILE),
        notice(HOSTILE),
    ):
        assert shown
        assert "<img src=x" not in shown
        assert "<script" not in shown
        assert 'onerror="alert' not in shown


def test_a_far_prompt_gets_a_warning_and_a_near_one_none() -> None:
    near = known_html(job(known=KnownThings(familiar=True, names=("chair", "stool"))))
    far = known_html(job(known=KnownThings(familiar=False, names=("chair", "stool"))))
    assert "“chair” and “stool”" in near
    assert "“chair” and “stool”" in far
    assert "warning" in far
    assert "warning" not in near


def test_a_waiting_job_says_how_many_are_before_it() -> None:
    waiting = {"state": "queued", "stage": None, "stage_started": None, "step": 0}
    assert "3 jobs run before this one" in status_html(job(num_ahead=3, **waiting), {}, 1000.0)
    assert "One job runs before this one" in status_html(job(num_ahead=1, **waiting), {}, 1000.0)


def test_a_running_job_says_stage_and_time_left() -> None:
    shown = status_html(job(), {"field": [40.0]}, 1020.0)
    assert '<li class="now" aria-current="step">3D field</li>' in shown
    assert "Fitting" in shown
    assert "left" in shown
    assert "left" not in status_html(job(cancelling=True), {}, 1020.0)


def test_the_picture_shown_is_the_latest_stage_that_has_one() -> None:
    assert latest_stage({"video": 3}) is None
    assert latest_stage({"distillation": 1, "video": 3, "field": 9}) == "distillation"
    assert preview_html("field", None) == ""
    assert "data:image/jpeg;base64,/9g=" in preview_html("field", b"\xff\xd8")
