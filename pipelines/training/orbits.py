"""Where training's orbits come from: a rendered folder, or packed meshes drawn as they are read."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from safetensors.torch import load_file
from torch import Tensor

from pipelines.training.deform import deformed
from pipelines.training.meshes import CaptionRow, PackedMesh, read_packed, read_rows
from pipelines.training.renders import RenderConfig, object_generator, render_orbits

COPY_ORBITS = 2
"""Orbits of a deformed copy: the default one and a random one."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Orbits of some objects, and clips in which something else moves."""

    frames: UInt8[Tensor, "orbit frame height width 7"]
    c2w: Float[Tensor, "orbit frame 4 4"]
    fov_y: Float[Tensor, "orbit frame"]
    object: Int[Tensor, " orbit"]
    """Index of each orbit's object in the listing."""
    moves: Int[Tensor, " orbit"] | None = None
    """What moves in each, an index in `motions.MOVES`; None where all are orbits."""


@runtime_checkable
class Orbits(Protocol):
    """A dataset: captioned objects, and some orbits of each, the default one first."""

    def listing(self) -> list[CaptionRow]:
        """Return the objects. One without a name has no captions and is shown beside a picture."""
        ...

    def shards(self) -> Iterator[Shard]:
        """Yield the orbits in the listing's order."""
        ...


@dataclass(frozen=True, kw_only=True)
class RenderedFolder:
    """Orbits that `render_dataset` wrote."""

    folder: Path

    def listing(self) -> list[CaptionRow]:
        path = self.folder / "objects.json"
        if not path.is_file():
            raise ValueError(f"{path} is missing; the command render makes such a folder")
        return [CaptionRow(**row) for row in json.loads(path.read_text())["objects"]]

    def shards(self) -> Iterator[Shard]:
        for path in sorted(self.folder.glob("orbits-*.safetensors")):
            yield Shard(**load_file(path))


@dataclass(frozen=True, kw_only=True)
class PackedMeshes:
    """Orbits that are drawn from a packed file whenever they are read: the way of a GPU.

    Thousands of orbits would take longer to write and to read than to draw. Every object has a
    generator of its own, so that each reading draws the same.
    """

    path: Path
    config: RenderConfig
    device: torch.device | str = "cpu"
    seed: int = 0
    ids: frozenset[str] | None = None
    """The dataset is of these objects alone, and of what is deformed of them; of all if None."""

    def listing(self) -> list[CaptionRow]:
        return [
            row
            for own in read_rows(self.path)
            if self.ids is None or own.id in self.ids
            for row in (own, *self._copies(own))
        ]

    def shards(self) -> Iterator[Shard]:
        place = {row.id: number for number, row in enumerate(self.listing())}
        rows = {row.id: row for row in read_rows(self.path)}
        # What nobody can ask for by name is shown beside a picture alone, from all around.
        nameless = replace(self.config, num_moving=0)
        copied = replace(nameless, num_orbits=COPY_ORBITS)
        for id_, mesh in read_packed(self.path):
            if id_ not in place:
                continue
            yield self._drawn(id_, mesh, self.config if rows[id_].name else nameless, place[id_])
            for copy in self._copies(rows[id_]):
                # By a key of its own: the copy's orbit is drawn by the numbers of its id, and each
                # shape would be seen from the one side that its own numbers give.
                other = deformed(mesh, object_generator(f"{copy.id}~shape", self.seed))
                yield self._drawn(copy.id, other, copied, place[copy.id])

    def _copies(self, row: CaptionRow) -> list[CaptionRow]:
        return [
            replace(row, id=f"{row.id}~{number}", name="")
            for number in range(self.config.num_deformed)
        ]

    def _drawn(self, id_: str, mesh: PackedMesh, config: RenderConfig, place: int) -> Shard:
        drawn = render_orbits(id_, mesh, config, seed=self.seed, device=self.device)
        return Shard(
            frames=drawn.frames,
            c2w=drawn.c2w,
            fov_y=drawn.fov_y,
            object=torch.full((len(drawn.frames),), place),
            moves=drawn.moves,
        )


def open_orbits(
    path: Path,
    config: RenderConfig,
    device: torch.device | str = "cpu",
    *,
    limit: int | None = None,
    named: bool = False,
    names: set[str] | None = None,
) -> Orbits:
    """Return the dataset of a rendered folder, which is as it is, or of a file of packed meshes.

    Args:
        path: The folder or the file.
        config: How meshes are drawn.
        device: Where.
        limit: About how many of the meshes, evenly chosen; all if None.
        named: Whether the meshes without a name are left out.
        names: All meshes but those of these names are left out; none if None.

    Raises:
        ValueError: The path is neither.
    """
    if path.is_dir():
        return RenderedFolder(folder=path)
    if not path.is_file():
        raise ValueError(f"{path} is neither a folder of orbits nor a file of packed meshes")
    rows = [row for row in read_rows(path) if row.name or not named]
    rows = [row for row in rows if names is None or row.name in names]
    every = 1 if limit is None else max(1, len(rows) // limit)
    ids = frozenset(row.id for row in rows[::every])
    return PackedMeshes(path=path, config=config, device=device, ids=ids)


def network_frames(
    frames: UInt8[Tensor, "*batch height width 7"],
) -> Float[Tensor, "*batch 7 height width"]:
    """Return stored frames as the networks take them, in [-1, 1]."""
    return rearrange(frames.float() / 127.5 - 1, "... h w c -> ... c h w")
