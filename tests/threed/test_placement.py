"""A mesh that was moved to the origin, when its run goes on or its report is made again."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.threed.egg import egg
from tests.threed.solids import Solid, box, by_side, photograph
from threed.__main__ import _asked, _write_source, build_parser, main
from threed.export import glb_bytes
from threed.glb import moved, put_together, taken_apart
from threed.hull import HullConfig, hull_field
from threed.orbit import OrbitVideo
from threed.orbit_files import read_orbit, write_orbit
from threed.placement import origin_of, shift_to
from threed.report import Report
from threed.run_folder import RunFolder
from threed.textured_mesh import read_own_glb

CUBE = Solid(distance=box(0.45), colour=by_side)
PICTURES = ("worst_view.png", "best_view.png")


def prepared(folder: Path, orbit: OrbitVideo) -> list[str]:
    """Return a command whose run has come as far as its field, which is but a hull."""
    source, out = folder / "source", folder / "out"
    source.mkdir()
    write_orbit(source, orbit)
    argv = [str(source / "orbit.npz"), "--out", str(out), "--origin", "feet"]
    argv += ["--faces", "500", "--texture", "128"]
    arguments = build_parser().parse_args(argv)
    with RunFolder.create(out) as run:
        _write_source(arguments, _asked(arguments), run)
        field = hull_field(read_orbit(out), HullConfig(), torch.Generator().manual_seed(0))
        with run.stage("field") as temporary:
            field.save(temporary / "field.safetensors")
    return argv


def report_in(folder: Path) -> Report:
    """Return a run's report without its times."""
    return replace(Report.from_json((folder / "report.json").read_text()), seconds={})


@pytest.mark.slow
def test_a_report_made_again_compares_the_mesh_where_its_cameras_saw_it(tmp_path: Path) -> None:
    """And the mesh, placed again, is the same to the bit."""
    argv, out = prepared(tmp_path, photograph(CUBE, num_frames=6, size=32)), tmp_path / "out"
    assert main(argv) == 0
    mesh, report = (out / "mesh.glb").read_bytes(), report_in(out)
    pictures = [(out / name).read_bytes() for name in PICTURES]
    low = read_own_glb(out / "mesh.glb").vertices[:, 1].min()
    assert low == pytest.approx(0, abs=1e-6)
    for lost in ("worst_view.png", None):
        if lost is not None:
            (out / lost).unlink()
        assert main(argv) == 0
        assert report_in(out) == report, lost
        assert [(out / name).read_bytes() for name in PICTURES] == pictures, lost
        assert (out / "mesh.glb").read_bytes() == mesh, lost
    # A run that was stopped before its mesh was moved keeps it.
    (out / "report.json").unlink()
    tree, views = taken_apart(mesh)
    tree["asset"]["extras"] = {"kept": True}
    (out / "mesh.glb").write_bytes(put_together(tree, views))
    assert main(argv) == 0
    tree, _ = taken_apart((out / "mesh.glb").read_bytes())
    assert tree["asset"]["extras"] == {"kept": True, "origin": "feet"}


def test_what_stands_at_its_origin_is_told_from_what_does_not(tmp_path: Path) -> None:
    path = tmp_path / "mesh.glb"
    path.write_bytes(glb_bytes(egg(), unlit=False, extras={"seed": 3}))
    assert origin_of(path) is None
    shift = shift_to(read_own_glb(path).vertices, "centre", "y")
    path.write_bytes(moved(path.read_bytes(), shift, {"origin": "centre"}))
    assert origin_of(path) == "centre"
    # Whoever reads the mesh says what is wrong with it.
    path.write_bytes(path.read_bytes()[:100])
    assert origin_of(path) is None
    assert origin_of(tmp_path / "none.glb") is None
