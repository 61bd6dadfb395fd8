"""Laws of what a bank calls its painted copies."""

from pathlib import Path

import pytest
import torch

from pipelines.training.bank import build_bank
from pipelines.training.captions import other_words
from pipelines.training.colours import NAMES
from pipelines.training.meshes import CaptionRow, PackedMesh, write_packed
from pipelines.training.orbits import PackedMeshes
from pipelines.training.renders import RenderConfig
from pipelines.video.autoencoder import Autoencoder, AutoencoderConfig
from pipelines.video.text import TextEncoder


def triangle() -> PackedMesh:
    """Return an orange triangle."""
    return PackedMesh(
        vertices=torch.tensor([[-0.9, -0.4, 0.0], [0.9, -0.4, 0.0], [0.0, 0.9, 0.0]]),
        faces=torch.tensor([[0, 1, 2]], dtype=torch.int32),
        colours=torch.tensor([[242, 133, 26]], dtype=torch.uint8),
        uv=None,
        textures=None,
        texture_index=None,
    )


@pytest.mark.parametrize(
    ("name", "plain"),
    [("orange", "orange"), ("half orange", "half orange"), ("blue gem", "gem")],
)
def test_a_painted_copy_keeps_its_noun_though_it_is_a_colours(
    tmp_path: Path, name: str, plain: str
) -> None:
    path = tmp_path / "meshes.safetensors"
    write_packed([CaptionRow(id="a", file="", name=name, kit="")], [triangle()], path)
    orbits = PackedMeshes(path=path, config=RenderConfig(size=16, num_frames=2, num_orbits=1))
    autoencoder = Autoencoder(
        AutoencoderConfig(latent_channels=4, stride=8, width=8, depth=1, pixel_width=4)
    )
    bank = build_bank(
        orbits, autoencoder, TextEncoder(), captions_per_object=6, recoloured=3, seed=0
    )
    assert bank.painted.tolist() == [1] and len(bank.captions) == 4
    for rows in bank.captions[1:].tolist():
        first, *others = [bank.texts[row] for row in rows]
        _, colour, *noun = first.split(" ")
        assert colour in NAMES and colour != "orange" and " ".join(noun) == plain, first
        called = [plain, *other_words(plain)]
        for caption in others:
            meant = caption.startswith(f"{first}, ")
            assert meant or any(f"{colour} {word}" in caption for word in called), caption
