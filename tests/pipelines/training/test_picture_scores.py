"""Laws of the scores of orbits from a picture: the nearest known thing is found, and its side."""

from pathlib import Path

import trimesh
from torch.testing import assert_close

from pipelines.training.meshes import CaptionRow, PackedMesh, read_glb, write_packed
from pipelines.training.orbits import PackedMeshes, network_frames
from pipelines.training.picture_scores import NearestKnown
from pipelines.training.renders import RenderConfig

CONFIG = RenderConfig(size=32, num_orbits=1)


def lopsided(folder: Path) -> PackedMesh:
    """Return a slab with a tower on one corner: no two of its sides look alike."""
    tower = trimesh.creation.box((0.3, 0.8, 0.3))
    tower.apply_translation((0.4, 0.4, 0.25))
    trimesh.util.concatenate([trimesh.creation.box((1.2, 0.3, 0.9)), tower]).export(
        folder / "slab.glb"
    )
    return read_glb(folder / "slab.glb")


def test_a_pictures_nearest_known_thing_is_shown_from_the_side_that_the_picture_shows(
    tmp_path: Path,
) -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    ball.export(tmp_path / "ball.glb")
    rows = [CaptionRow(id=id_, file=f"{id_}.glb", name=id_, kit="") for id_ in ("ball", "slab")]
    meshes = [read_glb(tmp_path / "ball.glb"), lopsided(tmp_path)]
    write_packed(rows, meshes, tmp_path / "meshes.safetensors")
    known = PackedMeshes(path=tmp_path / "meshes.safetensors", config=CONFIG)
    ball_views, slab_views = (network_frames(shard.frames[0]) for shard in known.shards())
    nearest = NearestKnown(tmp_path / "meshes.safetensors", CONFIG)
    # A plain ball looks alike from all sides, but for its facets.
    found = nearest.views(ball_views[6])
    assert float((found - ball_views)[:, :4].abs().mean()) < 0.05
    for side in range(4):
        found = nearest.views(slab_views[6 * side])
        assert_close(found, slab_views.roll(-6 * side, dims=0), atol=0, rtol=0)
