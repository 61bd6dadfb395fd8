"""What a file says of its making survives the file, and no stranger's file does harm."""

import json
import random
import struct
import subprocess
import sys
import tomllib
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines import VERSION
from pipelines.errors import RequestError
from pipelines.generate import generate
from pipelines.jobs.supervisor import PROJECT_ROOT
from pipelines.models.catalogue import MODELS
from pipelines.provenance import as_comment, made_with, read_provenance
from pipelines.request import MADE_WITH, GenerationRequest
from tests.pipelines.sphere_model import SphereModel
from tests.threed.egg import egg
from threed.export import export_glb
from threed.run_folder import RunFolder
from threed.video_io import read_clip, write_mp4

REQUEST = GenerationRequest(
    prompt='ein “Stuhl”, grün 椅子 \\ "', seed=2**32 - 1, num_frames=8, size=32, video_only=True
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One of each kind of file that a run leaves."""
    path = tmp_path_factory.mktemp("run")
    with RunFolder.create(path) as folder:
        list(generate(REQUEST, folder, SphereModel()))
    extras = json.loads((path / "request.json").read_text("utf-8"))
    export_glb(egg(), path / "mesh.glb", unlit=False, extras=extras)
    return {name: path / name for name in ("request.json", "orbit.mp4", "mesh.glb")}


@pytest.mark.parametrize("name", ["request.json", "orbit.mp4", "mesh.glb"])
def test_each_file_gives_the_request_back_with_model_hash_and_versions(
    files: dict[str, Path], name: str
) -> None:
    found = read_provenance(files[name])
    assert found.request == REQUEST
    assert found.made_with == made_with(REQUEST)
    assert found.made_with["versions"]["torch"] == torch.__version__.split("+")[0]
    assert found.made_with["model"]["sha256"] == MODELS[0].sha256()
    # By its content, whatever it is called.
    other = files[name].with_name("anything")
    other.write_bytes(files[name].read_bytes())
    assert read_provenance(other).request == REQUEST


def test_the_comment_does_not_touch_the_picture(files: dict[str, Path], tmp_path: Path) -> None:
    assert read_clip(files["orbit.mp4"]).num_source_frames == REQUEST.num_frames
    frames = np.full((8, 32, 32, 3), 200, dtype=np.uint8)
    write_mp4(tmp_path / "plain.mp4", frames)
    write_mp4(tmp_path / "told.mp4", frames, comment="x" * 5000)
    plain, told = read_clip(tmp_path / "plain.mp4"), read_clip(tmp_path / "told.mp4")
    assert np.array_equal(plain.frames, told.frames)


def test_the_models_hash_is_that_of_every_file() -> None:
    digest = MODELS[0].sha256()
    assert len(digest) == 64
    assert digest == MODELS[0].sha256()


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["version"] == VERSION


def test_a_file_that_says_nothing_is_refused_in_words(tmp_path: Path) -> None:
    frames = np.zeros((8, 32, 32, 3), dtype=np.uint8)
    write_mp4(tmp_path / "silent.mp4", frames)
    export_glb(egg(), tmp_path / "silent.glb", unlit=False, extras={"by": "hand"})
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "other.json").write_text('{"prompt": "a chair", "colour": "red"}')
    (tmp_path / "wrong.json").write_text('{"prompt": "a chair", "seed": -1}')
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    (tmp_path / "empty").write_bytes(b"")
    for path in tmp_path.iterdir():
        with pytest.raises(RequestError) as refused:
            read_provenance(path)
        assert str(tmp_path) not in str(refused.value)
    with pytest.raises(RequestError, match="cannot be read"):
        read_provenance(tmp_path / "absent")


def test_a_length_that_lies_costs_no_memory_and_no_time(tmp_path: Path) -> None:
    lies = {
        "glb": b"glTF" + struct.pack("<II", 2, 2**32 - 1) + struct.pack("<I4s", 2**32 - 1, b"JSON"),
        "mp4": struct.pack(">I4sI", 12, b"ftyp", 0) + struct.pack(">I4sQ", 1, b"moov", 2**63),
        "loop": struct.pack(">I4sI", 12, b"ftyp", 0) + struct.pack(">I4sQ", 1, b"moov", 0) * 9,
        "tiny": struct.pack(">I4sI", 12, b"ftyp", 0) + struct.pack(">I4s", 3, b"moov") * 9,
    }
    for name, data in lies.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(RequestError):
            read_provenance(tmp_path / name)


@pytest.mark.parametrize("name", ["request.json", "orbit.mp4", "mesh.glb"])
def test_damaged_files_end_in_a_request_or_in_words(
    files: dict[str, Path], name: str, tmp_path: Path
) -> None:
    whole = files[name].read_bytes()
    chance = random.Random(0)
    for trial in range(150):
        data = bytearray(whole[: chance.randrange(1, len(whole))] if trial % 3 == 0 else whole)
        for _ in range(chance.randrange(1, 30)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path = tmp_path / "damaged"
        path.write_bytes(bytes(data))
        with suppress(RequestError):
            assert isinstance(read_provenance(path).request, GenerationRequest)


def test_a_request_reads_what_a_run_wrote_of_its_making_and_keeps_it_to_itself() -> None:
    written = as_comment({**asdict(REQUEST), MADE_WITH: made_with(REQUEST)})
    request = GenerationRequest.from_json(written)
    assert request == REQUEST
    assert MADE_WITH not in json.loads(request.to_json())


def test_reading_needs_neither_torch_nor_a_decoder(files: dict[str, Path]) -> None:
    code = (
        "import sys; from pipelines.provenance import read_provenance\n"
        f"print(read_provenance({str(files['orbit.mp4'])!r}).request.seed)\n"
        "sys.exit(', '.join({'torch', 'av', 'trimesh', 'numpy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert int(done.stdout) == REQUEST.seed
