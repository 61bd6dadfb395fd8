"""The video models that can be asked for. Importing this loads neither torch nor any model."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import RequestError
from pipelines.models.embedded_card import EmbeddedCard
from pipelines.models.large import LARGE_MODELS
from pipelines.models.large_card import LargeModelCard
from pipelines.request import ORBITS, GenerationRequest

if TYPE_CHECKING:
    import torch

    import pipelines.models.protocol

__all__ = [
    "MODELS",
    "EmbeddedCard",
    "ModelCard",
    "check_request",
    "find_card",
    "load_model",
    "no_moves",
    "no_pictures",
    "redraws",
]

ModelCard = EmbeddedCard | LargeModelCard
"""What there is to know of a video model before it is loaded: name, title, licence, description,
sizes and max_frames, redraws, num_parameters(), runnable() and check(request)."""

WEIGHTS_FOLDER = Path(__file__).resolve().parents[2] / "assets" / "models"

EMBEDDED = EmbeddedCard(
    name="embedded",
    title="Lathe's own, embedded",
    licence="Apache-2.0",
    description=(
        "A small video diffusion transformer that ships with the program and runs on two CPU "
        "cores. It makes colour, coverage and normals of single everyday things in the "
        "low-poly style."
    ),
    folder=WEIGHTS_FOLDER / "embedded",
)
MODELS: tuple[ModelCard, ...] = (EMBEDDED, *LARGE_MODELS)
"""The default comes first."""


def find_card(name: str) -> ModelCard:
    """Return the card of a model.

    Raises:
        RequestError: The catalogue has no such model; lists those that it has.
    """
    for card in MODELS:
        if card.name == name:
            return card
    known = ", ".join(card.name for card in MODELS)
    raise RequestError(f"model is {name!r}; the catalogue has {known}")


def check_request(request: GenerationRequest) -> None:
    """Refuse what the request's model cannot do, without loading it.

    Raises:
        RequestError: There is no such model, or it cannot do this.
        InstallationError: It is missing or damaged.
    """
    card = find_card(request.model)
    if request.picture is not None and not card.image:
        raise no_pictures(request.model)
    if request.camera not in ORBITS and not card.moves:
        raise no_moves(request)
    card.check(request)


def no_pictures(name: str) -> RequestError:
    """Return the refusal of a picture by a model, with the models that take one."""
    takers = [card for card in MODELS if card.image]
    here = [card.name for card in takers if card.runnable()]
    names = " or ".join(repr(name) for name in here or [card.name for card in takers])
    lacking = "" if here else ", which this machine does not have or cannot run"
    return RequestError(f"the model {name!r} takes no picture; choose {names}{lacking}")


def no_moves(request: GenerationRequest) -> RequestError:
    """Return the refusal of a camera by a model that follows the orbit's alone."""
    here = [card.name for card in MODELS if card.moves and card.runnable()]
    instead = f"choose {' or '.join(map(repr, here))}" if here else "leave it at 'auto'"
    return RequestError(
        f"camera is {request.camera!r}; the model {request.model!r} follows the orbit's alone; "
        f"{instead}"
    )


def redraws(request: GenerationRequest) -> bool:
    """Return whether a request's video is drawn again once there is a shape."""
    if request.video_only or request.upload_name is not None:
        return False
    if request.redraw is not None:
        return request.redraw
    try:
        return find_card(request.model).redraws
    except RequestError:
        # A model that is handed in by name only, as tests and other programs may.
        return False


def load_model(
    name: str, device: "torch.device | str", revision: str | None = None
) -> "pipelines.models.protocol.VideoModel":
    """Return a model, its weights verified and on the device.

    Args:
        name: Of the catalogue.
        device: Where it shall run.
        revision: Of a large model's repository; the card's own where it is None.

    Raises:
        RequestError: The catalogue has no such model, or this machine cannot run it.
        InstallationError: Its weights are missing or damaged.
    """
    card = find_card(name)
    # Here and not above: the page lists the catalogue in a process without torch.
    if isinstance(card, EmbeddedCard):
        from pipelines.models.embedded import EmbeddedModel

        card.verify()
        return EmbeddedModel.load(card.folder, device)
    from pipelines.models.diffusers_video import load_large_model

    return load_large_model(card, device, revision)
