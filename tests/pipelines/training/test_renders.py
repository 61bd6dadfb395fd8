"""Laws of the training renders."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from safetensors.torch import save_file
from torch.testing import assert_close

from pipelines.training.deform import deformed
from pipelines.training.meshes import CaptionRow, read_caption_rows, read_glb, write_packed
from pipelines.training.orbits import RenderedFolder, Shard, network_frames, open_orbits
from pipelines.training.renders import (
    RenderConfig,
    object_generator,
    random_orbit,
    render_dataset,
    render_mesh,
    render_orbits,
)
from threed.cameras import camera_angles, camera_rays, orbit_cameras


def write_folder(folder: Path) -> None:
    """Write a captioned folder of a linear-grey box and a red ball."""
    box = trimesh.creation.box((1.0, 0.5, 0.8))
    box.visual = trimesh.visual.TextureVisuals(
        material=trimesh.visual.material.PBRMaterial(baseColorFactor=[0.2158, 0.2158, 0.2158, 1.0])
    )
    ball = trimesh.creation.icosphere(subdivisions=3, radius=2.0)
    ball.visual = trimesh.visual.TextureVisuals(
        material=trimesh.visual.material.PBRMaterial(baseColorFactor=[1.0, 0.0, 0.0, 1.0])
    )
    box.export(folder / "box.glb")
    ball.export(folder / "ball.glb")
    (folder / "captions.csv").write_text("file,name\nbox.glb,crate\nball.glb,ball red\n")


def test_a_balls_normals_point_away_from_its_centre_and_its_colour_is_srgb(tmp_path: Path) -> None:
    write_folder(tmp_path)
    ball = read_glb(tmp_path / "ball.glb")
    assert_close(ball.vertices.norm(dim=-1).max(), torch.tensor(1.0))
    cameras = orbit_cameras(3, size=48, elevation=0.4)
    frames = network_frames(render_mesh(ball, cameras, 2))
    solid = frames[:, 3] > 0.99
    origins, directions = camera_rays(cameras)
    along = (origins * directions).sum(dim=-1)
    root = (along**2 - (origins**2).sum(dim=-1) + 1).clamp(min=0).sqrt()
    wanted = origins + (-along - root)[..., None] * directions
    found = frames[:, 4:].permute(0, 2, 3, 1)
    # Facets of the icosphere and the pixels' averaging tilt a normal by a few degrees.
    inner = solid & (root > 0.3)
    assert (found - wanted)[inner].norm(dim=-1).mean() < 0.1
    assert_close(frames[:, 0][solid], torch.ones_like(frames[:, 0][solid]))
    box = network_frames(render_mesh(read_glb(tmp_path / "box.glb"), cameras, 2))
    grey = (box[:, 0][box[:, 3] > 0.99] + 1) / 2
    # Linear 0.2158 is sRGB 0.502; trimesh keeps factors in eight bits.
    assert_close(grey, torch.full_like(grey, 0.502), atol=0.012, rtol=0)


def test_parts_keep_their_own_textures_whatever_the_sizes(tmp_path: Path) -> None:
    """Two quads with textures of different sizes and a plain one, each in its own colour."""
    scene = trimesh.Scene()
    for place, (colour, side) in enumerate((("red", 4), ("blue", 16), (None, 0))):
        quad = trimesh.Trimesh(
            np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]) + [1.5 * place, 0, 0],
            [[0, 1, 2], [0, 2, 3]],
        )
        material = trimesh.visual.material.PBRMaterial(
            baseColorTexture=Image.new("RGB", (side, side), colour) if colour else None,
            baseColorFactor=[255, 255, 255, 255] if colour else [0, 255, 0, 255],
        )
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
        quad.visual = trimesh.visual.TextureVisuals(uv=corners, material=material)
        scene.add_geometry(quad)
    scene.export(tmp_path / "quads.glb")
    frame = network_frames(
        render_mesh(read_glb(tmp_path / "quads.glb"), orbit_cameras(1, size=48), 1)
    )[0]
    colours = frame[:3, frame[3] == 1].T.unique(dim=0)
    assert_close(colours, torch.tensor([[-1.0, -1, 1], [-1, 1, -1], [1, -1, -1]]))


def test_an_empty_pixel_is_empty_in_every_channel(tmp_path: Path) -> None:
    write_folder(tmp_path)
    frames = network_frames(
        render_mesh(read_glb(tmp_path / "box.glb"), orbit_cameras(2, size=32), 2)
    )
    empty = frames[:, 3] == -1
    assert bool(empty.any())
    assert_close(frames[:, :3].permute(0, 2, 3, 1)[empty].unique(), torch.tensor([-1.0]))
    assert frames[:, 4:].permute(0, 2, 3, 1)[empty].abs().max() < 0.005


def test_random_orbits_stay_between_their_elevations_and_turn_once() -> None:
    generator = torch.Generator().manual_seed(0)
    config = RenderConfig(size=16)
    for _ in range(50):
        azimuth, elevation, _ = camera_angles(random_orbit(config, generator))
        assert float(torch.rad2deg(elevation).min()) >= -30.01
        assert float(torch.rad2deg(elevation).max()) <= 60.01
        turn = torch.rad2deg((azimuth - azimuth.roll(1)) % (2 * np.pi))
        assert_close(turn, torch.full_like(turn, 15.0), atol=0.01, rtol=0)


def shards(folder: Path) -> list[Shard]:
    return list(RenderedFolder(folder=folder).shards())


def test_a_dataset_resumes_and_an_objects_orbits_do_not_depend_on_its_company(
    tmp_path: Path,
) -> None:
    write_folder(tmp_path)
    rows = {row.id: row for row in read_caption_rows(tmp_path)}
    config = RenderConfig(size=16, num_frames=4, num_orbits=2, shard_objects=1)

    def meshes() -> list[tuple[str, object]]:
        return [(id_, read_glb(tmp_path / row.file)) for id_, row in sorted(rows.items())]

    whole, part, alone = tmp_path / "whole", tmp_path / "part", tmp_path / "alone"
    assert list(render_dataset(iter(meshes()), rows, whole, config, seed=0)) == [1, 2]
    steps = render_dataset(iter(meshes()), rows, part, config, seed=0)
    next(steps)
    next(steps)
    steps.close()
    list(render_dataset(iter(meshes()), rows, part, config, seed=0))
    only = {"box": rows["box"]}
    list(render_dataset(iter(meshes()), only, alone, config, seed=0))
    assert [row.name for row in RenderedFolder(folder=whole).listing()] == ["ball red", "crate"]
    first, second = zip(shards(whole), shards(part), strict=True)
    assert torch.equal(first[0].frames, first[1].frames)
    assert torch.equal(second[0].frames, second[1].frames)
    assert torch.equal(shards(alone)[0].frames, shards(whole)[1].frames)


def test_packed_meshes_are_drawn_as_the_folder_of_their_renders(tmp_path: Path) -> None:
    write_folder(tmp_path)
    config = RenderConfig(size=16, num_frames=4, num_orbits=2)
    rows = sorted(read_caption_rows(tmp_path), key=lambda row: row.id)
    meshes = [read_glb(tmp_path / row.file) for row in rows]
    by_id = {row.id: row for row in rows}
    pairs = zip(by_id, meshes, strict=True)
    list(render_dataset(iter(pairs), by_id, tmp_path / "orbits", config, seed=0))
    nameless = [rows[0], replace(rows[1], name="")]
    write_packed(nameless, meshes, tmp_path / "meshes.safetensors")
    packed = open_orbits(tmp_path / "meshes.safetensors", config)
    assert packed.listing() == nameless
    (wanted,) = shards(tmp_path / "orbits")
    for field in ("frames", "c2w", "fov_y", "object"):
        found = torch.cat([getattr(shard, field) for shard in packed.shards()])
        assert torch.equal(found, getattr(wanted, field)), field
    named = open_orbits(tmp_path / "meshes.safetensors", config, named=True)
    assert [shard.object.tolist() for shard in named.shards()] == [[0, 0]]
    assert named.listing() == rows[:1]
    same = open_orbits(tmp_path / "meshes.safetensors", config, names={rows[0].name})
    assert same.listing() == rows[:1]
    few = open_orbits(tmp_path / "meshes.safetensors", config, limit=1)
    assert len(list(few.shards())) == 1


def test_deformed_copies_have_no_name_and_do_not_depend_on_their_company(
    tmp_path: Path,
) -> None:
    write_folder(tmp_path)
    rows = sorted(read_caption_rows(tmp_path), key=lambda row: row.id)
    meshes = [read_glb(tmp_path / row.file) for row in rows]
    write_packed(rows, meshes, tmp_path / "meshes.safetensors")
    config = RenderConfig(size=32, num_frames=4, num_orbits=3, num_deformed=2)
    orbits = open_orbits(tmp_path / "meshes.safetensors", config)
    assert [row.name for row in orbits.listing()] == ["ball red", "", "", "crate", "", ""]
    found = list(orbits.shards())
    assert [shard.object.unique().tolist() for shard in found] == [[i] for i in range(6)]
    assert [len(shard.frames) for shard in found] == [3, 2, 2, 3, 2, 2]
    alone = open_orbits(tmp_path / "meshes.safetensors", config, names={"crate"})
    for shard, other in zip(found[3:], alone.shards(), strict=True):
        assert torch.equal(shard.frames, other.frames)
    plain = open_orbits(tmp_path / "meshes.safetensors", replace(config, num_deformed=0))
    for shard, other in zip(found[::3], plain.shards(), strict=True):
        assert torch.equal(shard.frames, other.frames)


def test_a_copys_shape_is_not_drawn_by_the_numbers_of_its_orbit(tmp_path: Path) -> None:
    write_folder(tmp_path)
    box = read_glb(tmp_path / "box.glb")
    write_packed([CaptionRow(id="box", file="", name="", kit="")], [box], tmp_path / "meshes")
    config = RenderConfig(size=32, num_frames=4, num_orbits=2, num_deformed=1)
    _, found = open_orbits(tmp_path / "meshes", config).shards()
    same = deformed(box, object_generator("box~0", 0))
    tied = render_orbits("box~0", same, replace(config, num_deformed=0), seed=0)
    assert torch.equal(found.c2w, tied.c2w)
    assert not torch.equal(found.frames, tied.frames)


def test_deformed_meshes_fill_the_sphere_stretched_and_tapered_within_bounds(
    tmp_path: Path,
) -> None:
    write_folder(tmp_path)
    box = read_glb(tmp_path / {row.id: row.file for row in read_caption_rows(tmp_path)}["box"])
    # Aside of the middle, as no mesh is that was read.
    aside = replace(box, vertices=0.5 * box.vertices + 0.2)
    shapes, tapers = [], []
    for seed in range(20):
        other = deformed(aside, torch.Generator().manual_seed(seed))
        points = other.vertices
        assert torch.equal(other.faces, box.faces)
        assert_close(float(points.norm(dim=1).max()), 1.0)
        assert_close(points.amin(dim=0), -points.amax(dim=0))
        top, bottom = points[:, 1] == points[:, 1].max(), points[:, 1] == points[:, 1].min()
        widths = [points[rows][:, [0, 2]].std(dim=0).norm() for rows in (top, bottom)]
        tapers.append(float(widths[0] / widths[1]))
        shapes.append(float(points[:, 1].max() / points[:, [0, 2]].norm(dim=1).max()))
    assert max(tapers) > 1.2 and min(tapers) < 0.8
    assert min(tapers) >= 0.6 / 1.4 and max(tapers) <= 1.4 / 0.6
    assert max(shapes) > 1.5 * min(shapes)


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    config = RenderConfig(size=16)
    with pytest.raises(ValueError, match="neither a folder of orbits nor a file"):
        open_orbits(tmp_path / "missing", config)
    with pytest.raises(ValueError, match=r"objects\.json is missing"):
        open_orbits(tmp_path, config).listing()
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="holds no packed meshes"):
        open_orbits(tmp_path / "other.safetensors", config)


def test_a_folder_without_captions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"captions\.csv"):
        read_caption_rows(tmp_path)
    (tmp_path / "captions.csv").write_text("path,title\na,b\n")
    with pytest.raises(ValueError, match="file and name"):
        read_caption_rows(tmp_path)
    assert CaptionRow(id="a", file="a.glb", name="a", kit="").kit == ""
