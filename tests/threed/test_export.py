import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import trimesh

from tests.threed.solids import Solid, ball, box, by_side, photograph, plain
from threed.export import export_glb
from threed.mesh import MeshConfig, extract_mesh
from threed.texture import bake, unwrap
from threed.textured_mesh import TexturedMesh

VALIDATOR = Path(__file__).with_name("gltf_validate.mjs")
PROVENANCE = {"prompt": "a wooden \u201cchair\u201d", "seed": 7, "model": "embedded"}


@pytest.fixture(scope="module")
def cube() -> TexturedMesh:
    solid = Solid(distance=box(0.45), colour=by_side)
    mesh = extract_mesh(solid, MeshConfig(resolution=48, max_faces=2000))
    return bake(unwrap(mesh), solid, photograph(solid, num_frames=8), 128)


def tree_of(path: Path) -> dict:
    data = path.read_bytes()
    length = int.from_bytes(data[12:16], "little")
    return json.loads(data[20 : 20 + length])


def load_glb(path: Path) -> TexturedMesh:
    """Return the one textured mesh of a GLB, as a foreign library reads it."""
    (body,) = trimesh.load_scene(path, file_type="glb", process=False).geometry.values()
    return TexturedMesh(
        vertices=np.asarray(body.vertices, dtype=np.float32),
        normals=np.asarray(body.vertex_normals, dtype=np.float32),
        uv=np.asarray(body.visual.uv, dtype=np.float32),
        faces=np.asarray(body.faces, dtype=np.int64),
        texture=np.array(body.visual.material.baseColorTexture.convert("RGB")),
    )


def khronos(path: Path) -> dict:
    node = shutil.which("node")
    assert node is not None, "the glTF validator needs Node.js"
    run = subprocess.run([node, VALIDATOR, path], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, f"{run.stderr}\nrun `npm ci` in tests/ first"
    return json.loads(run.stdout)


@pytest.mark.parametrize("unlit", [False, True])
def test_file_has_no_fault_that_khronos_knows(
    cube: TexturedMesh, tmp_path: Path, unlit: bool
) -> None:
    export_glb(cube, tmp_path / "mesh.glb", unlit=unlit, extras=PROVENANCE)
    found = khronos(tmp_path / "mesh.glb")
    faults = [entry for entry in found["issues"]["messages"] if entry["severity"] < 2]
    assert faults == []
    assert found["info"]["totalTriangleCount"] == len(cube.faces)
    assert found["info"]["materialCount"] == found["info"]["drawCallCount"] == 1


def test_validator_sees_a_broken_file(cube: TexturedMesh, tmp_path: Path) -> None:
    path = tmp_path / "mesh.glb"
    export_glb(cube, path, unlit=False, extras={})
    path.write_bytes(path.read_bytes().replace(b'"NORMAL":3', b'"NORMAL":9'))
    assert khronos(path)["issues"]["numErrors"] > 0


def test_file_gives_back_the_mesh_bit_for_bit(cube: TexturedMesh, tmp_path: Path) -> None:
    export_glb(cube, tmp_path / "mesh.glb", unlit=False, extras={})
    again = load_glb(tmp_path / "mesh.glb")
    np.testing.assert_array_equal(again.vertices, cube.vertices)
    np.testing.assert_array_equal(again.faces, cube.faces)
    np.testing.assert_array_equal(again.texture, cube.texture)
    np.testing.assert_allclose(again.uv, cube.uv, atol=1e-6)
    np.testing.assert_allclose(again.normals, cube.normals, atol=1e-6)


def test_front_faces_plus_z_and_up_is_plus_y(cube: TexturedMesh, tmp_path: Path) -> None:
    """A foreign reader finds the colour of the cube's +z side at +z, and so on."""
    export_glb(cube, tmp_path / "mesh.glb", unlit=False, extras={})
    body = trimesh.load(tmp_path / "mesh.glb", force="mesh", process=False)
    colours = body.visual.to_color().vertex_colors[:, :3] / 255
    for axis, wanted in ((2, (0.1, 0.2, 0.9)), (0, (0.9, 0.1, 0.1)), (1, (0.2, 0.9, 0.2))):
        others = np.delete(np.abs(body.vertices), axis, axis=1).max(axis=1)
        side = (body.vertices[:, axis] > 0.43) & (others < 0.3)
        assert side.sum() > 20
        np.testing.assert_allclose(np.median(colours[side], axis=0), wanted, atol=0.01)


@pytest.mark.parametrize("unlit", [False, True])
def test_material_is_one_opaque_dull_one_sided_picture(
    cube: TexturedMesh, tmp_path: Path, unlit: bool
) -> None:
    export_glb(cube, tmp_path / "mesh.glb", unlit=unlit, extras=PROVENANCE)
    tree = tree_of(tmp_path / "mesh.glb")
    (material,) = tree["materials"]
    assert material["pbrMetallicRoughness"]["metallicFactor"] == 0
    assert material["pbrMetallicRoughness"]["roughnessFactor"] == 1
    assert "baseColorTexture" in material["pbrMetallicRoughness"]
    assert not material.get("doubleSided", False)
    assert ("KHR_materials_unlit" in tree.get("extensionsUsed", [])) is unlit
    assert ("KHR_materials_unlit" in material.get("extensions", {})) is unlit
    assert tree["asset"]["extras"] == PROVENANCE


def test_failed_write_leaves_the_old_file_and_nothing_else(
    cube: TexturedMesh, tmp_path: Path
) -> None:
    path = tmp_path / "mesh.glb"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        export_glb(cube, path, unlit=False, extras={"prompt": object()})
    assert [entry.name for entry in tmp_path.iterdir()] == ["mesh.glb"]
    assert path.read_bytes() == b"old"


def test_one_colour_stays_the_same_number_in_the_file(tmp_path: Path) -> None:
    """The texture is sRGB already: nothing encodes or decodes it a second time."""
    solid = Solid(distance=ball(0.5), colour=plain(0.5, 0.25, 0.75))
    mesh = extract_mesh(solid, MeshConfig(resolution=32, max_faces=1000))
    export_glb(
        bake(unwrap(mesh), solid, photograph(solid, num_frames=6), 64),
        tmp_path / "mesh.glb",
        unlit=False,
        extras={},
    )
    texture = load_glb(tmp_path / "mesh.glb").texture.astype(float)
    assert np.abs(texture - [127.5, 63.75, 191.25]).max() <= 2
