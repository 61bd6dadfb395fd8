import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from threed.file_size import SizeBudget
from threed.report import (
    Report,
    Side,
    given_up,
    side_of,
    verdict,
    weak_views,
)
from threed.report_picture import MARGIN, WIDTH, comparison, report_sheet

REPORT = Report(
    psnr=[30.0, 21.5],
    mean_psnr=25.75,
    worst_view=1,
    mesh_psnr=24.0,
    watertight=True,
    num_faces=1000,
    num_vertices=600,
    texture_size=512,
    glb_bytes=123456,
    light_baked=False,
    seconds={"field": 12.5},
    verdict="Good.",
)


def test_report_survives_its_json() -> None:
    assert Report.from_json(REPORT.to_json()) == REPORT


def test_unknown_key_is_an_error() -> None:
    with pytest.raises(TypeError):
        Report.from_json(REPORT.to_json().replace("glb_bytes", "bytes"))


def test_verdict_says_so_when_views_do_not_agree() -> None:
    poor = verdict([12.0, 13.0, 14.0], watertight=True, light_baked=False)
    assert "do not agree" in poor
    good = verdict([30.0, 31.0], watertight=True, light_baked=False)
    assert "do not" not in good
    assert "light" not in good
    assert "closed" in good


def test_verdict_names_an_outlier_an_open_mesh_and_baked_light() -> None:
    words = verdict([30.0, 30.0, 15.0, 30.0], watertight=False, light_baked=True)
    assert "view 3 disagrees with the rest (15.0 dB)" in words
    assert "not closed" in words
    assert "light of the video" in words


def turn(num_views: int = 24) -> list[Side]:
    return [side_of(2 * math.pi * view / num_views, 0.26) for view in range(num_views)]


def test_sides_are_quarters_of_the_turn_about_their_middles() -> None:
    sides = turn()
    quarters = [sides[view] for view in (0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22)]
    assert quarters == ["front"] * 2 + ["right"] * 3 + ["back"] * 3 + ["left"] * 3 + ["front"]
    assert side_of(-math.pi / 2, 0.0) == "left"
    assert side_of(2.0, math.radians(70)) == "above"
    assert side_of(2.0, math.radians(-70)) == "below"


def test_a_run_of_weak_neighbours_is_named_with_its_side() -> None:
    psnr = [27.0 + 0.1 * (view % 3) for view in range(24)]
    assert weak_views(psnr, turn()) == []
    for view in range(11, 15):
        psnr[view] = 20.0
    (run,) = weak_views(psnr, turn())
    assert (run.views, run.sides, run.psnr) == ((11, 12, 13, 14), ("back",), 20.0)
    words = verdict(psnr, turn(), watertight=True, light_baked=False)
    assert "views 12 to 15 disagree with the rest (20.0 dB): the back may be soft" in words
    assert words.startswith("Most views agree")


def test_a_run_over_the_turns_end_is_one_and_the_worst_comes_first() -> None:
    psnr = [23.0] * 24
    for view in (23, 0, 1):
        psnr[view] = 16.0
    psnr[6] = 12.0
    side, front = weak_views(psnr, turn())
    assert (side.views, side.sides) == ((6,), ("right",))
    assert (front.views, front.sides) == ((23, 0, 1), ("front",))
    words = verdict(psnr, turn(), watertight=True, light_baked=False)
    assert "View 7 (right side) disagrees with the rest (12.0 dB)." in words
    assert "Views 24 to 2 disagree" in words


def test_what_a_limit_cost_is_told_and_nothing_where_it_cost_nothing() -> None:
    budget = SizeBudget(max_mb=0.5, faces=20_000, texture=1024)
    words = given_up(budget, num_faces=12_000, texture_size=512, texture_kind="WebP")
    assert words == (
        "To stay within 0.5 MB it has 12,000 triangles instead of 20,000, a texture of 512 pixels "
        "instead of 1024 and the texture as WebP."
    )
    assert given_up(budget, num_faces=20_000, texture_size=1024, texture_kind="PNG") == ""
    assert given_up(None, num_faces=1, texture_size=1, texture_kind="JPEG") == ""
    told = replace(REPORT, budget=budget, sides=["front", "back"])
    assert Report.from_json(told.to_json()) == told


def test_difference_is_white_where_pictures_agree_and_black_where_they_do_not() -> None:
    frame = np.zeros((2, 2, 3))
    other = frame.copy()
    other[0, 1] = 1.0
    strip = comparison(frame, other, np.zeros((4, 4, 3)))
    assert strip.shape == (4, 12, 3)
    assert (strip[:2, 8:10] == 255).all()
    assert (strip[:2, 10:] == 0).all()
    # A small difference is red.
    faint = comparison(frame, frame + 0.2, np.zeros((4, 4, 3)))[0, 8]
    assert faint[0] == 255
    assert 0 < faint[1] < 128


@pytest.mark.parametrize(
    ("height", "width"), [(256, 16), (256, 64), (256, 128), (256, 256), (128, 256), (16, 256)]
)
def test_the_sheet_shows_every_tile_whole_however_tall_or_flat(height: int, width: int) -> None:
    """Each tile has a colour of its own, and the figures stand below the last."""
    colours = np.array(
        [(255, 0, 255), (0, 255, 255), (255, 255, 0), (0, 0, 255), (0, 255, 0), (255, 0, 0)],
        np.uint8,
    )
    tiles = np.broadcast_to(colours[:, None, None], (6, height, width, 3))
    worst, best = (np.concatenate(list(part), axis=1) for part in (tiles[:3], tiles[3:]))
    many = replace(REPORT, verdict="The views agree with one another. " * 16)
    sheet = report_sheet(many, worst, best)
    bottom = 0
    for colour in colours:
        rows, columns = np.nonzero((sheet == colour).all(axis=-1))
        shown = np.array([np.ptp(rows), np.ptp(columns)]) + 1
        # By as much on both sides; a frame's line lies over the outermost pixels.
        scale = shown.max() / 256
        np.testing.assert_allclose(shown, scale * np.array([height, width]), atol=3)
        assert scale > 1
        assert columns.min() >= MARGIN and columns.max() < WIDTH - MARGIN
        bottom = max(bottom, rows.max())
    # Nine figures are three rows of names and values.
    below = sheet[bottom + 1 :]
    assert len(below) > 3 * 48
    assert (below[-68:-20] != 255).any() and (below[-15:] == 255).all()


def test_reading_reports_loads_no_torch() -> None:
    code = "import sys, threed.report_picture; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
