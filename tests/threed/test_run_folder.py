import json
import os
import signal
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from threed.cameras import orbit_cameras
from threed.errors import ReconstructionError, RequestError
from threed.orbit import OrbitVideo
from threed.orbit_files import read_orbit, write_orbit
from threed.run_folder import STAGE_FILES, STAGES, RunFolder


def random_orbit(size: int = 18, num_frames: int = 3) -> OrbitVideo:
    generator = torch.Generator().manual_seed(0)
    alpha = torch.rand(num_frames, size, size, generator=generator)
    alpha[:, :4] = 0
    alpha[:, 8:] = 1
    colour = torch.rand(num_frames, size, size, 3, generator=generator)
    normals = torch.randn(num_frames, size, size, 3, generator=generator)
    normals = torch.nn.functional.normalize(normals, dim=-1)
    return OrbitVideo(
        albedo=colour * alpha[..., None],
        alpha=alpha,
        normals=normals * alpha[..., None],
        cameras=orbit_cameras(num_frames, size=size),
    )


def test_orbit_round_trip_is_within_quantisation(tmp_path: Path) -> None:
    orbit = random_orbit()
    write_orbit(tmp_path, orbit)
    read = read_orbit(tmp_path / "orbit.npz")
    assert_close(read.alpha, orbit.alpha, atol=0.5 / 255 + 1e-6, rtol=0)
    # Two roundings meet in a premultiplied value: the colour's and the alpha's.
    assert_close(read.albedo, orbit.albedo, atol=1 / 255 + 1e-6, rtol=0)
    assert read.normals is not None and orbit.normals is not None
    assert_close(read.normals, orbit.normals, atol=0.5 / 127 + 0.5 / 255 + 1e-6, rtol=0)
    assert_close(read.cameras.c2w, orbit.cameras.c2w, atol=0, rtol=0)
    assert_close(read.cameras.fov_y, orbit.cameras.fov_y, atol=0, rtol=0)


def test_writing_what_was_read_changes_nothing(tmp_path: Path) -> None:
    """Quantisation is done once: a second round trip is exact."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    write_orbit(first, replace(random_orbit(), normals=None))
    once = read_orbit(first)
    write_orbit(second, once)
    assert_close(read_orbit(second).albedo, once.albedo, atol=0, rtol=0)
    assert once.normals is None


def test_kind_survives_and_nothing_is_pickled(tmp_path: Path) -> None:
    write_orbit(tmp_path, replace(random_orbit(), kind="clip"))
    assert read_orbit(tmp_path).kind == "clip"
    with np.load(tmp_path / "orbit.npz", allow_pickle=False) as arrays:
        assert arrays["frames"].dtype == np.uint8 and arrays["normals"].dtype == np.int8
        assert not any(arrays[name].dtype.hasobject for name in arrays.files)


@pytest.mark.parametrize(
    "damage", ["missing", "text", "cut", "flipped", "pickled", "keys", "shape", "normals", "empty"]
)
def test_a_damaged_orbit_is_one_sentence(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "orbit.npz"
    if damage == "text":
        path.write_text("no archive")
    elif damage == "pickled":
        np.savez(path, frames=np.array([{}], dtype=object))
    elif damage == "keys":
        np.savez(path, frames=np.zeros((2, 4, 4, 4), np.uint8))
    elif damage == "shape":
        np.savez(path, frames=np.zeros((2, 4), np.uint8), c2w=0, fov_y=0, kind="orbit")
    elif damage in ("normals", "empty"):
        count = 0 if damage == "empty" else 2
        np.savez(
            path,
            frames=np.zeros((count, 4, 4, 4), np.uint8),
            normals=np.zeros((count, 5, 5, 3), np.int8),
            c2w=np.eye(4)[None].repeat(count, axis=0),
            fov_y=np.ones(count),
            kind="orbit",
        )
    elif damage == "flipped":
        write_orbit(tmp_path, random_orbit())
        data = bytearray(path.read_bytes())
        data[200:260] = b"\xff" * 60
        path.write_bytes(data)
    elif damage == "cut":
        write_orbit(tmp_path, random_orbit())
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(RequestError, match="orbit"):
        read_orbit(path)


def write_claim(path: Path, **shapes: tuple[int, ...]) -> None:
    """An orbit.npz whose arrays are as large as they please and have no data."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, shape in shapes.items():
            head = {"descr": "|u1", "fortran_order": False, "shape": shape}
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array_header_1_0(file, head)


