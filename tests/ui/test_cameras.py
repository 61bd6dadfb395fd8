"""The choice of a camera on the page and for programs, and the closed way on to a mesh."""

import json
import time
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

from pipelines.errors import RequestError
from pipelines.jobs.records import KnownThings, Standing
from pipelines.jobs.worker import run_job
from pipelines.models.catalogue import MODELS
from pipelines.models.embedded_card import EmbeddedCard
from pipelines.provenance import as_comment
from pipelines.request import CAMERAS, MADE_WITH, ORBITS, GenerationRequest
from tests.pipelines.clockwork import Clockwork
from tests.ui.test_words import job
from threed.video_io import write_mp4
from ui.answers import extent
from ui.compose import build_form, form_values, picture_request, read_requests
from ui.cost import cost_html
from ui.desk import Desk
from ui.endpoints import Endpoints
from ui.mesh_settings import NUM_FIELDS
from ui.page import NUM_FORM_FIELDS, Clerk
from ui.panel import Visit, panel_values
from ui.progress import known_html
from ui.tongues import say
from ui.words import sentence

SPINNING = GenerationRequest(prompt="a spinning coin", video_only=True)
FIELD = len(form_values(SPINNING)) - 1 - NUM_FIELDS
"""Where the camera stands among the form's values: before those of the mesh."""


def film(desk: Desk, session: str, found: dict[str, object] | None, **changes: object) -> str:
    """Run a job to the end of its video, which is no orbit where something was found of it."""
    request = replace(GenerationRequest(prompt="count 1", video_only=True), **changes)
    job_id = desk.store.submit(request, session)
    claimed = desk.store.claim()
    assert claimed is not None
    run_job(desk.store, claimed, Clockwork())
    folder = desk.store.folder(desk.store.status(job_id))
    told = {"prompt": "count 1", MADE_WITH: {"video": found}}
    frames = np.full((3, 16, 16, 3), 99, np.uint8)
    write_mp4(folder / "orbit.mp4", frames, fps=12, comment=as_comment(told))
    np.savez(folder / "orbit.npz", kind=np.array("orbit" if found is None else "clip"))
    return job_id


@pytest.mark.parametrize("follows", [False, True])
def test_there_is_a_choice_of_cameras_only_where_a_model_follows_them(
    monkeypatch: pytest.MonkeyPatch, follows: bool
) -> None:
    monkeypatch.setattr(EmbeddedCard, "moves", follows)
    with gr.Blocks():
        form = build_form()
    assert len(form.inputs) == NUM_FORM_FIELDS == len(form_values(SPINNING))
    field = form.inputs[FIELD]
    assert isinstance(field, gr.Dropdown if follows else gr.State)
    assert field.value == "auto"
    if isinstance(field, gr.Dropdown):
        assert [name for _, name in field.choices] == [*CAMERAS]


def test_every_camera_has_its_words() -> None:
    for name in CAMERAS:
        assert say("en", f"camera_{name}") != say("zh", f"camera_{name}")


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_form_gives_back_the_request_with_its_camera(camera: str) -> None:
    wish = replace(SPINNING, camera=camera)
    values = form_values(wish)
    assert values[FIELD] == camera
    assert read_requests(*values) == [wish]
    # Straight on to the mesh, and beside a picture, only an orbit goes.
    values[3] = True
    given = ("embedded",)
    for ask in (
        lambda: read_requests(*values),
        lambda: [picture_request(Path("a.png"), "0" * 64, "", 0, given, values)],
    ):
        if camera in ORBITS:
            assert ask()[0].camera == camera
            continue
        with pytest.raises(RequestError, match=f"camera is '{camera}'; "):
            ask()


def test_settings_come_back_with_their_camera_where_the_form_has_the_choice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    clerk, visit = Clerk(desk), Visit(key=desk.session(None))
    monkeypatch.setattr(EmbeddedCard, "moves", True)
    job_id = film(desk, visit.key, None, camera="zoom-in")
    for follows, camera in ((True, "zoom-in"), (False, "auto")):
        monkeypatch.setattr(EmbeddedCard, "moves", follows)
        _, _, *values = clerk.act(visit, [], {"act": "again", "job": job_id})
        assert read_requests(*values[:NUM_FORM_FIELDS])[0].camera == camera


