"""The formats, each read back by a program that is not ours."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from pxr import Usd, UsdGeom, UsdValidation

from tests.threed.egg import egg
from threed.__main__ import main
from threed.cameras import orbit_cameras
from threed.dataset import read_dataset
from threed.errors import RequestError
from threed.export import export_glb, glb_bytes
from threed.export_formats import (
    FORMATS,
    PRINT_MM,
    dataset_bytes,
    find_format,
    gif_bytes,
    obj_bytes,
    picture_over_white,
    ply_bytes,
    png_bytes,
    stl_bytes,
    turntable_frames,
    vertex_colours,
    webp_bytes,
    why_not,
)
from threed.orbit import OrbitVideo
from threed.orbit_files import read_orbit, write_orbit
from threed.preview import render_mesh, turntable, write_webp
from threed.run_folder import REDRAWN_NAME, RunFolder
from threed.textured_mesh import TexturedMesh, read_own_glb
from threed.usdz import ALIGNMENT, usdz_bytes
from threed.video_io import film_pictures


@pytest.fixture(scope="module")
def mesh() -> TexturedMesh:
    """An egg, so that no two axes can be mistaken for one another; each corner has its colour."""
    return egg()


@pytest.fixture(scope="module")
def run(mesh: TexturedMesh, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    orbit = render_mesh(mesh, orbit_cameras(8, size=32))
    write_orbit(folder, OrbitVideo(**{**vars(orbit), "normals": None}))
    export_glb(mesh, folder / "mesh.glb", unlit=False, extras={})
    write_webp(turntable(mesh, num_frames=12, size=64), folder / "preview.webp")
    (folder / "report.png").write_bytes(png_bytes(mesh.texture))
    return folder


def test_our_reader_reads_what_our_writer_writes(mesh: TexturedMesh, run: Path) -> None:
    again = read_own_glb(run / "mesh.glb")
    np.testing.assert_array_equal(again.vertices, mesh.vertices)
    np.testing.assert_array_equal(again.faces, mesh.faces)
    np.testing.assert_array_equal(again.texture, mesh.texture)
    np.testing.assert_allclose(again.uv, mesh.uv, atol=1e-6)
    np.testing.assert_allclose(again.normals, mesh.normals, atol=1e-6)


@pytest.mark.parametrize("cut", [0, 3, 11, 40, 400, -10])
def test_a_damaged_glb_is_refused_in_words(run: Path, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "mesh.glb"
    path.write_bytes((run / "mesh.glb").read_bytes()[:cut])
    with pytest.raises(RequestError, match="no mesh of this program"):
        read_own_glb(path)


def test_obj_brings_its_material_and_texture(mesh: TexturedMesh, tmp_path: Path) -> None:
    zipfile.ZipFile(io.BytesIO(obj_bytes(mesh))).extractall(tmp_path)
    body = trimesh.load(tmp_path / "mesh.obj", process=False)
    np.testing.assert_allclose(body.vertices[body.faces], mesh.vertices[mesh.faces], atol=1e-5)
    np.testing.assert_allclose(body.visual.uv[body.faces], mesh.uv[mesh.faces], atol=1e-5)
    np.testing.assert_array_equal(np.array(body.visual.material.image), mesh.texture)


@pytest.mark.parametrize("distance", [1.0, 1000.0, 1e7])
def test_far_from_the_origin_text_formats_keep_every_bit_of_a_place(
    mesh: TexturedMesh, tmp_path: Path, distance: float
) -> None:
    """Surveyed scenes stand kilometres from their origin."""
    places = (mesh.vertices + np.float32(distance) / 3).astype(np.float32)
    far = replace(mesh, vertices=places)
    zipfile.ZipFile(io.BytesIO(obj_bytes(far))).extractall(tmp_path)
    body = trimesh.load(tmp_path / "mesh.obj", process=False)
    corners = body.vertices[body.faces].astype(np.float32)
    np.testing.assert_array_equal(corners, places[mesh.faces])
    (tmp_path / "mesh.usdz").write_bytes(usdz_bytes(far))
    stage = Usd.Stage.Open(str(tmp_path / "mesh.usdz"))
    surface = UsdGeom.Mesh(stage.GetPrimAtPath("/Object/Surface"))
    np.testing.assert_array_equal(surface.GetPointsAttr().Get(), places)
    bounds = [places.min(axis=0), places.max(axis=0)]
    np.testing.assert_array_equal(surface.GetExtentAttr().Get(), bounds)


def test_ply_has_the_textures_colours_at_its_vertices(mesh: TexturedMesh) -> None:
    body = trimesh.load(io.BytesIO(ply_bytes(mesh)), file_type="ply", process=False)
    np.testing.assert_array_equal(body.vertices, mesh.vertices)
    np.testing.assert_array_equal(body.faces, mesh.faces)
    np.testing.assert_array_equal(body.visual.vertex_colors[:, :3], vertex_colours(mesh))
    # The egg's colour is its position.
    wanted = (mesh.vertices / np.abs(mesh.vertices).max(axis=0) + 1) / 2
    assert np.abs(vertex_colours(mesh) / 255 - wanted).max() < 0.05


def test_stl_stands_upright_in_millimetres(mesh: TexturedMesh) -> None:
    body = trimesh.load(io.BytesIO(stl_bytes(mesh)), file_type="stl")
    assert body.is_volume
    size = np.ptp(mesh.vertices, axis=0)
    np.testing.assert_allclose(body.extents, size[[0, 2, 1]] / size.max() * PRINT_MM, rtol=1e-4)
    assert body.bounds[0, 2] == pytest.approx(0.0, abs=1e-4)
    np.testing.assert_allclose(body.bounds.mean(axis=0)[:2], 0.0, atol=1e-3)


def test_what_stands_along_z_stands_upright_in_every_format(
    mesh: TexturedMesh, run: Path, tmp_path: Path
) -> None:
    def lying(vectors: np.ndarray) -> np.ndarray:
        return vectors[:, [0, 2, 1]] * np.float32([1, -1, 1])

    along_z = replace(mesh, vertices=lying(mesh.vertices), normals=lying(mesh.normals))
    data = glb_bytes(along_z, unlit=False, extras={}, up="z")
    (tmp_path / "mesh.glb").write_bytes(data)
    # Its numbers stay those of its source; a viewer turns it.
    again = read_own_glb(tmp_path / "mesh.glb")
    np.testing.assert_array_equal(again.vertices, along_z.vertices)
    seen = trimesh.load(tmp_path / "mesh.glb", force="scene")
    np.testing.assert_allclose(seen.bounds, [mesh.vertices.min(0), mesh.vertices.max(0)], atol=1e-6)
    for name in ("obj", "ply", "stl", "usdz"):
        known = find_format(name)
        assert known is not None
        assert known.make(tmp_path) == known.make(run), name


def test_usdz_passes_pixars_checks_and_gives_the_mesh_back(
    mesh: TexturedMesh, tmp_path: Path
) -> None:
    path = tmp_path / "mesh.usdz"
    path.write_bytes(usdz_bytes(mesh))
    stage = Usd.Stage.Open(str(path))
    known = UsdValidation.ValidationRegistry()
    names = [validator.name for validator in known.GetAllValidatorMetadata()]
    assert len(names) > 20
    checks = UsdValidation.ValidationContext([known.GetOrLoadValidatorByName(n) for n in names])
    assert [error.GetErrorAsString() for error in checks.Validate(stage)] == []
    body = UsdGeom.Mesh(stage.GetPrimAtPath("/Object/Surface"))
    np.testing.assert_allclose(body.GetPointsAttr().Get(), mesh.vertices, atol=1e-5)
    assert list(body.GetFaceVertexIndicesAttr().Get()) == mesh.faces.reshape(-1).tolist()
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        data = path.read_bytes()
        for entry in archive.infolist():
            header = data[entry.header_offset : entry.header_offset + 30]
            extra = int.from_bytes(header[28:30], "little")
            start = entry.header_offset + 30 + len(entry.filename) + extra
            assert start % ALIGNMENT == 0
            assert entry.compress_type == zipfile.ZIP_STORED


def test_the_data_set_opens_as_it_is(run: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(io.BytesIO(dataset_bytes(run))).extractall(tmp_path)
    orbit, up = read_dataset(tmp_path, 32)
    assert orbit.num_frames == 8
    assert up == "y"


def test_the_data_set_and_the_turntable_have_the_frames_that_were_drawn_again(
    run: Path, tmp_path: Path
) -> None:
    first, again = read_orbit(run), tmp_path / "run" / REDRAWN_NAME
    again.mkdir(parents=True)
    write_orbit(again, replace(first, albedo=0.5 * first.albedo))
    write_orbit(again.parent, first)
    assert dataset_bytes(again.parent) == dataset_bytes(again) != dataset_bytes(run)
    frames, _ = turntable_frames(again.parent)
    shown = [picture_over_white(path) for path in sorted((again / "images").iterdir())]
    assert [frame.tobytes() for frame in frames] == [frame.tobytes() for frame in shown]


def test_turntables_turn_for_ever_and_show_the_mesh(run: Path) -> None:
    with Image.open(run / "preview.webp") as source:
        wanted = np.array(source.convert("RGB"), dtype=float)
    for data in (gif_bytes(run), webp_bytes(run)):
        with Image.open(io.BytesIO(data)) as image:
            assert getattr(image, "n_frames", 1) == 12
            assert image.info["loop"] == 0
            assert np.abs(np.array(image.convert("RGB"), dtype=float) - wanted).mean() < 6


def test_before_there_is_a_mesh_the_orbit_turns(run: Path, tmp_path: Path) -> None:
    (tmp_path / "images").symlink_to(run / "images")
    for data in (gif_bytes(tmp_path), webp_bytes(tmp_path)):
        with Image.open(io.BytesIO(data)) as image:
            assert getattr(image, "n_frames", 1) == 8
            assert image.width == 256


@pytest.fixture(scope="module")
def clip_run(mesh: TexturedMesh, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished video of an egg that moves: lit in the film, not in the pictures."""
    path = tmp_path_factory.mktemp("clip")
    orbit = render_mesh(mesh, orbit_cameras(8, size=32))
    with RunFolder.create(path) as folder, folder.stage("orbit") as temporary:
        write_orbit(temporary, replace(orbit, kind="clip"))
    return path