@pytest.mark.parametrize(
    "shape", [(4000, 512, 512, 4), (97, 4, 4, 4), (8, 1025, 4, 4), (8, 4, 1025, 4)]
)
def test_more_than_an_orbit_may_have_is_refused_by_its_header(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    """Nothing is unpacked to find out; the data that the header promises are not even there."""
    path = tmp_path / "orbit.npz"
    write_claim(path, frames=shape)
    said = f"{shape[0]} frames of {shape[2]} x {shape[1]} pixels; .* 96 of 1024 x 1024"
    with pytest.raises(RequestError, match=said):
        read_orbit(path)


@pytest.mark.parametrize("name", ["normals", "c2w", "fov_y"])
def test_no_array_beside_the_frames_is_larger_than_these_allow(tmp_path: Path, name: str) -> None:
    write_claim(tmp_path / "orbit.npz", frames=(8, 64, 64, 4), **{name: (1 << 40,)})
    with pytest.raises(RequestError, match=f"{name} has 1048576 MiB"):
        read_orbit(tmp_path)


def test_as_many_frames_as_a_folder_of_pictures_may_have_are_read(tmp_path: Path) -> None:
    orbit = random_orbit(size=16, num_frames=96)
    write_orbit(tmp_path, orbit)
    assert read_orbit(tmp_path).num_frames == 96


def test_what_is_no_part_of_an_orbit_is_not_unpacked(tmp_path: Path) -> None:
    write_orbit(tmp_path, random_orbit())
    with zipfile.ZipFile(tmp_path / "orbit.npz", "a") as archive:
        archive.writestr("more.npy", b"no array at all")
    assert read_orbit(tmp_path).num_frames == 3


def test_fields_that_disagree_are_named() -> None:
    orbit = random_orbit(size=18)
    for name in ("alpha", "albedo", "normals"):
        value = getattr(orbit, name)
        for wrong in (value[:2], value[:, :9]):
            with pytest.raises(ValueError, match=name):
                # The tests' own checks of types would speak before the constructor's.
                OrbitVideo.__post_init__(SimpleNamespace(**{**vars(orbit), name: wrong}))


def test_a_stage_is_done_only_when_its_block_ends(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    with folder.stage("mesh") as temporary:
        (temporary / "mesh.glb").write_bytes(b"mesh")
        assert not folder.done("mesh") and not folder.file("mesh.glb").exists()
    assert folder.done("mesh") and folder.file("mesh.glb").read_bytes() == b"mesh"
    folder.file("mesh.glb").unlink()
    assert not folder.done("mesh")


def test_an_exception_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    with folder.stage("mesh") as temporary:
        (temporary / "mesh.glb").write_bytes(b"old")
    before = sorted(folder.path.rglob("*"))
    with pytest.raises(KeyError), folder.stage("mesh") as temporary:  # noqa: PT012
        (temporary / "mesh.glb").write_bytes(b"new")
        raise KeyError
    assert sorted(folder.path.rglob("*")) == before
    assert folder.file("mesh.glb").read_bytes() == b"old"


def test_a_stage_written_anew_discards_those_made_from_it(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    for stage in STAGES:
        with folder.stage(stage) as temporary:
            (temporary / f"{stage}.bin").write_bytes(b"1")
    with folder.stage("field") as temporary:
        (temporary / "field.bin").write_bytes(b"2")
    assert [stage for stage in STAGES if folder.done(stage)] == ["request", "orbit", "field"]
    assert not folder.file("mesh.bin").exists()
    folder.discard("orbit")
    assert [stage for stage in STAGES if folder.done(stage)] == ["request"]


def write_until_killed(path: Path, moment: int) -> bool:
    """Write a stage in another process that is killed before its n-th change; return if it was."""
    folder = RunFolder.create(path)
    # The child is the writer; it has inherited the lock, which goes with the last that holds it.
    child = os.fork()
    if child == 0:
        calls = 0
        for name in ("replace", "rename", "unlink", "mkdir"):

            def counted(*arguments: Any, change: Any = getattr(os, name), **keywords: Any) -> Any:  # noqa: B008
                nonlocal calls
                calls += 1
                if calls == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                return change(*arguments, **keywords)

            setattr(os, name, counted)
        try:
            with folder.stage("orbit") as temporary:
                (temporary / "images").mkdir()
                for name in ("orbit.npz", "transforms.json", "images/000.png"):
                    (temporary / name).write_text("new")
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_a_kill_at_any_moment_leaves_each_stage_whole_or_absent(tmp_path: Path) -> None:
    """The process is killed before each of its calls that change the folder, one run a call."""
    outcomes = set()
    for moment in range(1, 60):
        path = tmp_path / str(moment)
        folder = RunFolder.create(path)
        for stage, name in (("orbit", "orbit.npz"), ("mesh", "mesh.glb")):
            with folder.stage(stage) as temporary:
                (temporary / name).write_text("old")
        folder.close()
        killed = write_until_killed(path, moment)
        folder = RunFolder.create(path)
        left = {str(p.relative_to(path)): p for p in path.rglob("*") if p.is_file()}
        left = {name: p.read_text() for name, p in left.items() if not name.startswith(".stages")}
        new = dict.fromkeys(("orbit.npz", "transforms.json", "images/000.png"), "new")
        old_orbit, old_mesh = {"orbit.npz": "old"}, {"mesh.glb": "old"}
        expected = [old_orbit | old_mesh, old_orbit, {}, new]
        assert left in expected, f"killed before call {moment}: {left}"
        assert folder.done("orbit") == ("orbit.npz" in left)
        assert folder.done("mesh") == ("mesh.glb" in left)
        assert not list((path / ".stages").glob("*.tmp"))
        outcomes.add(expected.index(left))
        if not killed:
            break
    assert not killed and outcomes == {0, 1, 2, 3}


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115
    with pytest.raises(ReconstructionError, match="full"), folder.stage("field"), full:
        full.write(b"0")
    assert not folder.done("field")
    assert not list((folder.path / ".stages").glob("*.tmp"))


@pytest.mark.parametrize("path", ["/proc/run", "/dev/null/run", "\0", "/dev/null"])
def test_a_place_that_cannot_be_written_is_refused(path: str) -> None:
    with pytest.raises(RequestError, match="cannot be written"):
        RunFolder.create(path)


def test_a_users_own_files_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(RequestError, match="images"):
        RunFolder.create(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["images"]


def test_an_unused_folder_is_taken_back_and_a_used_one_stays(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "a" / "b")
    folder.remove_if_empty()
    assert not (tmp_path / "a").exists()
    folder = RunFolder.create(tmp_path / "a" / "b")
    with folder.stage("request") as temporary:
        (temporary / "request.json").write_text(json.dumps({}))
    folder.remove_if_empty()
    assert folder.done("request")


def test_two_runs_cannot_write_into_one_folder(tmp_path: Path) -> None:
    """From the first's creation to its end, in a stage or between two; looking is always free."""
    path = tmp_path / "run"
    with RunFolder.create(path) as folder:
        with pytest.raises(RequestError, match="another run is writing there"):
            RunFolder.create(path)
        with folder.stage("field"), pytest.raises(RequestError, match="another run"):
            RunFolder.create(path)
        assert RunFolder(path).done("field")
        assert os.listdir(path) == [".stages"]
    second = RunFolder.create(path)
    with pytest.raises(AssertionError):
        folder.discard("field")
    del second
    RunFolder.create(path).close()


def test_a_folder_that_was_taken_back_is_free(tmp_path: Path) -> None:
    first = RunFolder.create(tmp_path / "run")
    first.remove_if_empty()
    second = RunFolder.create(tmp_path / "run")
    first.remove_if_empty()
    with second.stage("field"):
        pass
    assert second.done("field")


@pytest.mark.parametrize("state", ["done", "partial"])
@pytest.mark.parametrize("record", [b"", bytes(30), b'["mesh', b"{}", b"[1]", b'[".."]'])
@pytest.mark.parametrize("damaged", STAGES)
def test_a_damaged_record_is_a_remnant_of_a_stage_that_is_not_done(
    tmp_path: Path, damaged: str, record: bytes, state: str
) -> None:
    """As a power cut leaves one: that stage and those made from it go, and can be made again."""
    path, index = tmp_path / "run", STAGES.index(damaged)
    with RunFolder.create(path) as folder:
        for stage in STAGES if state == "done" else STAGES[: index + 1]:
            with folder.stage(stage) as temporary:
                for name in STAGE_FILES[stage]:
                    (temporary / name).write_text(stage)
    records = path / ".stages"
    (records / f"{damaged}.done.json").unlink()
    (records / f"{damaged}.{state}.json").write_bytes(record)
    assert not RunFolder(path).done(damaged)
    with RunFolder.create(path) as folder:
        assert [stage for stage in STAGES if folder.done(stage)] == list(STAGES[:index])
        left = {entry.name for entry in path.iterdir()} - {".stages"}
        assert left == {name for stage in STAGES[:index] for name in STAGE_FILES[stage]}
        assert {entry.name for entry in records.iterdir()} == {
            "lock",
            *(f"{stage}.done.json" for stage in STAGES[:index]),
        }
        with folder.stage(damaged):
            pass
        assert folder.done(damaged)
    assert path.is_dir()
