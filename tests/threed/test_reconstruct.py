import json
import shutil
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.threed.solids import SIDES, Solid, box, by_side, photograph, photograph_from
from threed.distillation import DistillationConfig
from threed.errors import ReconstructionError, RequestError
from threed.findings import is_closed
from threed.fit import FitConfig
from threed.orbit import OrbitVideo
from threed.progress import STAGES, Progress
from threed.reconstruct import ReconstructionSettings, reconstruct
from threed.report import Report
from threed.run_folder import RunFolder
from threed.textured_mesh import read_own_glb

SETTINGS = ReconstructionSettings(
    max_faces=2000,
    texture_size=128,
    fit=FitConfig(num_steps=8, rays_a_step=1024),
    provenance={"prompt": "a cube", "seed": 3},
)
CUBE = Solid(distance=box(0.45), colour=by_side)


@pytest.fixture(scope="module")
def orbit() -> OrbitVideo:
    return photograph(CUBE, num_frames=8, size=48)


def begin(
    orbit: OrbitVideo, folder: RunFolder, settings: ReconstructionSettings = SETTINGS
) -> Generator[Progress, None, Report]:
    return reconstruct(orbit, folder, settings, None, torch.Generator().manual_seed(0))


def finish(steps: Generator[Progress, None, Report]) -> tuple[list[Progress], Report]:
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return seen, end.value


def hidden_leftovers(folder: RunFolder) -> list[str]:
    return [path.name for path in folder.path.rglob("*") if path.name.endswith((".tmp", ".part"))]


def copied(folder: RunFolder, place: Path, discard: str) -> RunFolder:
    """Return a copy of a run without a stage and those after it, as a killed run leaves it."""
    shutil.copytree(folder.path, place / "run")
    copy = RunFolder.create(place / "run")
    copy.discard(discard)
    return copy


@pytest.fixture(scope="module")
def whole_run(
    orbit: OrbitVideo, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunFolder, list[Progress], Report]:
    folder = RunFolder.create(tmp_path_factory.mktemp("run"))
    return folder, *finish(begin(orbit, folder))


def test_chain_leaves_every_file_and_a_true_report(
    whole_run: tuple[RunFolder, list[Progress], Report],
) -> None:
    folder, seen, report = whole_run
    assert all(folder.done(stage) for stage in ("field", "mesh", "report"))
    order = [STAGES.index(progress.stage) for progress in seen]
    assert order == sorted(order)
    assert {progress.stage for progress in seen} == {"field", "mesh", "texture", "report"}
    assert any(progress.preview is not None for progress in seen)
    assert Report.from_json(folder.file("report.json").read_text()) == report

    mesh = read_own_glb(folder.file("mesh.glb"))
    assert is_closed(mesh)
    assert report.watertight
    assert 500 <= report.num_faces == len(mesh.faces) <= 2000
    assert report.texture_size == 128
    assert report.glb_bytes == folder.file("mesh.glb").stat().st_size
    assert report.psnr[report.worst_view] == min(report.psnr)
    assert set(report.seconds) == {"field", "mesh", "texture", "report"}
    assert report.mesh_psnr > 18


def test_mesh_stands_where_the_object_stood(
    whole_run: tuple[RunFolder, list[Progress], Report],
) -> None:
    mesh = read_own_glb(whole_run[0].file("mesh.glb"))
    bounds = np.stack([mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)])
    # Eight small views and a short fit leave a hull that is a pixel or two too wide.
    np.testing.assert_allclose(bounds.mean(axis=0)[[0, 2]], 0, atol=0.03)
    np.testing.assert_allclose(np.diff(bounds, axis=0)[0, [0, 2]], 0.9, atol=0.2)
    uv = mesh.uv[mesh.faces].mean(axis=1)
    texel = np.clip((uv * [128, -128] + [0, 128]).astype(int), 0, 127)
    colours = mesh.texture[texel[:, 1], texel[:, 0]] / 255
    centre = mesh.vertices[mesh.faces].mean(axis=1)
    front = (centre[:, 2] > 0.38) & (np.abs(centre[:, :2]).max(axis=1) < 0.25)
    assert front.sum() > 10
    np.testing.assert_allclose(np.median(colours[front], axis=0), [0.1, 0.2, 0.9], atol=0.03)


def underside_colour(folder: RunFolder) -> np.ndarray:
    """Return the median colour of what looks down, where a cube's side is."""
    mesh = read_own_glb(folder.file("mesh.glb"))
    size = len(mesh.texture)
    uv = mesh.uv[mesh.faces].mean(axis=1)
    texel = np.clip((uv * [size, -size] + [0, size]).astype(int), 0, size - 1)
    centre = mesh.vertices[mesh.faces].mean(axis=1)
    below = (centre[:, 1] < -0.38) & (np.abs(centre[:, [0, 2]]).max(axis=1) < 0.25)
    assert below.sum() > 10
    return np.median(mesh.texture[texel[:, 1], texel[:, 0]][below] / 255, axis=0)