def test_what_no_model_here_can_follow_never_enters_the_queue(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, endpoints = desk.session(None), Endpoints(desk)
    monkeypatch.setattr(EmbeddedCard, "moves", False)
    with pytest.raises(RequestError, match="follows the orbit's alone"):
        endpoints.submit("a coin", camera="arc", video_only=True, key=session)
    monkeypatch.setattr(EmbeddedCard, "moves", True)
    with pytest.raises(RequestError, match="a mesh needs the 'orbit'"):
        endpoints.submit("a coin", camera="arc", key=session)
    assert desk.jobs(session) == []
    handed = endpoints.submit("a coin", camera="arc", video_only=True, key=session)
    assert desk.job(handed["job"], session).request.camera == "arc"
    assert endpoints.models()[0]["moves"] is True
    json.dumps(endpoints.models())


def test_programs_are_told_which_models_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    for follows in (False, True):
        monkeypatch.setattr(EmbeddedCard, "moves", follows)
        assert [extent(card).get("moves") for card in MODELS] == [
            follows,
            *[False] * (len(MODELS) - 1),
        ]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            {"camera": "still", "motion": "spin", "found": "it moves"},
            [say(tongue, "closed_motion") for tongue in ("en", "zh")],
        ),
        (
            {"camera": "zoom-in", "motion": None, "found": "it zooms"},
            ["(Zoom in) does not go around", "（变焦放大）"],
        ),
        ({"found": "its <b>frames disagree"}, ["its &lt;b&gt;frames disagree. Another seed"] * 2),
        ({"camera": "<img>", "motion": None, "found": "x"}, ["of this video: x."] * 2),
    ],
)
def test_a_video_that_is_no_orbit_says_so_in_the_place_of_its_mesh(
    desk: Desk, found: dict[str, object], words: list[str]
) -> None:
    session = desk.session(None)
    job_id = film(desk, session, found)
    english, chinese = (
        str(panel_values(desk, Visit(key=session, language=tongue))[3]) for tongue in ("en", "zh")
    )
    assert words[0] in english
    if len({*words}) == 2:
        assert words[1] in chinese
    assert 'data-act="build"' not in english + chinese
    with pytest.raises(RequestError, match=str(found["found"])):
        desk.build(job_id, session)
    assert desk.job(job_id, session).state == "done"


@pytest.mark.parametrize("is_clip", [True, False])
def test_only_an_orbit_is_offered_as_a_turntable_and_a_data_set(desk: Desk, is_clip: bool) -> None:
    session, endpoints = desk.session(None), Endpoints(desk)
    moves: dict[str, object] = {"camera": "still", "motion": "spin", "found": "it moves"}
    job_id = film(desk, session, moves if is_clip else None)
    names = ["mp4", "gif", "webp"] if is_clip else ["mp4"]
    for name in names:
        while endpoints.export(job_id, session, name)[0]["state"] == "pending":
            time.sleep(0.02)
    words = str(panel_values(desk, Visit(key=session))[6])
    assert ("GIF · the video" in words) is is_clip
    assert ("no data set of this one" in words) is is_clip
    assert "GIF turntable" not in words and "dataset" not in words
    if is_clip:
        with pytest.raises(RequestError, match=r"no 'dataset' of this job: .* no orbit, and only"):
            endpoints.export(job_id, session, "dataset")
        with pytest.raises(RequestError, match=r"no 'glb' of this job: .* no mesh is made of it"):
            endpoints.export(job_id, session, "glb")


def test_an_orbit_goes_on_to_its_mesh(desk: Desk) -> None:
    session = desk.session(None)
    job_id = film(desk, session, None)
    assert 'data-act="build"' in str(panel_values(desk, Visit(key=session))[3])
    with pytest.raises(RequestError, match="prompt cannot change once the video is made"):
        desk.build(job_id, session, prompt="a pie")
    desk.build(job_id, session, max_faces=2000)
    assert desk.job(job_id, session).request.max_faces == 2000


def test_why_something_else_is_drawn_is_said_as_it_is() -> None:
    def told(prompt: str, video_only: bool) -> str:
        known = KnownThings(familiar=True, names=("coin",), drawn_as="a coin")
        asked = GenerationRequest(prompt=prompt, video_only=video_only)
        return known_html(job(request=asked, known=known))

    assert "does not know these words" in told("a bit of money", False)
    assert "Nothing moves in a mesh" in told("a spinning coin", False)
    assert "Drawn as “a coin”" in told("a spinning coin", True)
    for shown in (told("a spinning coin", False), told("a spinning coin", True)):
        assert "does not know" not in shown


def test_what_has_no_mesh_is_told_no_size_of_one() -> None:
    free = Standing(num_waiting=0, num_running=0, num_workers=1, wait_seconds=0.0)
    for camera in CAMERAS:
        told = cost_html([replace(SPINNING, camera=camera)], {}, free, "en")
        assert ("mesh file" in told) is (camera in ORBITS)


def test_refusals_speak_the_visitors_language() -> None:
    with pytest.raises(RequestError) as refused:
        GenerationRequest(prompt="a coin", camera="arc")
    assert sentence(str(refused.value)).startswith("“Camera” is 'arc'; a mesh needs the 'orbit'")
    assert "环绕" in sentence(str(refused.value), "zh")
