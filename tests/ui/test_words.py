import base64
import math
import string
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import RequestError
from pipelines.jobs.estimate import TYPICAL_SECONDS
from pipelines.jobs.previews import encode_preview
from pipelines.jobs.records import Job, KnownThings, Standing
from pipelines.models.catalogue import MODELS
from pipelines.request import FRAMES_RANGE, GenerationRequest
from threed import orbit
from threed.report import Report
from ui.compose import (
    EXAMPLES,
    MAX_REQUESTS,
    form_values,
    frames_words,
    picture_request,
    read_requests,
)
from ui.cost import cost_html, mesh_size
from ui.downloads import downloads_html
from ui.gallery import gallery_html
from ui.light import KEY_LIGHT, surroundings, surroundings_address
from ui.live import latest_stage, preview_html
from ui.progress import known_html, status_html
from ui.report import report_html
from ui.steps import film_html, mesh_html, variations_html
from ui.tongues import TEXTS, language_of, say
from ui.words import FIELD_LABELS, duration, listing, measured, notice, roughly, sentence

NASTY = Path('/cache/"><script>/a.glb')
HOSTILE = '<img src=x onerror="alert(1)">'
DEFAULTS = ("a chair", 0, "1", True, "embedded", 24, 0, 0, 15, "auto", 1024, 20_000, 0, True, True)


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
        "title": "a chair",
    }
    return Job(**(values | changes))  # type: ignore[arg-type]


def test_the_untouched_form_is_the_default_request() -> None:
    assert read_requests(*DEFAULTS) == [GenerationRequest(prompt="a chair")]
    emptied = ("a chair", None, None, True, "embedded", *[None] * 8, True, True)
    assert read_requests(*emptied) == [GenerationRequest(prompt="a chair")]


def test_every_example_is_a_request() -> None:
    for example in EXAMPLES:
        assert read_requests(example, *DEFAULTS[1:])[0].prompt == example


def test_each_line_is_a_thing_and_each_variation_a_seed_of_its_own() -> None:
    asked = read_requests("a chair\n\n  a pie ", 2**32 - 2, "4", False, *DEFAULTS[4:])
    seeds = [2**32 - 2, 2**32 - 1, 0, 1]
    assert [(request.prompt, request.seed) for request in asked] == [
        (prompt, seed) for prompt in ("a chair", "a pie") for seed in seeds
    ]
    assert all(request.video_only for request in asked)
    with pytest.raises(RequestError, match="12 videos, 4 of each of 3 lines"):
        read_requests("a\nb\nc", 0, "4", *DEFAULTS[3:])
    assert MAX_REQUESTS == 8


def test_a_requests_settings_fill_the_form_that_makes_it_again() -> None:
    request = GenerationRequest(
        prompt="a pie",
        seed=9,
        num_frames=12,
        num_steps=4,
        guidance_scale=2.5,
        elevation_deg=20.0,
        camera="zoom-in",
        texture_size=512,
        max_faces=5000,
        max_mb=1.5,
        video_only=True,
        distil=False,
    )
    for wish in (request, replace(request, redraw=False), GenerationRequest(prompt="a chair")):
        assert read_requests(*form_values(wish)) == [wish]


def test_a_picture_is_asked_for_with_the_forms_settings_its_own_seed_and_a_model_that_takes_one(
    tmp_path: Path,
) -> None:
    path, sha256 = tmp_path / "my_old mug.png", "0" * 64
    asked = picture_request(path, sha256, "", 9, ("sana-wm",), DEFAULTS)
    assert asked == GenerationRequest(
        prompt="my old mug", picture=sha256, seed=9, model="sana-wm", video_only=True
    )
    settings = (*DEFAULTS[:4], "embedded", 12, 5, 2.5, 30, *DEFAULTS[9:])
    asked = picture_request(path, sha256, " a red\n mug ", 9, ("sana-wm", "embedded"), settings)
    assert (asked.prompt, asked.model, asked.num_frames) == ("a red mug", "embedded", 12)
    assert (asked.num_steps, asked.guidance_scale, asked.elevation_deg) == (5, 2.5, 30.0)
    nameless = picture_request(tmp_path / "\u200b.png", sha256, None, 0, ("embedded",), DEFAULTS)
    assert nameless.prompt == "my picture"


