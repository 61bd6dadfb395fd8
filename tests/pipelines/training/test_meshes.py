"""Laws of what captioned folders hold, and of the file that they are packed into."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import torch
import trimesh

from pipelines.training.__main__ import run_pack
from pipelines.training.arguments import build_parser
from pipelines.training.meshes import (
    CaptionRow,
    PackedMesh,
    read_caption_rows,
    read_glb,
    read_packed,
    read_rows,
    write_packed,
)


def write_boxes(folder: Path, heights: dict[str, float]) -> None:
    """Write boxes of these heights under these paths, and captions without ids."""
    lines = ["file,name"]
    for number, (file, height) in enumerate(heights.items()):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        trimesh.creation.box((1.0, height, 1.0)).export(folder / file)
        lines.append(f"{file},crate {number}")
    (folder / "captions.csv").write_text("\n".join(lines) + "\n")


def test_things_of_one_file_name_in_different_folders_are_packed_all(tmp_path: Path) -> None:
    write_boxes(tmp_path, {"a/box.glb": 0.5, "b/box.glb": 2.0, "box.v2.glb": 1.0})
    out = tmp_path / "train" / "new" / "meshes.safetensors"
    run_pack(build_parser().parse_args(["pack", str(tmp_path), "--out", str(out)]))
    assert [row.id for row in read_rows(out)] == ["a_box", "b_box", "box.v2"]
    for row, (id_, mesh) in zip(read_rows(out), read_packed(out), strict=True):
        wanted = read_glb(tmp_path / row.file)
        assert id_ == row.id
        for field in fields(PackedMesh):
            found = getattr(mesh, field.name)
            assert found is None or torch.equal(found, getattr(wanted, field.name))


def test_an_id_that_is_given_stays(tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text("id,file,name\nmine,a/box.glb,box\n,./b/cup.glb,cup\n")
    assert [row.id for row in read_caption_rows(tmp_path)] == ["mine", "b_cup"]


@pytest.mark.parametrize(
    "text",
    [
        "id,file,name\nbox,a.glb,crate\ncup,b.glb,cup\nbox,c.glb,box\n",
        "file,name\nbox.glb,crate\ncup.glb,cup\nbox.obj,box\n",
    ],
)
def test_two_things_of_one_id_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "captions.csv").write_text(text)
    with pytest.raises(ValueError, match=r"captions\.csv has 2 rows of the id box.*column id"):
        read_caption_rows(tmp_path)


def test_the_packed_files_folder_is_there_before_anything_is_read(tmp_path: Path) -> None:
    out = tmp_path / "train" / "meshes.safetensors"
    there = []

    def meshes() -> Iterator[PackedMesh]:
        there.append(out.parent.is_dir())
        write_boxes(tmp_path, {"box.glb": 1.0})
        yield read_glb(tmp_path / "box.glb")

    write_packed([CaptionRow(id="box", file="box.glb", name="box", kit="")], meshes(), out)
    assert there == [True] and len(read_rows(out)) == 1
