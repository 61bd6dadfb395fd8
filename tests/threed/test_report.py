import subprocess
import sys

import pytest

from threed.report import Report, verdict

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
    assert "View 3 of 4 fits worst (15.0 dB)" in words
    assert "not closed" in words
    assert "light of the video" in words


def test_reading_reports_loads_no_torch() -> None:
    code = "import sys, threed.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