def test_what_a_model_taught_of_the_underside_comes_to_the_texture(
    orbit: OrbitVideo, whole_run: tuple[RunFolder, list[Progress], Report], tmp_path: Path
) -> None:
    folder = RunFolder.create(tmp_path / "run")

    def knows_the_cube(clip: OrbitVideo, sigma: float, chance: torch.Generator) -> OrbitVideo:
        return photograph_from(CUBE, clip.cameras)

    settings = replace(SETTINGS, distillation=DistillationConfig(steps_a_round=64))
    finish(reconstruct(orbit, folder, settings, knows_the_cube, torch.Generator().manual_seed(0)))
    truth = SIDES[1, 1].numpy()
    taught, untaught = underside_colour(folder), underside_colour(whole_run[0])
    assert np.abs(untaught - truth).max() > 0.2
    assert np.abs(taught - truth).max() < 0.1
    # A run that was stopped after the field still knows what was taught.
    (tmp_path / "later").mkdir()
    later = copied(folder, tmp_path / "later", discard="mesh")
    finish(reconstruct(orbit, later, settings, knows_the_cube, torch.Generator()))
    assert later.file("mesh.glb").read_bytes() == folder.file("mesh.glb").read_bytes()


def test_finished_run_is_not_run_again(
    whole_run: tuple[RunFolder, list[Progress], Report], orbit: OrbitVideo
) -> None:
    folder, _, report = whole_run
    seen, again = finish(begin(orbit, RunFolder(folder.path)))
    assert seen == []
    assert again == report


def test_interrupted_run_goes_on_from_its_last_whole_stage(
    whole_run: tuple[RunFolder, list[Progress], Report], orbit: OrbitVideo, tmp_path: Path
) -> None:
    before = whole_run[0].file("mesh.glb").read_bytes()
    report = whole_run[2]
    folder = copied(whole_run[0], tmp_path, "mesh")
    seen, again = finish(begin(orbit, folder))
    assert {progress.stage for progress in seen} == {"mesh", "texture", "report"}
    assert folder.file("mesh.glb").read_bytes() == before
    assert again.psnr == report.psnr


def test_a_mesh_that_was_taken_away_is_made_again(
    orbit: OrbitVideo, whole_run: tuple[RunFolder, list[Progress], Report], tmp_path: Path
) -> None:
    shutil.copytree(whole_run[0].path, tmp_path / "run")
    folder = RunFolder.create(tmp_path / "run")
    folder.file("mesh.glb").unlink()
    finish(begin(orbit, folder))
    assert folder.file("mesh.glb").read_bytes() == whole_run[0].file("mesh.glb").read_bytes()
    assert folder.done("report")


@pytest.mark.parametrize("stage", ["field", "mesh", "texture"])
def test_closing_the_generator_leaves_only_whole_stages(
    whole_run: tuple[RunFolder, list[Progress], Report],
    orbit: OrbitVideo,
    tmp_path: Path,
    stage: str,
) -> None:
    folder = copied(whole_run[0], tmp_path, "field" if stage == "field" else "mesh")
    steps = begin(orbit, folder)
    while next(steps).stage != stage:
        pass
    steps.close()
    assert hidden_leftovers(folder) == []
    assert folder.done("field") is (stage != "field")
    assert not folder.done("mesh")
    assert not folder.file("mesh.glb").exists()


def test_clip_is_declined_before_any_work(orbit: OrbitVideo, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    with pytest.raises(RequestError, match="'clip'"):
        next(begin(replace(orbit, kind="clip"), folder))
    assert not folder.done("field")


def test_empty_orbit_ends_in_words_on_what_to_try(orbit: OrbitVideo, tmp_path: Path) -> None:
    empty = replace(
        orbit,
        albedo=torch.zeros_like(orbit.albedo),
        alpha=torch.zeros_like(orbit.alpha),
        normals=None,
    )
    folder = RunFolder.create(tmp_path / "run")
    with pytest.raises(ReconstructionError):
        finish(begin(empty, folder))
    assert hidden_leftovers(folder) == []
    assert not folder.done("mesh")


def test_filmed_light_is_marked_in_file_and_report(
    whole_run: tuple[RunFolder, list[Progress], Report], orbit: OrbitVideo, tmp_path: Path
) -> None:
    folder = copied(whole_run[0], tmp_path, "mesh")
    _, report = finish(begin(replace(orbit, normals=None), folder))
    assert report.light_baked
    data = folder.file("mesh.glb").read_bytes()
    tree = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    assert tree["extensionsUsed"] == ["KHR_materials_unlit"]
    assert tree["asset"]["extras"] == SETTINGS.provenance
