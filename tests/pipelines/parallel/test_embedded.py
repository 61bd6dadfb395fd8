"""The embedded model on several processes makes the frames that it makes on one."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from benchmarks.parallel import Workload, measure
from pipelines.errors import RequestError
from pipelines.models.embedded import EmbeddedModel
from pipelines.parallel.attention import AttentionKind
from pipelines.parallel.embedded import embedded_handlers, spread_embedded
from pipelines.parallel.frames import frame_spans
from pipelines.parallel.ranks import Ranks
from pipelines.request import GenerationRequest
from pipelines.video.dit import DiT
from tests.pipelines.parallel.processes import run_ranks
from tests.pipelines.parallel.small_model import in_float32, make_model
from threed.orbit import OrbitVideo

REQUEST = GenerationRequest(prompt="a wooden chair", num_frames=11)
"""Eleven frames are six patches: no two or four ranks have equal shares of frames and text."""


def sample(model: EmbeddedModel, request: GenerationRequest) -> OrbitVideo:
    steps = model.sample(request, torch.Generator().manual_seed(1))
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def channels(orbit: OrbitVideo) -> Tensor:
    assert orbit.normals is not None
    return torch.cat([orbit.albedo, orbit.alpha[..., None], orbit.normals], dim=-1)


def use(model: EmbeddedModel) -> list[Tensor]:
    """Sample a clip that is given up after a step, a whole one, and a critic's estimate."""
    with in_float32():
        given_up = model.sample(REQUEST, torch.Generator().manual_seed(5))
        next(given_up)
        given_up.close()
        orbit = sample(model, REQUEST)
        estimate = model.denoise(orbit, 0.6, REQUEST, torch.Generator().manual_seed(2), num_steps=2)
    return [channels(orbit), channels(estimate)]


def use_on_ranks(kind: AttentionKind | None) -> list[Tensor] | None:
    ranks = Ranks(torch.device("cpu"))
    model = make_model()
    spread_embedded(model, ranks, kind)
    if not ranks.leads:
        return ranks.serve(embedded_handlers(model))
    try:
        return use(model)
    finally:
        ranks.dismiss()


@pytest.mark.parametrize(("size", "kind"), [(2, "ulysses"), (4, "ulysses"), (2, "ring"), (4, None)])
def test_the_frames_are_those_of_one_process(
    tmp_path: Path, size: int, kind: AttentionKind | None
) -> None:
    expected = use(make_model())
    found, *followers = run_ranks(size, tmp_path, use_on_ranks, kind)
    assert followers == [None] * (size - 1)
    assert expected[0].std() > 0.1
    for one, other in zip(expected, found, strict=True):
        assert_close(one, other, atol=1e-4, rtol=0)


def refusals_here() -> list[str]:
    ranks = Ranks(torch.device("cpu"))
    model = make_model()
    model.transformer = DiT(replace(model.transformer.config, num_heads=1))
    with pytest.raises(RequestError) as too_few_heads:
        spread_embedded(model, ranks, "ulysses")
    return [str(too_few_heads.value)]


def test_what_cannot_be_spread_is_refused(tmp_path: Path) -> None:
    (message,) = run_ranks(2, tmp_path, refusals_here)[1]
    assert "1 heads over at most as many processes, and there are 2; use 'ring'" in message
    with pytest.raises(ValueError, match="at most 5 are of use"):
        frame_spans(10, 2, 6)


@pytest.mark.parametrize(("num_frames", "multiple", "size"), [(24, 2, 5), (7, 1, 7), (96, 4, 1)])
def test_spans_tile_the_clip_in_whole_groups_the_last_the_smallest(
    num_frames: int, multiple: int, size: int
) -> None:
    spans = frame_spans(num_frames, multiple, size)
    lengths = [span.stop - span.start for span in spans]
    covered = [frame for span in spans for frame in range(num_frames)[span.index]]
    assert covered == list(range(num_frames))
    assert all(length % multiple == 0 for length in lengths)
    assert lengths[-1] == min(lengths) >= max(lengths) - multiple > -multiple


@pytest.mark.parametrize("kind", ["ulysses", "ring"])
def test_every_rank_holds_less_the_more_there_are(tmp_path: Path, kind: AttentionKind) -> None:
    work = Workload(preset="nano", num_frames=48, depth=1)
    peaks = {1: measure(work, kind, 1).transformer_bytes}
    for size in (2, 4):
        ranks = run_ranks(size, tmp_path, measure, work, kind, size)
        peaks[size] = max(rank.transformer_bytes for rank in ranks)
    # Half or a quarter, and what the leader scatters and gathers.
    assert peaks[2] < 0.7 * peaks[1] and peaks[4] < 0.45 * peaks[1], peaks
