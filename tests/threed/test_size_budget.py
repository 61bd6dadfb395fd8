"""Files that stay within a limit, and what is given up for it."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.threed.egg import egg
from tests.threed.solids import Solid, ball, plain
from tests.threed.test_export import khronos
from threed.errors import ReconstructionError
from threed.export import glb_bytes
from threed.file_size import expected_bytes, faces_within
from threed.findings import is_closed
from threed.glb import Encoding, budget_of, moved, texture_kind, with_picture
from threed.mesh import MeshConfig, extract_mesh
from threed.size_budget import ENCODINGS, SMALLEST_TEXTURE, glb_within, unwrap_within
from threed.texture import unwrap
from threed.textured_mesh import TexturedMesh, read_own_glb

THREE = Path(__file__).with_name("gltf_three.mjs")


def rough(side: int) -> TexturedMesh:
    """Return an egg with the texture that packs worst."""
    noise = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return TexturedMesh(**{**vars(egg()), "texture": noise})


@pytest.mark.parametrize(
    ("max_mb", "kind", "side"),
    [(None, "PNG", 512), (1.0, "PNG", 512), (0.7, "JPEG", 512), (0.25, "WebP", 512)],
)
def test_a_file_stays_within_its_limit_and_gives_up_no_more_than_it_must(
    tmp_path: Path, max_mb: float | None, kind: str, side: int
) -> None:
    mesh, data = glb_within(rough, 512, 700, max_mb, unlit=False, extras={"seed": 7})
    path = tmp_path / "mesh.glb"
    path.write_bytes(data)
    assert max_mb is None or len(data) <= 1e6 * max_mb
    assert (texture_kind(path), len(mesh.texture)) == (kind, side)
    faults = [entry for entry in khronos(path)["issues"]["messages"] if entry["severity"] < 2]
    assert faults == []
    budget = budget_of(path)
    assert (budget and (budget.max_mb, budget.faces, budget.texture)) == (
        max_mb and (max_mb, 700, 512)
    )
    again = read_own_glb(path)
    np.testing.assert_array_equal(again.faces, mesh.faces)
    np.testing.assert_array_equal(again.vertices, mesh.vertices)


def test_where_encodings_do_not_suffice_the_texture_shrinks() -> None:
    mesh, data = glb_within(rough, 1024, 700, 0.1, unlit=True, extras={})
    assert 64 <= len(mesh.texture) < 512
    assert len(data) <= 100_000


def test_a_side_that_is_no_power_of_two_comes_down_to_the_smallest_as_well() -> None:
    """At 250 texels the egg takes 0.06 MB at best, and the smallest texture half of that."""
    mesh, data = glb_within(rough, 250, 700, 0.04, unlit=False, extras={})
    assert len(mesh.texture) == SMALLEST_TEXTURE
    assert len(data) <= 40_000
    tried = []
    with pytest.raises(ReconstructionError, match="texture of 128 x 128 pixels"):
        glb_within(
            lambda side: tried.append(side) or rough(side), 250, 700, 0.01, unlit=False, extras={}
        )
    assert tried == [250, SMALLEST_TEXTURE]


def test_a_limit_that_nothing_fits_is_refused_with_what_it_would_take() -> None:
    with pytest.raises(ReconstructionError, match=r"does not fit into 0.01 MB.*still takes 0.0"):
        glb_within(rough, 128, 700, 0.01, unlit=False, extras={})


def test_triangles_give_way_where_they_alone_would_fill_the_file() -> None:
    solid = Solid(distance=ball(0.6), colour=plain(0.5, 0.5, 0.5))
    mesh = extract_mesh(solid, MeshConfig(resolution=64, max_faces=20_000))
    cut = unwrap_within(mesh, 0.2)
    assert 0.75 * faces_within(0.2) <= len(cut.faces) <= 1.05 * faces_within(0.2)
    white = TexturedMesh(**vars(cut), texture=np.full((4, 4, 3), 255, np.uint8))
    assert is_closed(white)
    size = len(glb_bytes(white, unlit=False, extras={}))
    assert 100_000 < size < 0.85 * 200_000
    free = unwrap_within(mesh, 1.0)
    assert len(free.faces) == len(mesh.faces) == len(unwrap(mesh).faces)


def test_the_size_that_is_promised_is_about_the_size_that_comes() -> None:
    """Geometry alone, for what a texture packs to is a matter of experience."""
    solid = Solid(distance=ball(0.6), colour=plain(0.5, 0.5, 0.5))
    for max_faces in (2_000, 10_000):
        cut = unwrap(extract_mesh(solid, MeshConfig(resolution=64, max_faces=max_faces)))
        white = TexturedMesh(**vars(cut), texture=np.full((1, 1, 3), 255, np.uint8))
        size = len(glb_bytes(white, unlit=False, extras={}))
        assert size == pytest.approx(expected_bytes(len(cut.faces), 0), rel=0.12)


@pytest.mark.parametrize(
    ("encoding", "error"),
    [
        (Encoding(kind="png"), 0),
        (Encoding(kind="jpeg", quality=95), 2),
        (Encoding(kind="webp", quality=90), 3),
    ],
)
def test_flat_colours_survive_the_encodings(tmp_path: Path, encoding: Encoding, error: int) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    flat = colours.repeat(32, axis=0).repeat(32, axis=1)
    data = glb_bytes(egg(), unlit=False, extras={})
    path = tmp_path / "mesh.glb"
    path.write_bytes(with_picture(data, encoding.encode(flat), encoding.kind))
    found = read_own_glb(path).texture.astype(int)
    # In the middle of each patch; chroma is coarser than the picture in WebP.
    middle = np.abs(found - flat)[12::32, 12::32]
    assert middle.max() <= error


@pytest.mark.parametrize("encoding", ENCODINGS[:3])
def test_three_js_sees_the_mesh_where_it_stands_with_its_picture(
    tmp_path: Path, encoding: Encoding
) -> None:
    mesh, path = egg(), tmp_path / "mesh.glb"
    picture = encoding.encode(mesh.texture)
    data = glb_bytes(mesh, unlit=False, extras={})
    path.write_bytes(with_picture(data, picture, encoding.kind))
    node = shutil.which("node")
    assert node is not None, "three.js needs Node.js"
    run = subprocess.run([node, THREE, path], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, f"{run.stderr}\nrun `npm ci` in tests/ first"
    seen = json.loads(run.stdout)
    (body,) = seen["meshes"]
    assert body["triangles"] == len(mesh.faces)
    assert body["picture"] == [f"image/{encoding.kind}", len(picture)]
    assert (body["material"], body["colourSpace"]) == ("MeshStandardMaterial", "srgb")
    np.testing.assert_allclose(seen["low"], mesh.vertices.min(axis=0), atol=1e-6)
    np.testing.assert_allclose(seen["high"], mesh.vertices.max(axis=0), atol=1e-6)
    # glTF, as three.js, counts v from the picture's top.
    uv = np.array(body["uv"]).reshape(-1, 2)
    np.testing.assert_allclose(uv, mesh.uv[:4] * [1, -1] + [0, 1], atol=1e-6)


def test_moving_a_mesh_leaves_its_picture_as_it_was(tmp_path: Path) -> None:
    encoding = Encoding(kind="jpeg", quality=95)
    mesh = egg()
    data = glb_bytes(mesh, unlit=False, extras={"seed": 1})
    data = with_picture(data, encoding.encode(mesh.texture), "jpeg")
    there, back = tmp_path / "there.glb", tmp_path / "back.glb"
    back.write_bytes(data)
    there.write_bytes(moved(data, np.array([1.0, 2.0, 3.0]), {"origin": "feet"}))
    assert [entry for entry in khronos(there)["issues"]["messages"] if entry["severity"] < 2] == []
    before, after = read_own_glb(back), read_own_glb(there)
    np.testing.assert_array_equal(after.texture, before.texture)
    np.testing.assert_allclose(after.vertices, before.vertices + [1, 2, 3], atol=1e-6)
