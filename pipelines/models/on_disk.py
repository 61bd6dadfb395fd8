"""What of the large models is on disk, in the Hugging Face cache. A look, without reading weights.

A download fetches `model_index.json`, or a single network's `config.json`, last, so a snapshot that
has it was whole once; the files that the indices of the weights name are looked for all the same,
because people tidy caches by hand.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants

from pipelines.errors import InstallationError
from pipelines.models.large_card import HelperCard, LargeModelCard

Card = LargeModelCard | HelperCard
INDEX = "model_index.json"
WEIGHTS_INDEX = "*.safetensors.index.json"
CONFIG = "config.json"
COMMIT_LENGTH = 40


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One revision of a repository on disk."""

    folder: Path
    commit: str


def last_file(card: Card) -> str:
    """Return which file of a repository is fetched last."""
    return INDEX if any(part.name for part in card.parts) else CONFIG


def cache_folder(card: Card) -> Path:
    """Return where the Hugging Face cache keeps a model, whether or not it is there."""
    return Path(constants.HF_HUB_CACHE) / f"models--{card.repository.replace('/', '--')}"


def find_snapshot(card: Card, revision: str | None = None) -> Snapshot | None:
    """Return a revision's folder, None where nothing of it is on disk."""
    revision = revision or card.revision
    folder = cache_folder(card)
    commit = revision
    reference = folder / "refs" / revision
    if reference.is_file():
        commit = reference.read_text("ascii").strip()
    snapshot = folder / "snapshots" / commit
    # A commit may be named by its first characters, as people do.
    if not snapshot.is_dir() and len(revision) < COMMIT_LENGTH and (folder / "snapshots").is_dir():
        found = [path for path in (folder / "snapshots").iterdir() if path.name.startswith(commit)]
        if len(found) == 1 and len(revision) >= 7:
            snapshot, commit = found[0], found[0].name
    return Snapshot(folder=snapshot, commit=commit) if snapshot.is_dir() else None


def missing_files(card: Card, snapshot: Snapshot) -> list[str]:
    """Return what a snapshot lacks: files that an index names, or a network's weights."""
    missing = []
    if last_file(card) == INDEX and not (snapshot.folder / INDEX).is_file():
        missing.append(INDEX)
    for part in card.parts:
        folder = snapshot.folder / part.name
        if not (folder / CONFIG).is_file():
            missing.append(f"{part.name}/{CONFIG}".lstrip("/"))
        named = [name for index in folder.glob(WEIGHTS_INDEX) for name in _shards(index)]
        missing += [
            f"{part.name}/{name}".lstrip("/") for name in named if not (folder / name).is_file()
        ]
        if not named and not any(path.is_file() for path in folder.glob("*.safetensors")):
            missing.append(f"{part.name}/*.safetensors".lstrip("/"))
    return missing


def is_whole(card: Card, revision: str | None = None) -> bool:
    """Return whether every file that a model loads is on disk."""
    snapshot = find_snapshot(card, revision)
    return snapshot is not None and not missing_files(card, snapshot)


def require_whole(card: Card, revision: str | None = None) -> Snapshot:
    """Return a model's snapshot.

    Raises:
        InstallationError: It is not on disk, not in this revision, or not whole.
    """
    snapshot = find_snapshot(card, revision)
    command = f"python -m pipelines models download {card.name}"
    if revision is not None:
        command += f" --revision {revision}"
    if snapshot is None:
        others = _commits(card)
        there = f"; on disk are {', '.join(others)}" if others and revision is not None else ""
        which = f" in revision {revision!r}" if revision is not None else ""
        raise InstallationError(
            f"the model {card.name!r} is not on disk{which}{there}; fetch it with: {command}"
        )
    missing = missing_files(card, snapshot)
    if missing:
        raise InstallationError(
            f"the model {card.name!r} is not whole on disk: {missing[0]} is missing"
            + (f" and {len(missing) - 1} more files" if len(missing) > 1 else "")
            + f"; go on with: {command}"
        )
    return snapshot


def _commits(card: Card) -> list[str]:
    folder = cache_folder(card) / "snapshots"
    return sorted(path.name[:12] for path in folder.iterdir()) if folder.is_dir() else []


def _shards(index: Path) -> set[str]:
    try:
        return set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError):
        return {index.name + " (damaged)"}
