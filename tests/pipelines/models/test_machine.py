"""What a machine has when it is idle, what is free now, and which GPU a process computes on."""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import constants

from pipelines.errors import InstallationError, RequestError
from pipelines.jobs.chain import ModelChain
from pipelines.models import machine
from pipelines.models.catalogue import check_request
from pipelines.models.diffusers_video import load_large_model
from pipelines.models.large import LARGE_MODELS
from pipelines.models.large_card import LargeModelCard
from pipelines.models.machine import GB, this_machine
from pipelines.models.memory import RESERVE, best_plan, needs
from pipelines.models.on_disk import cache_folder
from pipelines.request import GenerationRequest

WAN = next(card for card in LARGE_MODELS if card.name == "wan2.1-t2v-1.3b")
WISH = GenerationRequest(prompt="a chair", model=WAN.name)
DRIVER = """#!{python}
import json, sys
names = next(word for word in sys.argv if word.startswith("--query-gpu=")).split("=")[1].split(",")
for row in json.loads({rows!r}):
    print(", ".join(str(row[name]) for name in names))
"""
"""Answers as nvidia-smi does, whichever columns are asked for."""

Install = Callable[..., None]


def row(total_gb: float, free_gb: float, uuid: str = "GPU-aa", name: str = "Card X") -> dict:
    return {
        "name": name,
        "memory.total": round(total_gb * GB) >> 20,
        "memory.free": round(free_gb * GB) >> 20,
        "compute_cap": "8.9",
        "uuid": uuid,
    }


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return what sets a machine up: the driver's rows, gigabytes of main memory in all and free.

    No model is on disk.
    """
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def install(*rows: dict, ram_gb: float = 64, free_ram_gb: float = 64) -> None:
        driver = tmp_path / "nvidia-smi"
        driver.write_text(DRIVER.format(python=sys.executable, rows=json.dumps(rows)))
        driver.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        meminfo = tmp_path / "meminfo"
        meminfo.write_text(
            f"MemTotal:  {round(ram_gb * GB) >> 10} kB\nMemFree:  1 kB\n"
            f"MemAvailable:  {round(free_ram_gb * GB) >> 10} kB\n"
        )
        monkeypatch.setattr(machine, "MEMINFO", meminfo, raising=False)

    return install


def put_on_disk(card: LargeModelCard) -> None:
    """Leave the names of a download's files, which is all that is looked at before loading."""
    snapshot = cache_folder(card) / "snapshots" / card.revision
    snapshot.mkdir(parents=True)
    (snapshot / "model_index.json").touch()
    for part in card.parts:
        (snapshot / part.name).mkdir()
        (snapshot / part.name / "config.json").touch()
        (snapshot / part.name / "weights.safetensors").touch()


def test_the_model_that_fills_the_card_is_no_reason_to_refuse_its_next_wish(
    install: Install,
) -> None:
    """The page cannot tell its own worker's warm model from another program."""
    warm = needs(WAN, "resident").gpu_bytes / GB
    install(row(24, 24 - warm))
    # Nobody could load it beside itself.
    assert best_plan(WAN) is None
    with pytest.raises(InstallationError, match="is not on disk"):
        check_request(WISH)
    put_on_disk(WAN)
    check_request(WISH)
    assert WAN.runnable()


def test_networks_that_wait_in_main_memory_are_no_reason_either(install: Install) -> None:
    install(row(14, 14), ram_gb=16, free_ram_gb=4)
    assert best_plan(WAN) is None
    put_on_disk(WAN)
    check_request(WISH)
    assert WAN.runnable()


def test_a_card_that_is_too_small_is_so_when_it_is_idle_too(install: Install) -> None:
    least = (needs(WAN, "streamed").gpu_bytes + RESERVE) / GB
    install(row(least - 0.1, 1))
    put_on_disk(WAN)
    assert not WAN.runnable()
    with pytest.raises(RequestError, match=rf"the Card X has {least - 0.1:.0f} GB; choose"):
        check_request(WISH)
    install(row(24, 24), ram_gb=8, free_ram_gb=4)
    assert not WAN.runnable()
    with pytest.raises(RequestError, match="of main memory .*; 8 GB are free at most"):
        check_request(WISH)


def pretend_cuda(monkeypatch: pytest.MonkeyPatch, *devices: tuple[str, float, float]) -> None:
    """Let torch report GPUs in its own order: identifier, gigabytes in all and free."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(devices))
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)

    def properties(device: torch.device | str | int) -> SimpleNamespace:
        uuid, memory_gb, _ = devices[index_of(device)]
        return SimpleNamespace(
            name=f"Card {uuid}",
            uuid=uuid.removeprefix("GPU-"),
            total_memory=round(memory_gb * GB),
            major=8,
            minor=9,
        )

    def mem_get_info(device: torch.device | str | int) -> tuple[int, int]:
        _, memory_gb, free_gb = devices[index_of(device)]
        return round(free_gb * GB), round(memory_gb * GB)

    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    monkeypatch.setattr(torch.cuda, "mem_get_info", mem_get_info)


def index_of(device: torch.device | str | int) -> int:
    return device if isinstance(device, int) else torch.device(device).index or 0


def test_a_model_is_planned_for_the_memory_of_the_device_that_it_runs_on(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for the freest of the machine, nor for the whole of the card."""
    install(row(80, 80, "GPU-aa"), row(24, 5, "GPU-bb"))
    pretend_cuda(monkeypatch, ("GPU-bb", 24, 5), ("GPU-aa", 80, 80))
    with pytest.raises(RequestError, match="the Card GPU-bb has 5 GB free of 24; choose"):
        load_large_model(WAN, "cuda:0")
    # Large enough, so that the next thing which lacks is its files.
    with pytest.raises(InstallationError, match="is not on disk"):
        load_large_model(WAN, "cuda:1")


@pytest.mark.parametrize("freest", [0, 1, 2])
def test_the_freest_gpu_is_taken_by_torchs_number_for_it(
    install: Install, monkeypatch: pytest.MonkeyPatch, freest: int
) -> None:
    """The driver counts along the bus, CUDA from the fastest on and only what is visible."""
    free = [50.0 if index == freest else 10.0 for index in range(3)]
    # The first on the bus is the freest of all, but hidden from this process.
    rows = [row(80, free[index], f"GPU-{index}") for index in (2, 0, 1)]
    install(row(80, 80, "GPU-9"), *rows)
    pretend_cuda(monkeypatch, *((f"GPU-{index}", 80, free[index]) for index in range(3)))
    taken = []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3,1")
    assert ModelChain().device == torch.device("cuda", freest)
    assert taken == [torch.device("cuda", freest)]


def test_where_the_driver_says_nothing_of_them_the_first_gpu_is_taken(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    pretend_cuda(monkeypatch, ("MIG-1", 20, 20), ("MIG-2", 20, 20))
    assert ModelChain().device == torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert ModelChain().device == torch.device("cpu")


def test_an_idle_machine_is_the_same_machine_with_all_of_it_free(install: Install) -> None:
    install(row(24, 5), row(48, 3, name="Card, Y"), ram_gb=64, free_ram_gb=9)
    now, idle = this_machine(), machine.idle_machine()
    assert now.gpu is not None and now.gpu.name == "Card X"
    assert idle.gpu is not None and idle.gpu.name == "Card, Y"
    assert idle.gpus == tuple(dataclasses.replace(gpu, free=gpu.memory) for gpu in now.gpus)
    assert now.ram == pytest.approx(9 * GB, abs=1024)
    assert idle.ram == pytest.approx(64 * GB, abs=1024)
