"""Downloads from a Hub in miniature: whole or refused, resumed, and never more than is needed."""

import contextlib
import dataclasses
import json
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import save_file

from pipelines.errors import InstallationError, RequestError
from pipelines.models.downloads import DownloadStep, download
from pipelines.models.large import LARGE_MODELS, find_helper
from pipelines.models.large_card import HelperCard, LargeModelCard
from pipelines.models.on_disk import Snapshot, find_snapshot, is_whole, require_whole
from tests.pipelines.models.tiny_hub import COMMIT, Hub, serve

CARD = dataclasses.replace(LARGE_MODELS[0], repository="somebody/model")
WEIGHTS = 200_000


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Hub, None, None]:
    folder = tmp_path / "repository"
    for number, part in enumerate(CARD.parts):
        (folder / part.name).mkdir(parents=True)
        (folder / part.name / "config.json").write_text("{}")
        weights = {"a": np.arange(WEIGHTS, dtype=np.float32) + number}
        save_file(weights, folder / part.name / "model.safetensors")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline"}))
    # What must stay where it is: code, pickles, the same weights again, and other folders.
    (folder / "pipeline.py").write_text("raise SystemExit")
    (folder / "transformer" / "model.bin").write_bytes(b"pickle")
    (folder / "transformer" / "model.fp16.safetensors").write_bytes(b"again")
    (folder / "single-file.safetensors").write_bytes(b"x" * 1000)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with serve(Hub(CARD.repository, folder)) as hub:
        yield hub


def _drive(
    hub: Hub,
    card: LargeModelCard | HelperCard = CARD,
    revision: str | None = None,
    accept: bool = False,
) -> tuple[list[DownloadStep], Snapshot]:
    steps = download(card, revision, accept, endpoint=hub.endpoint)
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as finished:
            return seen, finished.value


def test_what_is_needed_comes_whole_and_nothing_else(hub: Hub) -> None:
    assert not is_whole(CARD)
    steps, snapshot = _drive(hub)
    assert is_whole(CARD)
    assert snapshot.commit == COMMIT
    names = {
        path.relative_to(snapshot.folder).as_posix()
        for path in snapshot.folder.rglob("*")
        if path.is_file()
    }
    expected = {f"{part.name}/{file}" for part in CARD.parts for file in _FILES}
    assert names == {"model_index.json", *expected}
    done = [step.done_bytes for step in steps]
    assert done == sorted(done)
    assert done[-1] == steps[-1].total_bytes
    # Once more, nothing large is asked for again.
    hub.fetched.clear()
    _drive(hub)
    assert [name for name, _ in hub.fetched if name.endswith("safetensors")] == []


_FILES = ("config.json", "model.safetensors")


@pytest.mark.parametrize("name", ["qwen2.5-1.5b-instruct", "sam2.1-hiera-tiny"])
def test_a_model_of_one_network_comes_whole_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It has no index; which commit the branch stands for is written down all the same."""
    card = dataclasses.replace(find_helper(name), repository="somebody/model")
    (tmp_path / "repository").mkdir()
    for file in ("config.json", "preprocessor_config.json"):
        (tmp_path / "repository" / file).write_text("{}")
    (tmp_path / "repository" / "pytorch_model.bin").write_bytes(b"pickle")
    save_file({"a": np.zeros(WEIGHTS, np.float32)}, tmp_path / "repository" / "model.safetensors")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with serve(Hub(card.repository, tmp_path / "repository")) as hub:
        steps, snapshot = _drive(hub, card)
    assert steps[-1].file == "config.json"
    assert find_snapshot(card) == snapshot and snapshot.commit == COMMIT
    names = sorted(path.name for path in snapshot.folder.iterdir())
    assert names == ["config.json", "model.safetensors", "preprocessor_config.json"]


def test_a_download_that_was_stopped_goes_on_from_there(hub: Hub) -> None:
    steps = download(CARD, endpoint=hub.endpoint)
    for step in steps:
        if step.file == "transformer/model.safetensors" and step.done_bytes:
            break
    steps.close()
    assert not is_whole(CARD)
    there = {name for name, _ in hub.fetched if "text_encoder" in name}
    hub.fetched.clear()
    _drive(hub)
    assert there
    assert not there & {name for name, _ in hub.fetched}
    assert is_whole(CARD)


def test_a_body_cut_short_is_no_download(hub: Hub) -> None:
    hub.cut["vae/model.safetensors"] = 1000
    # The library may go on by itself, or give up; then the same command goes on.
    with contextlib.suppress(InstallationError):
        _drive(hub)
    _drive(hub)
    starts = [start for name, start in hub.fetched if name == "vae/model.safetensors"]
    assert len(starts) >= 2
    assert starts[-1] in (0, 1000)
    assert is_whole(CARD)


def test_spoilt_weights_are_found_and_removed(hub: Hub) -> None:
    hub.spoilt.add("vae/model.safetensors")
    with pytest.raises(InstallationError, match="damaged and was removed: its SHA-256"):
        _drive(hub)
    assert not is_whole(CARD)
    hub.spoilt.clear()
    _drive(hub)
    assert is_whole(CARD)


def test_faults_of_the_hub_are_sentences(hub: Hub) -> None:
    with pytest.raises(RequestError, match="has no revision 'v9'; .*without --revision 'main'"):
        _drive(hub, revision="v9")
    with pytest.raises(RequestError, match="no repository somebody/other, or it is private"):
        _drive(hub, dataclasses.replace(CARD, repository="somebody/other"))
    hub.gated = True
    with pytest.raises(RequestError, match="is gated: ask for access .* 'hf auth login'"):
        _drive(hub)
    hub.endpoint = "http://127.0.0.1:9"
    with pytest.raises(InstallationError, match=r"broke off|cannot be fetched"):
        _drive(hub)


def test_conditions_of_a_licence_are_accepted_first(hub: Hub) -> None:
    terms = dataclasses.replace(CARD.licence_terms, name="Strict", forbids="no cats")
    card = dataclasses.replace(CARD, licence_terms=terms)
    with pytest.raises(RequestError, match=r"Strict: no cats; .*--accept-licence"):
        _drive(hub, card)
    assert hub.fetched == []
    _drive(hub, card, accept=True)


def test_what_is_missing_on_disk_is_named(hub: Hub) -> None:
    with pytest.raises(InstallationError, match="not on disk; fetch it with: .*download wan2.1"):
        require_whole(CARD)
    _, snapshot = _drive(hub)
    assert find_snapshot(CARD, COMMIT) == snapshot
    assert find_snapshot(CARD, COMMIT[:8]) == snapshot
    with pytest.raises(InstallationError, match=f"in revision 'v2'; on disk are {COMMIT[:12]}"):
        require_whole(CARD, "v2")
    (snapshot.folder / "vae" / "model.safetensors").unlink()
    with pytest.raises(InstallationError, match="vae/.*safetensors is missing; go on with"):
        require_whole(CARD)


def test_a_shard_that_the_index_names_is_looked_for(hub: Hub) -> None:
    _, snapshot = _drive(hub)
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (snapshot.folder / "vae" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InstallationError, match="vae/model-2.safetensors is missing"):
        require_whole(CARD)