def test_a_clip_has_no_data_set_and_its_animation_is_its_film(clip_run: Path) -> None:
    assert not (clip_run / "transforms.json").exists()
    offered = [known.name for known in FORMATS if why_not(RunFolder(clip_run), known) is None]
    assert offered == ["mp4", "gif", "webp"]
    film = [np.array(picture, dtype=float) for picture in film_pictures(clip_run / "orbit.mp4")]
    for make in (gif_bytes, webp_bytes):
        with Image.open(io.BytesIO(make(clip_run))) as image:
            assert getattr(image, "n_frames", 1) == len(film) == 8
            image.seek(5)
            shown = np.array(image.convert("RGB"), dtype=float)
            assert image.info["duration"] == pytest.approx(1000 / 12, abs=4)
        errors = [np.abs(shown - frame).mean() for frame in film]
        assert min(errors) == errors[5] < 6


def test_what_a_clip_cannot_be_is_refused_with_the_reason(
    clip_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def export(name: str) -> int:
        return main(["export", str(clip_run), name, "--out", str(tmp_path / "out")])

    assert export("dataset") == 2
    assert "no orbit, and only an orbit's frames are known to show one thing" in (
        capsys.readouterr().err
    )
    assert export("stl") == 2
    assert "no mesh is made of it" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert export("gif") == 0
    assert (tmp_path / "out").read_bytes().startswith(b"GIF89a")


def test_the_same_run_makes_the_same_bytes(run: Path) -> None:
    for known in FORMATS:
        assert known.make(run) == known.make(run), known.name
        assert find_format(known.name) is known
    assert find_format("../../mesh.glb") is None


def finished(run: Path, folder: Path) -> Path:
    """Return a folder with a run's mesh and the record that it is done."""
    records = folder / ".stages"
    records.mkdir(parents=True)
    (records / "mesh.done.json").write_text('["mesh.glb"]')
    (folder / "mesh.glb").write_bytes((run / "mesh.glb").read_bytes())
    return folder


@pytest.mark.parametrize("out", [".", "..", "prints", "prints/"])
def test_into_a_folder_goes_a_file_that_is_named_after_the_run(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    out: str,
) -> None:
    finished(run, tmp_path / "here" / "mug")
    (tmp_path / "here" / "prints").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name, file in (("stl", "mug.stl"), ("obj", "mug-obj.zip")):
        assert main(["export", "mug", name, "--out", out]) == 0
        assert capsys.readouterr().out.strip() == str(Path(out) / file)
        assert (tmp_path / "here" / out / file).stat().st_size > 1000
    # From inside the run its name is not what was typed.
    monkeypatch.chdir(tmp_path / "here" / "mug")
    assert main(["export", ".", "ply", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "mug.ply").is_file()


def test_the_command_line_prints_to_the_size_that_is_asked_for(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(run, tmp_path / "run")
    out = tmp_path / "print.stl"
    command = ["export", str(tmp_path / "run"), "stl", "--out", str(out)]
    assert main([*command, "--size-mm", "42.5"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert trimesh.load(out).extents.max() == pytest.approx(42.5, rel=1e-5)
    assert main([*command, "--size-mm", "0"]) == 2
    assert "size_mm is 0.0; it must be a number from 1 to 10000" in capsys.readouterr().err
    assert main(["export", str(tmp_path), "glb"]) == 2
    assert "it has no finished mesh" in capsys.readouterr().err
