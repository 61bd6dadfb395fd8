"""The command line under torchrun, on the shipped weights."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.__main__ import main

ROOT = Path(__file__).resolve().parents[3]
ARGUMENTS = ["a wooden chair", "--frames", "9", "--steps", "1", "--video-only", "--seed", "3"]


@pytest.mark.slow
def test_two_processes_make_the_clip_that_one_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In bfloat16 two orders of one sum differ by far more than eight bits hide.
    monkeypatch.setenv("LATHE_PRECISION", "float32")
    run = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", "-m", "pipelines"),
            *(*ARGUMENTS, "--out", str(tmp_path / "two")),
        ],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.split() == [str(tmp_path / "two" / "orbit.mp4")]
    assert main([*ARGUMENTS, "--out", str(tmp_path / "one")]) == 0
    one, two = (np.load(tmp_path / name / "orbit.npz") for name in ("one", "two"))
    assert one["frames"].std() > 10
    for name in ("frames", "normals"):
        difference = np.abs(one[name].astype(float) - two[name])
        assert difference.max() <= 1  # of 255: a value between two steps may fall to either
        assert difference.mean() < 0.01


def test_a_way_of_spreading_needs_something_to_spread_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ARGUMENTS, "--attention", "ring", "--out", str(tmp_path / "out")]) == 2
    assert "torchrun starts more" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
