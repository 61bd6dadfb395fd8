"""The part of `torchrun ... -m pipelines` that every process runs before and after the chain."""

from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.errors import RequestError
from pipelines.models.catalogue import find_card, load_model
from pipelines.models.embedded import EmbeddedModel
from pipelines.models.large_card import LargeModelCard
from pipelines.models.on_disk import require_whole
from pipelines.models.protocol import VideoModel
from pipelines.parallel.attention import AttentionKind
from pipelines.parallel.embedded import embedded_handlers, spread_embedded
from pipelines.parallel.frames import frame_spans
from pipelines.parallel.large import agreed_mode, check_spread, follow_large, lead_large
from pipelines.parallel.ranks import Ranks
from pipelines.request import GenerationRequest


@contextmanager
def leading(
    request: GenerationRequest, attention: AttentionKind | None
) -> Iterator[tuple[VideoModel, str]]:
    """Yield the request's model, spread over the processes, and the device of this one, the leader.

    Raises:
        RequestError: The request does not spread over so many processes.
        InstallationError: The weights are missing or damaged.
    """
    ranks = Ranks.join()
    card = find_card(request.model)
    model: VideoModel
    if isinstance(card, LargeModelCard):
        snapshot, way = require_whole(card, request.revision), attention or "ulysses"
        check_spread(card, snapshot, ranks, way)
        model = lead_large(card, snapshot, agreed_mode(card, ranks), ranks, way)
    else:
        model = _spread(request, ranks, attention)
    try:
        yield model, ranks.device.type
    finally:
        ranks.leave()


def follow(request: GenerationRequest, attention: AttentionKind | None) -> None:
    """Serve the leader until it has done; raises what `leading` raises."""
    ranks = Ranks.join()
    card = find_card(request.model)
    if isinstance(card, LargeModelCard):
        snapshot, way = require_whole(card, request.revision), attention or "ulysses"
        check_spread(card, snapshot, ranks, way)
        handlers = follow_large(card, snapshot, agreed_mode(card, ranks), ranks, way)
    else:
        handlers = embedded_handlers(_spread(request, ranks, attention))
    ranks.serve(handlers)
    ranks.leave()


def _spread(
    request: GenerationRequest, ranks: Ranks, attention: AttentionKind | None
) -> EmbeddedModel:
    model = load_model(request.model, ranks.device, request.revision)
    assert isinstance(model, EmbeddedModel)
    group = model.transformer.config.patch_frames
    try:
        frame_spans(request.num_frames + -request.num_frames % group, group, ranks.size)
    except ValueError as error:
        raise RequestError(f"num_frames is {request.num_frames}; {error}") from error
    spread_embedded(model, ranks, attention)
    return model
