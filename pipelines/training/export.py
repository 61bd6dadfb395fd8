"""From a training state to the folder that is shipped and that `EmbeddedModel.load` reads."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from pipelines.hashing import file_sha256
from pipelines.models.embedded import EmbeddedSettings
from pipelines.training.captions import explained, other_words
from pipelines.training.features import merge_twins, orbit_feature
from pipelines.training.orbits import Orbits, network_frames
from pipelines.training.transformer import export_average
from pipelines.training.vocabulary import COLOURS
from pipelines.video.checkpoint import load_autoencoder, save_model, save_tensors
from pipelines.video.presets import PRESETS
from pipelines.video.text import TextEncoder

TWIN_DISTANCE = 0.06
"""Root mean square difference of features below which two designs are one to the eye."""

SETTINGS = {
    "nano": EmbeddedSettings(
        size=64,
        max_frames=48,
        num_steps=12,
        guidance_scale=3.0,
        shift=1.0,
        sampler="euler",
        familiar_similarity=0.6,
    ),
    "small": EmbeddedSettings(
        size=128,
        max_frames=48,
        num_steps=8,
        guidance_scale=2.5,
        shift=3.0,
        sampler="euler",
        familiar_similarity=0.6,
        moves=True,
    ),
}


def export_model(
    orbits: Orbits,
    autoencoder: Path,
    training: Path,
    preset: str,
    out: Path,
    earlier: Path | None = None,
    earlier_share: float = 0.0,
) -> None:
    """Write weights in half precision, the known names with their features, and the checksums.

    Args:
        orbits: The dataset, whose names the model knows.
        autoencoder: The trained autoencoder's file.
        training: Folder of the transformer's training state, or a file of its averaged weights.
        preset: Name of the preset.
        out: Folder to write.
        earlier: The transformer of an edition that is mixed in, see `export_average`.
        earlier_share: How much of it.
    """
    out.mkdir(parents=True, exist_ok=True)
    save_model(load_autoencoder(autoencoder), out / "autoencoder.safetensors")
    export_average(
        training / "state.safetensors" if training.is_dir() else training,
        PRESETS[preset].transformer,
        out / "transformer.safetensors",
        earlier,
        earlier_share,
    )
    names, design_names, features = _known(orbits)
    texts = [(text, place) for place, name in enumerate(names) for text in explained(name)]
    encoder = TextEncoder()
    embeddings = torch.cat([encoder.encode([text]).pooled for text, _ in texts])
    words = {word.lower() for name in names for word in (name, *other_words(name))}
    twins = merge_twins(design_names, features, TWIN_DISTANCE)
    save_tensors(
        {
            "embeddings": embeddings.half(),
            "embedded_name": torch.tensor([place for _, place in texts], dtype=torch.int32),
            "features": (features * 127).round().to(torch.int8),
            "design_name": torch.tensor([names.index(name) for name in design_names]),
        },
        out / "known.safetensors",
        {
            "names": json.dumps(names),
            "twins": json.dumps(twins),
            "words": json.dumps(sorted(words)),
            "colours": json.dumps(COLOURS),
        },
    )
    settings = json.dumps(asdict(SETTINGS[preset]), indent=2) + "\n"
    (out / "settings.json").write_text(settings)
    files = sorted([*out.glob("*.safetensors"), out / "settings.json"])
    lines = [f"{file_sha256(path)}  {path.name}\n" for path in files]
    (out / "SHA256SUMS").write_text("".join(lines))


def _known(orbits: Orbits) -> tuple[list[str], list[str], torch.Tensor]:
    """Return the names, each design's name, and each design's feature from its default orbit."""
    listing = orbits.listing()
    design_names, features = [], []
    for shard in orbits.shards():
        for index in shard.object.unique().tolist():
            if not listing[index].name:
                continue
            first = int((shard.object == index).nonzero()[0])
            design_names.append(listing[index].name)
            features.append(orbit_feature(network_frames(shard.frames[first])).cpu())
    return sorted(set(design_names)), design_names, torch.stack(features)
