"""Whether a large model can serve a request on this machine, and what else would."""

from pipelines.errors import RequestError
from pipelines.models.large import LARGE_MODELS, find_helper
from pipelines.models.large_card import LargeModelCard
from pipelines.models.limits import check_limits
from pipelines.models.machine import Machine, idle_machine
from pipelines.models.memory import best_plan, why_not
from pipelines.models.on_disk import is_whole, require_whole
from pipelines.request import RECAPTIONS, GenerationRequest

EMBEDDED = "'embedded', which runs on any machine"


def check_large(
    card: LargeModelCard, request: GenerationRequest, machine: Machine | None = None
) -> None:
    """Refuse what a large model cannot do here, before anything is loaded.

    The machine is judged as it is when idle: what fills it now may be this very model, kept warm.

    Raises:
        RequestError: The clip is too long or of another size, the licence forbids the use, or the
            machine is too small; names what to choose instead.
        InstallationError: The model, or a helper that it needs, is not whole on disk.
    """
    check_limits(request, max_frames=card.max_frames, sizes=card.sizes)
    machine = machine or idle_machine()
    if request.commercial and card.licence_terms.commercial == "by permission":
        raise RequestError(
            f"the licence of {card.name!r} ({card.licence}) does not allow commercial use as it "
            f"is ({card.licence_terms.forbids}); choose "
            + next_best(card, machine, commercial=True)
        )
    if best_plan(card, machine) is None:
        raise why_not(card, machine, next_best(card, machine, request.commercial))
    require_whole(card, request.revision)
    if card.image_model is not None and request.picture is None:
        require_whole(find_helper(card.image_model))
    if request.recaption not in RECAPTIONS:
        helper = find_helper(request.recaption)
        if helper.kind != "language":
            raise RequestError(f"recaption is {request.recaption!r}, which is no language model")
        require_whole(helper)


def next_best(card: LargeModelCard, machine: Machine, commercial: bool = False) -> str:
    """Return in words which other model to choose: one that fits, on disk if possible."""
    others = [
        other
        for other in LARGE_MODELS
        if other.name != card.name
        and best_plan(other, machine) is not None
        and not (commercial and other.licence_terms.commercial == "by permission")
    ]
    if not others:
        return EMBEDDED
    # The largest that is here already, else the largest that could be fetched.
    here = [other for other in others if is_whole(other)]
    best = max(here or others, key=lambda other: other.num_parameters())
    to_fetch = "" if here else f" (about {best.download_gb:g} GB to download)"
    return f"{best.name!r}{to_fetch}, or {EMBEDDED}"
