"""The worker's chain: one model at a time, the old one gone before the next is planned."""

import weakref

import pytest
import torch

from pipelines.jobs import chain
from pipelines.jobs.chain import ModelChain
from tests.pipelines.sphere_model import SphereModel


class Heavy(SphereModel):
    """A model that holds itself in a circle, as hooks of networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.me = self


def test_nothing_is_left_of_a_model_when_the_next_one_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The plan for the next counts what is free; what lingers would make it slower, or none."""
    loaded: list[weakref.ref[Heavy]] = []
    said: list[str] = []

    def load_model(name: str, device: torch.device, revision: str | None) -> Heavy:
        said.append(f"{name}, {sum(model() is not None for model in loaded)} before it")
        model = Heavy()
        loaded.append(weakref.ref(model))
        return model

    def empty_cache() -> None:
        said.append(f"emptied, {sum(model() is not None for model in loaded)} alive")

    monkeypatch.setattr(chain, "load_model", load_model)
    monkeypatch.setattr(torch.cuda, "empty_cache", empty_cache)
    models = ModelChain()
    for name in ("first", "first", "second", "first"):
        models.model(name)
    assert [words for words in said if "before" in words] == [
        "first, 0 before it",
        "second, 0 before it",
        "first, 0 before it",
    ]
    # Emptied before each loading, when the old one is gone: an idle cache counts as taken.
    assert said[::2] == ["emptied, 0 alive"] * 3