def test_the_form_names_the_models_own_longest_clip() -> None:
    card = MODELS[0]
    assert frames_words([card]) == f"{FRAMES_RANGE[0]} – {card.max_frames}"
    assert frames_words([]) == "{} – {}".format(*FRAMES_RANGE)


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
        title=HOSTILE,
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
        status_html(hostile, {}, now=1000.0),
        status_html(job(state="failed", message=HOSTILE), {}),
        known_html(hostile),
        known_html(job(known=KnownThings(familiar=True, names=(HOSTILE,), drawn_as=HOSTILE))),
        report_html(report, Path("/nowhere")),
        film_html(hostile, NASTY, None, "en"),
        mesh_html(hostile, video=NASTY, mesh=NASTY, preview=None, cost="", language="en"),
        mesh_html(hostile, video=NASTY, mesh=None, preview=None, cost=HOSTILE, language="en"),
        variations_html([(hostile, NASTY, None), (job(), None, None)], "id", "en"),
        gallery_html([(hostile, Path("/nowhere"))], False, None, "en", ""),
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


def test_it_is_said_what_a_prompt_in_other_words_is_drawn_as() -> None:
    known = KnownThings(familiar=True, names=("barrel", "keg"), drawn_as="a barrel")
    assert "“a barrel”" in known_html(job(known=known))
    assert "“a barrel”" in known_html(job(known=known), "zh")
    as_typed = job(known=replace(known, drawn_as=None))
    assert "draws what" not in known_html(as_typed)
    # A mesh of something else than was typed goes on saying so; what lay near is of no use then.
    assert "“a barrel”" in known_html(job(known=known), built=True)
    assert "keg" not in known_html(job(known=known), built=True)
    assert known_html(as_typed, built=True) == ""


def test_a_waiting_job_says_how_many_are_before_it() -> None:
    waiting = {"state": "queued", "stage": None, "stage_started": None, "step": 0}
    assert "3 jobs run before this one" in status_html(job(num_ahead=3, **waiting), {})
    assert "one job runs before this one" in status_html(job(num_ahead=1, **waiting), {})


def test_a_running_job_says_stage_and_time_left() -> None:
    shown = status_html(job(), {"field": [40.0]}, now=1020.0)
    assert '<li class="now" aria-current="step">3D field</li>' in shown
    assert "3D field: step 5 of 10" in shown
    assert " left" in shown
    assert " left" not in status_html(job(cancelling=True), {}, now=1020.0)


def test_the_picture_shown_is_the_latest_stage_that_has_one() -> None:
    assert latest_stage({"video": 3}) is None
    assert latest_stage({"distillation": 1, "video": 3, "field": 9}) == "distillation"
    assert preview_html(None, "") == ""


def test_a_sheet_of_a_whole_turn_is_shown_turning_and_a_single_picture_still() -> None:
    for num_frames, look in ((12, 'class="turning"'), (1, 'class="still"')):
        frames = np.full((num_frames, 16, 16, 3), 200, dtype=np.uint8)
        assert look in preview_html(encode_preview(frames), "a chair")


def test_both_languages_say_everything_with_the_same_places_to_fill_in() -> None:
    for key, (english, chinese) in TEXTS.items():
        places = [
            {name for _, name, _, _ in string.Formatter().parse(text) if name}
            for text in (english, chinese)
        ]
        assert places[0] == places[1] or not places[1] - places[0], key
        assert english and chinese
        assert not any("\u4e00" <= letter <= "\u9fff" for letter in english), key


def test_the_browsers_language_decides_and_english_is_the_rest() -> None:
    assert [language_of(tag) for tag in ("zh-CN", "ZH", "en", "de-DE", "", None, 7)] == (
        ["zh", "zh", *["en"] * 5]
    )
    assert sentence("num_steps is 900; it must be a whole number from 1 to 200", "zh") == (
        "“步数”为 900；应在 1 到 200 之间。"
    )
    assert sentence("the disk is full", "zh") == "The disk is full."


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s")],
)
def test_what_was_measured_is_said_as_it_was(seconds: float, words: str) -> None:
    assert measured(seconds) == words


