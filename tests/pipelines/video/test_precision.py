import pytest
import torch

from pipelines.errors import RequestError
from pipelines.video.precision import fast_dtype, mixed_precision


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_what_is_asked_for_is_computed_in(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATHE_PRECISION", name)
    wanted = {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
    assert fast_dtype("cpu") == wanted
    with mixed_precision("cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == wanted


def test_an_unknown_precision_is_refused_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LATHE_PRECISION", "float16")
    with pytest.raises(RequestError, match=r"'float16'; it can be bfloat16 or float32"):
        fast_dtype("cpu")
