"""The command line: its exit statuses, its one line of complaint, and the chain it drives."""

import hashlib
import subprocess
import sys
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines import __main__ as command_line
from pipelines.__main__ import build_parser, main, request_of
from pipelines.models import catalogue
from pipelines.request import GenerationRequest
from threed.progress import Progress
from threed.progress_bar import draw


def _status(argv: list[str]) -> int:
    """Return the exit status, whether it is returned or raised by the parser."""
    try:
        return main(argv)
    except SystemExit as exit_:
        return int(str(exit_.code))


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "prompt"),
        ([""], "prompt is empty"),
        (["x" * 501], "501 characters; at most 500"),
        (["a chair", "--seed", "-1"], "seed is -1"),
        (["a chair", "--seed", "seven"], "--seed: invalid int value: 'seven'"),
        (["a chair", "--model", "imagined"], "model is 'imagined'; the catalogue has embedded"),
        (["a chair", "--frames", "2"], "num_frames is 2"),
        (["a chair", "--frames", "96"], "the model 'embedded' makes at most "),
        (["a chair", "--size", "65"], "size is 65"),
        (["a chair", "--size", "1024"], "the model 'embedded' makes "),
        (["a chair", "--steps", "0"], "num_steps is 0"),
        (["a chair", "--guidance", "-2"], "guidance_scale is -2.0"),
        (["a chair", "--elevation-deg", "90"], "elevation_deg is 90.0"),
        (["a chair", "--camera", "pan"], "camera is 'pan'; it must be one of auto, orbit, still"),
        (["a chair", "--camera", "arc"], "camera is 'arc'; a mesh needs the 'orbit'"),
        (
            ["a chair", "--camera", "arc", "--video-only", "--model", "wan2.1-t2v-1.3b"],
            "camera is 'arc'; the model 'wan2.1-t2v-1.3b' follows the orbit's alone",
        ),
        (["a chair", "--texture", "100"], "texture_size is 100"),
        (["a chair", "--faces", "12"], "max_faces is 12"),
        (["a chair", "--max-mb", "0.01"], "max_mb is 0.01"),
        (["a chair", "--revision", "../../x"], "revision is '../../x'; it must be a name"),
        (["a chair", "--tries", "0"], "num_tries is 0"),
        (["a chair", "--picture", "none.png"], "none.png cannot be read: No such file"),
        (["a chair", "--picture", __file__, "--model", "wan2.1-t2v-1.3b"], "takes no picture"),
        (["a chair", "--colour", "red"], "--colour"),
    ],
)
def test_a_wrong_request_is_one_line_and_status_2(
    argv: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _status(argv) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert words in printed.err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("here first")
    assert _status(["a chair", "--out", str(tmp_path / "file" / "run")]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "cannot be written" in error
    assert (tmp_path / "file").read_text() == "here first"


def test_missing_weights_are_status_1_and_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = replace(catalogue.EMBEDDED, folder=tmp_path / "nothing")
    monkeypatch.setattr(catalogue, "MODELS", (empty,))
    assert _status(["a chair", "--out", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "weights of the model 'embedded' are missing" in error
    assert list(tmp_path.iterdir()) == []


def test_every_option_reaches_the_request(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a picture")
    words = (
        "chair --seed 7 --model embedded --frames 16 --size 64 --steps 5 --guidance 2.5 "
        "--elevation-deg -10 --texture 2048 --faces 5000 --video-only --no-distil --revision v1 "
        f"--tries 2 --recaption none --commercial --max-mb 2 --picture {tmp_path}/a.png "
        "--camera orbit"
    )
    assert request_of(build_parser().parse_args(words.split())) == GenerationRequest(
        prompt="chair",
        seed=7,
        model="embedded",
        num_frames=16,
        size=64,
        num_steps=5,
        guidance_scale=2.5,
        elevation_deg=-10.0,
        camera="orbit",
        texture_size=2048,
        max_faces=5000,
        max_mb=2.0,
        revision="v1",
        num_tries=2,
        recaption="none",
        commercial=True,
        video_only=True,
        distil=False,
        picture=hashlib.sha256(b"a picture").hexdigest(),
    )


def test_no_options_make_the_default_request() -> None:
    assert request_of(build_parser().parse_args(["chair"])) == GenerationRequest(prompt="chair")


def test_the_catalogue_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    for card in catalogue.MODELS:
        assert card.name in printed
        assert card.licence in printed


def test_the_driver_draws_every_stage_and_closes_the_chain(
    capsys: pytest.CaptureFixture[str],
) -> None:
    closed = []

    def chain(num_records: int) -> Generator[Progress, None, None]:
        try:
            for step in range(num_records):
                yield Progress(stage="video", step=step, num_steps=9, message="nearest: a ball")
            yield Progress(stage="mesh", step=0, num_steps=1, message="taking the surface")
            raise KeyboardInterrupt
        finally:
            closed.append(True)

    with pytest.raises(KeyboardInterrupt):
        draw(chain(3))
    assert capsys.readouterr().err == "video: nearest: a ball\nmesh: taking the surface\n"
    assert closed == [True]


def test_the_help_is_quick_for_it_loads_no_torch() -> None:
    code = (
        "import sys\nfrom pipelines.__main__ import main\n"
        "try: main(['--help'])\nexcept SystemExit: sys.exit('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0
    assert "--elevation-deg" in run.stdout


@pytest.mark.slow
def test_words_become_a_video_and_the_same_words_the_same_video(tmp_path: Path) -> None:
    """With the embedded model, in two processes of their own."""
    for name in ("first", "second"):
        argv = ["a wooden chair", "--seed", "7", "--video-only", "--out", str(tmp_path / name)]
        subprocess.run([sys.executable, "-m", command_line.__package__, *argv], check=True)
    first, second = (tmp_path / name / "images" for name in ("first", "second"))
    pictures = sorted(path.name for path in first.iterdir())
    assert len(pictures) == GenerationRequest(prompt="-").num_frames
    for name in pictures:
        assert (first / name).read_bytes() == (second / name).read_bytes()