def test_the_cost_grows_with_what_is_asked_and_names_the_wait() -> None:
    free = Standing(num_waiting=0, num_running=0, num_workers=1, wait_seconds=0.0)
    busy = Standing(num_waiting=3, num_running=1, num_workers=1, wait_seconds=300.0)
    one = [GenerationRequest(prompt="a", video_only=True)]
    measured = {"video": [20.0]}
    assert "1 video in about 20 seconds · starts at once" in cost_html(one, measured, free, "en")
    assert "4 videos in about a minute" in cost_html(one * 4, measured, free, "en")
    assert "starts in about 5 minutes" in cost_html(one, measured, busy, "en")
    double = [GenerationRequest(prompt="a", video_only=True, num_frames=48)]
    assert "about 35 seconds" in cost_html(double, measured, free, "en")
    whole = [GenerationRequest(prompt="a")]
    scaled = 20.0 / TYPICAL_SECONDS["video"] * sum(TYPICAL_SECONDS.values())
    assert f"with mesh in {roughly(scaled)}" in cost_html(whole, measured, free, "en")
    assert roughly(3) == "a few seconds"


def test_the_cost_names_the_files_size_and_what_a_limit_gives_up() -> None:
    def words(max_mb: float | None, **settings: int) -> str:
        return mesh_size(GenerationRequest(prompt="a", max_mb=max_mb, **settings), "en")

    assert words(None) == "mesh file about 1.1 MB"
    assert words(None, max_faces=200_000, texture_size=4096).startswith("mesh file about 1")
    assert words(2.0) == "mesh file at most 2.0 MB"
    assert "compressed or smaller texture" in words(1.0)
    assert "at most 0.4 MB, with about 12,300 triangles" in words(0.4)


def test_what_is_somebody_elses_has_no_presses_that_change_it() -> None:
    strangers = status_html(job(state="failed"), {}, mine=False)
    assert "data-act" not in strangers
    shared = mesh_html(
        job(state="done"),
        video=Path("/a"),
        mesh=None,
        preview=None,
        cost="",
        language="en",
        mine=False,
    )
    assert "data-act" not in shared


def test_downloads_name_each_format_and_its_size(tmp_path: Path) -> None:
    (tmp_path / "a.glb").write_bytes(bytes(1_234_567))
    shown = downloads_html({"glb": tmp_path / "a.glb"}, True, "en")
    assert say("en", "format_glb") in shown
    assert "1.2 MB" in shown
    assert say("en", "preparing") in shown
    assert downloads_html({}, True, "en") == ""


def test_the_viewers_light_comes_from_where_the_videos_does() -> None:
    """The brightest of the surroundings lies where the video's key light stands."""
    assert KEY_LIGHT == orbit.KEY_LIGHT
    light = surroundings()
    row, column = np.unravel_index(light.argmax(), light.shape)
    elevation = math.pi * (0.5 - (row + 0.5) / light.shape[0])
    azimuth = 2 * math.pi * ((column + 0.5) / light.shape[1] - 0.5)
    x, z = (math.cos(elevation) * part for part in (math.cos(azimuth), math.sin(azimuth)))
    towards = np.array([x, math.sin(elevation), z]) @ orbit.KEY_LIGHT
    assert towards / np.linalg.norm(orbit.KEY_LIGHT) > math.cos(math.radians(6))
    # The ground is darker than the sky, and nothing is black.
    assert 0 < light[-1].max() < light[0].min()


def test_the_viewers_light_is_a_radiance_picture_of_itself() -> None:
    address = surroundings_address()
    head, _, pixels = base64.b64decode(address.split(",")[1].removesuffix("#.hdr")).partition(
        b"-Y 32 +X 64\n"
    )
    assert head.startswith(b"#?RADIANCE")
    rgbe = np.frombuffer(pixels, np.uint8).reshape(32, 64, 4).astype(float)
    found = rgbe[..., 0] / 256 * 2.0 ** (rgbe[..., 3] - 128)
    np.testing.assert_allclose(found, surroundings(), rtol=1 / 128)
