"""What a benchmark of an hour a mesh has measured is kept, and not measured again."""

import math
from pathlib import Path
from typing import cast

import pytest

from benchmarks.reconstruction import Score, Subject, measure, read_scores, write_scores
from threed.fit import FitConfig

SETTINGS = {"size": 128, "steps": 230}


def _score(method: str, **values: float) -> Score:
    numbers = dict.fromkeys(("field", "mesh", "ssim", "chamfer", "f_score", "iou"), 0.1 + 0.2)
    numbers |= {"seconds": 1.5, "processor": 2.5, "mib": 100.0} | values
    stages = {"fit": (1.5, 100.0)}
    return Score(name="cow", light="lit", method=method, **numbers, stages=stages)


def test_scores_come_back_as_they_were_written(tmp_path: Path):
    path = tmp_path / "scores.json"
    written = [_score("ours"), _score("nerfacto x1", mesh=math.nan, iou=math.nan)]
    write_scores(path, SETTINGS, written)
    read = read_scores(path, SETTINGS)
    assert [row.line() for row in read] == [row.line() for row in written]
    assert [(row.field, row.processor) for row in read] == [(0.1 + 0.2, 2.5)] * 2
    assert math.isnan(read[1].iou)
    assert [p.name for p in tmp_path.iterdir()] == ["scores.json"]


def test_there_are_none_before_the_first():
    assert read_scores(Path("nowhere.json"), SETTINGS) == []


def test_scores_of_other_settings_are_not_gone_on_with(tmp_path: Path):
    path = tmp_path / "scores.json"
    write_scores(path, SETTINGS, [_score("ours")])
    with pytest.raises(ValueError, match=r"'size': 128.*not with .*'size': 256"):
        read_scores(path, SETTINGS | {"size": 256})


def test_what_is_held_is_not_measured_again():
    names = ["hull", "ours", "tensorf x10", "nerfacto x10"]
    held = {name: _score(name) for name in names}
    nothing = cast("Subject", None)  # any measurement of it would fail
    rows = list(measure(nothing, FitConfig(), [10], held))
    assert [row.method for row in rows] == names
    assert all(row is held[row.method] for row in rows)
    del held["nerfacto x10"]
    with pytest.raises(AttributeError):
        list(measure(nothing, FitConfig(), [10], held))
