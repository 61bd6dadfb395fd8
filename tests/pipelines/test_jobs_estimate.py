import io

import numpy as np
import pytest
from PIL import Image

from pipelines.jobs.estimate import TYPICAL_SECONDS, fraction_done, planned_stages, seconds_left
from pipelines.jobs.previews import MAX_TILE, contact_sheet, encode_preview
from pipelines.jobs.records import Job
from pipelines.request import GenerationRequest
from threed.progress import STAGES, Stage

MEASURED: dict[Stage, list[float]] = {
    "video": [10.0, 12.0, 300.0],
    "field": [40.0],
    "distillation": [20.0],
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
) -> Job:
    return Job(
        id="id",
        session="session",
        request=GenerationRequest(prompt="a chair", distil=distil, video_only=video_only),
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
    assert seconds_left(job(None), MEASURED, 1000.0) == 12 + 40 + 20 + 4 + 6 + 2


def test_a_stage_that_keeps_its_usual_pace_leaves_exactly_the_rest() -> None:
    for step in range(11):
        left = seconds_left(job("field", step), MEASURED, 1000.0 + 4.0 * step)
        assert left == pytest.approx((40 - 4 * step) + 20 + 4 + 6 + 2)


def test_a_slow_stage_is_believed_the_more_the_further_it_is() -> None:
    # Twice as slow as usual: the truth lies at 80 seconds for the field.
    errors = [
        abs(seconds_left(job("field", step), MEASURED, 1000.0 + 8.0 * step) - (80 - 8 * step) - 32)
        for step in range(2, 11)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] == pytest.approx(0.0)


def test_stages_that_were_not_asked_for_take_no_time() -> None:
    assert planned_stages(job(None, video_only=True)) == ("video",)
    assert planned_stages(job(None, distil=False)) == tuple(
        s for s in STAGES if s != "distillation"
    )
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
