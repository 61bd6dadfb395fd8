"""Admission by memory: what cannot fit is refused, with what would."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import RequestError
from pipelines.jobs.memory import check_memory, estimated_bytes
from pipelines.request import TEXTURE_SIZES, GenerationRequest
from threed import memory
from threed.memory import check_reconstruction, machine_bytes

REQUEST = GenerationRequest(prompt="a chair")
GIB = 2.0**30


def test_more_of_anything_needs_more() -> None:
    least = estimated_bytes(replace(REQUEST, video_only=True))
    needs = [estimated_bytes(replace(REQUEST, texture_size=size)) for size in TEXTURE_SIZES]
    assert [least, *needs] == sorted([least, *needs])
    assert estimated_bytes(replace(REQUEST, num_frames=48)) > estimated_bytes(REQUEST)
    assert estimated_bytes(replace(REQUEST, size=256)) > estimated_bytes(REQUEST)


def test_the_default_fits_the_smallest_host_that_the_manual_names() -> None:
    check_memory(REQUEST, 4 * GIB)


def test_the_cheaper_setting_that_is_named_would_fit_and_the_next_larger_would_not() -> None:
    large = replace(REQUEST, texture_size=4096)
    with pytest.raises(RequestError, match="a texture of 1024 pixels would fit") as refused:
        check_memory(large, 2.0 * GIB)
    assert "the server has 2.0" in str(refused.value)
    check_memory(replace(large, texture_size=1024), 2.0 * GIB)
    with pytest.raises(RequestError):
        check_memory(replace(large, texture_size=2048), 2.0 * GIB)
    with pytest.raises(RequestError, match="smaller video"):
        check_memory(REQUEST, 0.5 * GIB)


def test_a_containers_limit_counts_where_it_is_lower_than_the_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP_LIMITS", (tmp_path / "max", tmp_path / "absent"))
    assert machine_bytes() == float("inf")
    (tmp_path / "meminfo").write_text("MemTotal:       16384000 kB\nMemFree: 1 kB\n")
    assert machine_bytes() == 16384000 * 1024
    (tmp_path / "max").write_text("max\n")
    assert machine_bytes() == 16384000 * 1024
    (tmp_path / "max").write_text("4294967296\n")
    assert machine_bytes() == 4294967296


def test_a_reconstruction_of_ones_own_frames_is_refused_as_well() -> None:
    check_reconstruction(48, 128, 1024, 2 * GIB)
    with pytest.raises(RequestError, match="smaller --size or --texture"):
        check_reconstruction(48, 1024, 1024, 8 * GIB)
    with pytest.raises(RequestError, match="a texture of 8192"):
        check_reconstruction(48, 128, 8192, 8 * GIB)
