"""The catalogue: what it lists it has, and what it has is what was shipped."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipelines.errors import InstallationError, RequestError
from pipelines.models import catalogue
from pipelines.models.catalogue import EMBEDDED, MODELS, check_request, find_card, load_model
from pipelines.models.embedded_card import (
    CHECKSUMS_NAME,
    KNOWN_NAME,
    SETTINGS_NAME,
    EmbeddedCard,
)
from pipelines.models.large import LARGE_MODELS
from pipelines.request import ORBITS, GenerationRequest

NUM_PARAMETERS = 3 * 5 + 7


@pytest.fixture
def card(tmp_path: Path) -> EmbeddedCard:
    """A card whose folder holds two small files of weights, what is known and their checksums."""
    save_file({"a": np.zeros((3, 5), np.float16)}, tmp_path / "one.safetensors", {"made": "here"})
    save_file({"b": np.ones(7, np.float32)}, tmp_path / "two.safetensors")
    save_file({"features": np.ones(11, np.int8)}, tmp_path / KNOWN_NAME)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(tmp_path.iterdir())
    ]
    (tmp_path / CHECKSUMS_NAME).write_text("".join(lines))
    return replace(EMBEDDED, folder=tmp_path)


def test_whole_weights_are_verified_and_counted(card: EmbeddedCard) -> None:
    card.verify()
    assert card.runnable()
    assert card.num_parameters() == NUM_PARAMETERS


def test_one_flipped_bit_is_found(card: EmbeddedCard) -> None:
    path = card.folder / "two.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InstallationError, match=r"two\.safetensors is damaged: its SHA-256 is"):
        card.verify()


@pytest.mark.parametrize("name", ["one.safetensors", CHECKSUMS_NAME])
def test_a_missing_file_is_named(card: EmbeddedCard, name: str) -> None:
    (card.folder / name).unlink()
    assert not card.runnable()
    with pytest.raises(InstallationError, match=f"'{card.name}' are missing .*{name} cannot be"):
        card.verify()


@pytest.mark.parametrize("text", ["", "no-digest-here\n"])
def test_an_unreadable_list_of_checksums_is_a_damaged_installation(
    card: EmbeddedCard, text: str
) -> None:
    (card.folder / CHECKSUMS_NAME).write_text(text)
    assert not card.runnable()
    with pytest.raises(InstallationError, match=CHECKSUMS_NAME):
        card.verify()


def test_a_header_cut_short_is_a_damaged_installation(card: EmbeddedCard) -> None:
    path = card.folder / "one.safetensors"
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(InstallationError, match="no safetensors file"):
        card.num_parameters()


def test_what_the_model_cannot_make_is_refused_before_it_is_loaded(card: EmbeddedCard) -> None:
    settings = card.folder / SETTINGS_NAME
    settings.write_text('{"size": 48, "max_frames": 20}')
    card.check(GenerationRequest(prompt="a chair", num_frames=20, size=48))
    with pytest.raises(RequestError, match="num_frames is 21; .* makes at most 20"):
        card.check(GenerationRequest(prompt="a chair", num_frames=21))
    with pytest.raises(RequestError, match="size is 64; .* makes 48 pixels"):
        card.check(GenerationRequest(prompt="a chair", num_frames=8, size=64))
    for damaged in ("", "{}", "[]", '{"size": "x", "max_frames": null}'):
        settings.write_text(damaged)
        with pytest.raises(InstallationError, match=r"settings\.json is damaged"):
            card.check(GenerationRequest(prompt="a chair"))


@pytest.mark.parametrize(("text", "follows"), [("true", True), ("false", False), ("1", False)])
def test_a_camera_is_refused_by_a_model_that_has_not_learnt_to_follow_it(
    card: EmbeddedCard, monkeypatch: pytest.MonkeyPatch, text: str, follows: bool
) -> None:
    settings = f'{{"size": 48, "max_frames": 48, "moves": {text}}}'
    (card.folder / SETTINGS_NAME).write_text(settings)
    monkeypatch.setattr(catalogue, "MODELS", (card, *LARGE_MODELS))
    assert card.moves is follows
    asked = GenerationRequest(prompt="a chair", camera="arc", video_only=True)
    for camera in ORBITS:
        check_request(replace(asked, camera=camera))
    with pytest.raises(RequestError, match="camera is 'arc'; the model 'wan2.1-t2v-1.3b'") as large:
        check_request(replace(asked, model="wan2.1-t2v-1.3b"))
    assert ("choose 'embedded'" in str(large.value)) is follows
    if follows:
        check_request(asked)
        return
    with pytest.raises(RequestError, match="follows the orbit's alone; leave it at 'auto'"):
        check_request(asked)


def test_weights_that_do_not_say_what_they_have_learnt_have_not(card: EmbeddedCard) -> None:
    for text in (None, "", "[]", '{"size": 48}'):
        if text is not None:
            (card.folder / SETTINGS_NAME).write_text(text)
        assert not card.moves
        assert not card.image


def test_names_are_unique_and_found() -> None:
    assert len({card.name for card in MODELS}) == len(MODELS)
    for card in MODELS:
        assert find_card(card.name) is card


def test_an_unknown_model_is_refused_with_the_names_that_there_are() -> None:
    for find in (find_card, lambda name: load_model(name, "cpu")):
        with pytest.raises(RequestError, match="model is 'imagined'; the catalogue has embedded"):
            find("imagined")


def test_what_ships_can_run() -> None:
    EMBEDDED.verify()
    assert EMBEDDED.runnable()
    assert EMBEDDED.num_parameters() > 0
    assert MODELS[0] is EMBEDDED


def test_every_card_tells_what_a_card_must() -> None:
    for card in MODELS:
        assert card.name and card.title and card.licence and card.description
        assert card.sizes
        assert card.max_frames >= 8


def test_what_ships_has_no_revisions() -> None:
    with pytest.raises(RequestError, match="revision is 'main'; .* ships with the program"):
        EMBEDDED.check(GenerationRequest(prompt="a chair", revision="main"))
