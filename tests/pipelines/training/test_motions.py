"""Laws of the clips in which a thing moves, or the camera otherwise than around it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from pipelines.motions import MOTIONS, find_motion
from pipelines.training.bank import LatentBank, build_bank
from pipelines.training.clips import ClipConfig, draw_batch
from pipelines.training.meshes import CaptionRow, PackedMesh, write_packed
from pipelines.training.motions import (
    MOVES,
    TURN,
    MovingClip,
    as_seen_at_rest,
    motion_of,
    place,
    random_clip,
    random_path,
)
from pipelines.training.orbits import PackedMeshes
from pipelines.training.renders import RenderConfig, render_mesh, render_orbits
from pipelines.video.autoencoder import Autoencoder, AutoencoderConfig
from pipelines.video.conditioning import PICTURE_MASK
from pipelines.video.text import TextEncoder
from tests.pipelines.training.small_bank import CLIPS, make_bank
from threed.cameras import Cameras, camera_angles, orbit_cameras

FRAMES = 8


def wedge() -> PackedMesh:
    """Return a thing that looks different from every side."""
    vertices = torch.tensor(
        [[-0.5, -0.6, -0.3], [0.7, -0.6, -0.2], [0.1, -0.6, 0.7], [0.0, 0.8, 0.1]]
    )
    return PackedMesh(
        vertices=vertices,
        faces=torch.tensor([[0, 1, 2], [0, 1, 3], [1, 2, 3], [2, 0, 3]], dtype=torch.int32),
        colours=torch.tensor(
            [[200, 20, 20], [20, 200, 20], [20, 20, 200], [200, 200, 20]], dtype=torch.uint8
        ),
        uv=None,
        textures=None,
        texture_index=None,
    )


@pytest.mark.parametrize("move", MOVES[2:])
def test_cameras_about_a_thing_at_rest_see_what_the_film_sees_of_the_moving_one(move: str) -> None:
    mesh, generator = wedge(), torch.Generator().manual_seed(3)
    low = float(mesh.vertices[:, 1].min())
    cameras = random_path(FRAMES, 48, generator)
    clip = MovingClip(move=MOVES.index(move), cameras=cameras, placement=place(move, FRAMES, low))
    drawn = render_mesh(mesh, as_seen_at_rest(clip), 1, clip.placement.rotation)
    placed = clip.placement
    for frame in range(FRAMES):
        there = placed.scale[frame] * mesh.vertices @ placed.rotation[frame].T
        moved = replace(mesh, vertices=there + placed.shift[frame])
        truth = render_mesh(moved, cameras[[frame]], 1)[0]
        # An outline's pixel may fall to either side by rounding.
        differs = (drawn[frame].int() - truth.int()).abs().amax(dim=-1) > 2
        assert float(differs.float().mean()) < 0.004, frame


def test_every_motion_moves_and_a_grown_thing_stands_where_it_stood() -> None:
    for motion in MOTIONS:
        placed = place(motion.name, 24, -0.6)
        changed = (placed.rotation - placed.rotation[:1]).abs().amax() + (
            placed.shift - placed.shift[:1]
        ).abs().amax()
        assert float(changed) > 0.05, motion.name
        assert_close(
            placed.rotation @ placed.rotation.mT, torch.eye(3).repeat(24, 1, 1), atol=1e-5, rtol=0
        )
    grown = place("grow", 24, -0.6)
    assert_close(grown.shift[:, 1] - 0.6 * grown.scale, torch.full((24,), -0.57))
    assert bool((grown.scale.diff() > 0).all())


def test_an_object_has_its_orbits_and_then_two_motions_for_each_move_of_the_camera() -> None:
    config = RenderConfig(size=16, num_frames=4, num_orbits=2, num_moving=6)
    drawn = render_orbits("wedge", wedge(), config, seed=0)
    plain = render_orbits("wedge", wedge(), replace(config, num_moving=0), seed=0)
    assert torch.equal(drawn.frames[:2], plain.frames) and torch.equal(drawn.c2w[:2], plain.c2w)
    assert drawn.moves[:2].tolist() == [TURN] * 2
    assert [motion_of(move) is None for move in drawn.moves[2:].tolist()] == [
        False,
        False,
        True,
    ] * 2


def test_most_things_move_before_a_still_camera_and_cameras_move_in_every_way() -> None:
    generator = torch.Generator().manual_seed(0)

    def changes(cameras: Cameras) -> set[str]:
        azimuth, elevation, radius = camera_angles(cameras)
        values = {
            "azimuth": azimuth,
            "elevation": elevation,
            "radius": radius,
            "fov_y": cameras.fov_y,
        }
        return {name for name, value in values.items() if float(value.max() - value.min()) > 0.02}

    moving = [random_clip(FRAMES, 16, -0.6, generator, moving=True) for _ in range(200)]
    assert {clip.move for clip in moving} == set(range(2, len(MOVES)))
    still = sum(not changes(clip.cameras) for clip in moving) / len(moving)
    assert 0.65 < still < 0.9
    filmed = [random_clip(FRAMES, 16, -0.6, generator, moving=False) for _ in range(100)]
    assert {clip.move for clip in filmed} == {1}
    seen = [frozenset(changes(clip.cameras)) for clip in filmed]
    ways = [frozenset({name}) for name in ("azimuth", "elevation", "radius", "fov_y")]
    assert set(seen) == {*ways, frozenset()}


def make_moving_bank() -> LatentBank:
    """Return the bank of which the fourth orbit is a clip of its own."""
    return replace(
        make_bank(),
        named=torch.arange(3),
        turning=torch.tensor([0, 1, 2, 4]),
        moving=torch.tensor([3]),
        level=torch.tensor([0, 4]),
        default=torch.tensor([0]),
        painted=torch.tensor([1]),
    )


def test_clips_of_a_moving_thing_are_shown_whole_and_from_their_begin() -> None:
    bank = make_moving_bank()
    generator, count = torch.Generator().manual_seed(0), 0
    config = replace(CLIPS, move_share=0.5, give_picture=0.0)
    for _ in range(10):
        clean, _ = draw_batch(bank, config, 64, generator)
        orbit, frame = clean[:, 0, 0, 0, 0], clean[:, :, 1, 0, 0].long()
        mine = frame[orbit == 3]
        widest = 8 // frame.shape[1]
        assert bool((mine == widest * torch.arange(frame.shape[1])).all())
        count += len(mine) / len(frame)
    assert count / 10 == pytest.approx(0.5, abs=0.12)


def test_of_the_clips_without_a_picture_one_in_five_moves_and_of_the_others_none() -> None:
    bank, generator = make_moving_bank(), torch.Generator().manual_seed(0)
    # A clip is told by its caption, for a picture's latents are made anew.
    config = ClipConfig(
        lengths=(4,), shares=(1.0,), drop_text=0.0, drop_pictured_text=0.0, vary_pictured=0.0
    )
    mine = bank.pooled[bank.captions[3]].float()
    moves = {True: [], False: []}
    for _ in range(20):
        _, cond = draw_batch(bank, config, 400, generator)
        pictured = cond.reference_mask[:, 0, 0, 0, 0] == PICTURE_MASK
        moving = (cond.pooled[:, None] == mine).all(dim=-1).any(dim=-1)
        for told in moves:
            moves[told].append(moving[pictured == told])
    assert not torch.cat(moves[True]).any() and len(torch.cat(moves[True])) == 1000
    # Of a thousand draws, whose share deviates by 0.013.
    assert torch.cat(moves[False]).float().mean() == pytest.approx(0.2, abs=0.04)


def test_the_bank_calls_a_moving_thing_by_what_it_does(tmp_path: Path) -> None:
    path = tmp_path / "meshes.safetensors"
    rows = [
        CaptionRow(id="a", file="a.glb", name="lantern", kit=""),
        CaptionRow(id="b", file="b.glb", name="", kit=""),
    ]
    write_packed(rows, iter([wedge(), wedge()]), path)
    config = RenderConfig(size=16, num_frames=4, num_orbits=2, num_moving=3)
    orbits = PackedMeshes(path=path, config=config)
    autoencoder = Autoencoder(
        AutoencoderConfig(latent_channels=4, stride=8, width=8, depth=1, pixel_width=4)
    )
    bank = build_bank(
        orbits, autoencoder, TextEncoder(), captions_per_object=12, recoloured=1, seed=0
    )
    assert len(bank.moving) == 3 and not set(bank.moving.tolist()) & set(bank.named.tolist())
    assert set(bank.moving.tolist()) | set(bank.turning.tolist()) == set(range(len(bank.latents)))
    (shard, nameless) = list(orbits.shards())
    assert nameless.moves is not None and nameless.moves.tolist() == [TURN] * 2
    assert shard.moves is not None
    for clip, move in zip(bank.moving.tolist(), shard.moves[2:].tolist(), strict=True):
        motion = motion_of(move)
        for row in bank.captions[clip].tolist():
            found = find_motion(bank.texts[row])
            assert (found[0] if found else None) == motion, bank.texts[row]
    # The cameras that the network is told are the film's, not those that drew it.
    told = orbit_cameras(1, size=16).c2w[0, :3, 3].norm()
    assert bank.rays[int(bank.moving[0]), 0, 3:].float().norm(dim=0).max() < 2 * told
