import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipelines.jobs.estimate import (
    TYPICAL_SECONDS,
    expected_seconds,
    fraction_done,
    planned_stages,
    relative_work,
    seconds_left,
)
from pipelines.jobs.previews import MAX_TILE, contact_sheet, encode_preview
from pipelines.jobs.records import Job
from pipelines.request import GenerationRequest
from threed.progress import STAGES, Stage

MEASURED: dict[Stage, list[float]] = {
    "video": [10.0, 12.0, 300.0],
    "field": [40.0],
    "distillation": [20.0],
    "redraw": [8.0],
    "mesh": [4.0],
    "texture": [6.0],
    "report": [2.0],
}


def job(
    stage: Stage | None,
    step: int = 0,
    num_steps: int = 10,
    *,
    distil: bool = True,
    video_only: bool = False,
    redraw: bool | None = None,
) -> Job:
    return Job(
        id="id",
        session="session",
        request=GenerationRequest(
            prompt="a chair", distil=distil, video_only=video_only, redraw=redraw
        ),
        state="running",
        num_ahead=0,
        started=1000.0,
        finished=None,
        stage=stage,
        stage_started=None if stage is None else 1000.0,
        step=step,
        num_steps=num_steps,
        message="",
        cancelling=False,
        known=None,
        previews={},
    )


def test_before_the_first_stage_all_usual_durations_are_left() -> None:
    assert seconds_left(job(None), {}, 1000.0) == sum(TYPICAL_SECONDS.values())
    # The median, so that one run on a busy machine does not count for ever.
    assert seconds_left(job(None), MEASURED, 1000.0) == 12 + 40 + 20 + 8 + 4 + 6 + 2


def test_a_stage_that_keeps_its_usual_pace_leaves_exactly_the_rest() -> None:
    for step in range(11):
        left = seconds_left(job("field", step), MEASURED, 1000.0 + 4.0 * step)
        assert left == pytest.approx((40 - 4 * step) + 20 + 8 + 4 + 6 + 2)


def test_a_slow_stage_is_believed_the_more_the_further_it_is_and_slows_what_comes_after() -> None:
    # Twice as slow as usual: the truth lies at 80 seconds for the field and 80 for the rest.
    errors = [
        abs(seconds_left(job("field", step), MEASURED, 1000.0 + 8.0 * step) - (80 - 8 * step) - 80)
        for step in range(2, 11)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1 * 80


def test_on_an_unknown_machine_the_first_stages_say_how_long_the_rest_takes() -> None:
    # Three times as slow as believed in all, which the video alone shows.
    spent: dict[Stage, float] = {"video": 3 * TYPICAL_SECONDS["video"]}
    truth = 3 * sum(TYPICAL_SECONDS[stage] for stage in STAGES if stage != "video")
    begun = replace(job("field", 0), spent=spent)
    assert seconds_left(begun, {}, 1000.0) == pytest.approx(truth, rel=0.33)
    half = replace(job("field", 5), spent=spent)
    gone = 1.5 * TYPICAL_SECONDS["field"]
    assert seconds_left(half, {}, 1000.0 + gone) == pytest.approx(truth - gone, rel=0.1)


def test_a_stage_that_should_be_over_is_not_said_to_end_at_once() -> None:
    usual = 20.0 + 8.0 + 4.0 + 6.0 + 2.0
    assert seconds_left(job("field", 0), MEASURED, 1000.0 + 400.0) > usual + 60.0


def test_what_costs_more_is_said_to_take_longer_and_the_usual_costs_one() -> None:
    usual = GenerationRequest(prompt="a chair")
    assert set(relative_work(usual).values()) == {1.0}
    changes = ({"num_frames": 48}, {"num_steps": 30}, {"texture_size": 2048}, {"max_faces": 90_000})
    for change in changes:
        request = replace(usual, **change)
        assert expected_seconds(request, {}) > expected_seconds(usual, {})
        assert expected_seconds(request, MEASURED) > expected_seconds(usual, MEASURED)


def test_stages_that_were_not_asked_for_take_no_time() -> None:
    assert planned_stages(job(None, video_only=True)) == ("video",)
    assert planned_stages(job(None, distil=False)) == tuple(
        s for s in STAGES if s != "distillation"
    )
    assert planned_stages(job(None, redraw=False)) == tuple(s for s in STAGES if s != "redraw")
    assert seconds_left(job("video", 10, video_only=True), MEASURED, 1012.0) == 0.0


def test_the_bar_never_runs_backwards_and_ends_full() -> None:
    fractions = [fraction_done(job(None), MEASURED)]
    fractions += [
        fraction_done(job(stage, step), MEASURED) for stage in STAGES for step in range(11)
    ]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.0
    assert fractions[-1] == pytest.approx(1.0)


def test_a_contact_sheet_shows_every_third_of_24_frames_in_reading_order() -> None:
    frames = np.arange(24, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2)
    sheet = contact_sheet(frames.repeat(3, 3))
    assert sheet.shape == (8, 16, 3)
    assert sheet[::4, ::4, 0].tolist() == [[0, 3, 6, 9], [12, 15, 18, 21]]


@pytest.mark.parametrize(("num_frames", "side"), [(1, 64), (3, 300), (24, 64), (24, 512), (8, 16)])
def test_a_preview_is_a_small_picture_of_the_same_colours(num_frames: int, side: int) -> None:
    frames = np.full((num_frames, side, side, 3), (200, 80, 40), dtype=np.uint8)
    data = encode_preview(frames)
    image = np.asarray(Image.open(io.BytesIO(data)))
    tile = min(side, MAX_TILE) if num_frames >= 8 else side
    assert image.shape == ((2 * tile, 4 * tile, 3) if num_frames >= 8 else (tile, tile, 3))
    assert np.abs(image.astype(int) - (200, 80, 40)).max() <= 4
    assert len(data) < 60_000


def test_what_a_filmed_clip_taught_holds_for_a_drawn_one_and_the_other_way_round() -> None:
    drawn = GenerationRequest(prompt="a")
    filmed = GenerationRequest(prompt="a", clip="0" * 64)
    work = relative_work(filmed)
    # A run's seconds are kept as those of the usual settings.
    kept: dict[Stage, list[float]] = {"video": [9.0 / work["video"]], "field": [27 / work["field"]]}
    assert expected_seconds(filmed, kept, ("video", "field")) == pytest.approx(36.0)
    usual = 9.0 / work["video"] + 27 / work["field"]
    assert expected_seconds(drawn, kept, ("video", "field")) == pytest.approx(usual)
    assert usual < 24.0
