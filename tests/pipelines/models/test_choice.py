"""Which large model runs where: the arithmetic of memory, and refusals that name another."""

import dataclasses
import subprocess
import sys

import pytest
from huggingface_hub import constants

from pipelines.errors import InstallationError, RequestError
from pipelines.models.choice import check_large, next_best
from pipelines.models.large import HELPERS, LARGE_MODELS, find_helper
from pipelines.models.large_card import HelperCard, LargeModelCard
from pipelines.models.machine import GB, Gpu, Machine, parse_gpus
from pipelines.models.memory import MODES, RESERVE, best_plan, needs
from pipelines.models.overview import overview, table
from pipelines.request import GenerationRequest

CARDS = {card.name: card for card in LARGE_MODELS}


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("cache")))


def _machine(gpu_gb: float | int, ram_gb: int = 256) -> Machine:
    gpu = Gpu(name="Card X", memory=int(gpu_gb * GB), free=int(gpu_gb * GB), capability=(8, 9))
    return Machine(gpus=(gpu,) if gpu_gb else (), ram=ram_gb * GB)


@pytest.mark.parametrize("card", LARGE_MODELS, ids=lambda card: card.name)
def test_each_slower_way_needs_no_more_of_the_gpu(card: LargeModelCard) -> None:
    sizes = [needs(card, mode).gpu_bytes for mode in MODES]
    assert sizes == sorted(sizes, reverse=True)
    # Everything together is the sum of the networks and one step's values.
    total = sum(2 * part.parameters for part in card.parts) + card.working_gb * GB
    assert sizes[0] == pytest.approx(total)


@pytest.mark.parametrize("card", [*LARGE_MODELS, *HELPERS], ids=lambda card: card.name)
def test_every_way_takes_all_networks_through_main_memory(
    card: LargeModelCard | HelperCard,
) -> None:
    """They are read there whole before the first of them goes to the GPU."""
    total = sum(2 * part.parameters for part in card.parts)
    for mode in MODES:
        assert needs(card, mode).ram_bytes == pytest.approx(total)


@pytest.mark.parametrize("card", LARGE_MODELS, ids=lambda card: card.name)
def test_the_fastest_way_that_fits_is_chosen(card: LargeModelCard) -> None:
    for mode in MODES:
        just = needs(card, mode).gpu_bytes + RESERVE
        plan = best_plan(card, _machine(just / GB + 0.001))
        assert plan is not None
        assert needs(card, plan.mode).gpu_bytes == pytest.approx(needs(card, mode).gpu_bytes)
        below = best_plan(card, _machine(just / GB - 0.001))
        assert below is None or below.gpu_bytes < just - RESERVE
    assert best_plan(card, _machine(0)) is None
    # Networks that wait need main memory.
    assert best_plan(card, _machine(needs(card, "streamed").gpu_bytes / GB + 1.1, 4)) is None


def test_a_small_machine_is_refused_with_what_it_can_run() -> None:
    request = GenerationRequest(prompt="a chair", model="ltx-2")
    with pytest.raises(RequestError) as none:
        check_large(CARDS["ltx-2"], request, _machine(0))
    assert "needs an NVIDIA GPU with at least 13 GB, and this machine has none" in str(none.value)
    assert str(none.value).endswith("choose 'embedded', which runs on any machine")
    with pytest.raises(RequestError) as small:
        check_large(CARDS["ltx-2"], request, _machine(8))
    assert "the Card X has 8 GB; choose 'ltx-video-2b'" in str(small.value)
    with pytest.raises(
        RequestError, match=r"needs 67 GB of main memory .*; 30 GB are free at most; choose"
    ):
        check_large(CARDS["ltx-2"], request, _machine(24, 30))


def test_a_licence_that_forbids_the_use_is_a_refusal_with_another_model() -> None:
    card = CARDS["cogvideox1.5-5b"]
    request = GenerationRequest(prompt="a chair", model=card.name, commercial=True)
    with pytest.raises(RequestError, match="does not allow commercial use .*; choose 'ltx-2'"):
        check_large(card, request, _machine(80))
    # Not commercial, the same model is only not on disk.
    with pytest.raises(InstallationError, match="is not on disk; fetch it with"):
        check_large(card, dataclasses.replace(request, commercial=False), _machine(80))


def test_lengths_and_sizes_are_refused_first() -> None:
    card = CARDS["cogvideox-2b"]
    with pytest.raises(RequestError, match="num_frames is 60; .* at most 48"):
        check_large(card, GenerationRequest(prompt="x", num_frames=60), _machine(0))
    with pytest.raises(RequestError, match="size is 512; .* makes 480 pixels"):
        check_large(card, GenerationRequest(prompt="x", size=512), _machine(0))


@pytest.mark.parametrize("card", LARGE_MODELS, ids=lambda card: card.name)
def test_clip_lengths_follow_the_autoencoders_step(card: LargeModelCard) -> None:
    for num_frames in range(8, card.max_frames + 1):
        length = card.clip_frames(num_frames)
        assert (length - 1) % card.frame_step == 0
        assert num_frames < length <= card.most_frames
    assert card.clip_frames(8) == card.turn_frames


def test_every_card_names_helpers_that_exist_and_the_names_differ() -> None:
    names = [card.name for card in (*LARGE_MODELS, *HELPERS)]
    assert len(set(names)) == len(names)
    for card in LARGE_MODELS:
        assert card.image == (card.image_model is not None)
        if card.image_model:
            assert find_helper(card.image_model).kind == "image"
    with pytest.raises(RequestError, match="helper is 'nobody'; the catalogue has z-image"):
        find_helper("nobody")


def test_next_best_prefers_the_largest_that_fits() -> None:
    assert next_best(CARDS["wan2.1-t2v-1.3b"], _machine(80)).startswith("'ltx-2' (about 70 GB")
    assert next_best(CARDS["ltx-2"], _machine(0)).startswith("'embedded'")


def test_the_drivers_table_is_read_whatever_stands_in_it() -> None:
    text = (
        "NVIDIA H100 80GB HBM3, 81559, 81079, 9.0, GPU-5c1e\n"
        "Odd, Name, 100, 50, 8.6, GPU-07aa\nLost, [N/A], 1, 8.0, GPU-11bb\n"
    )
    first, second = parse_gpus(text)
    assert (first.name, first.memory, first.capability) == (
        "NVIDIA H100 80GB HBM3",
        81559 << 20,
        (9, 0),
    )
    assert (second.name, second.free) == ("Odd, Name", 50 << 20)
    assert (first.uuid, second.uuid) == ("GPU-5c1e", "GPU-07aa")


def test_the_table_tells_of_every_model_what_this_machine_can_do() -> None:
    rows = overview(_machine(20))
    text = table(rows)
    for row in rows:
        assert row.name in text
    by_name = {row.name: row for row in rows}
    assert by_name["embedded"].ready
    assert by_name["wan2.1-t2v-1.3b"].here() == "runs here (resident), not on disk"
    assert by_name["hunyuanvideo-1.5"].here().startswith("runs here (fp8)")
    assert "cameras" in by_name["sana-wm"].abilities
    assert not overview(_machine(0))[1].runs_here


def test_the_catalogue_loads_neither_torch_nor_diffusers() -> None:
    code = (
        "import sys; from pipelines.models.overview import overview; overview(); "
        "sys.exit(', '.join({'torch', 'diffusers', 'transformers'} & set(sys.modules)) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
