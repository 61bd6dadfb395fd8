"""Laws of the batched Muon."""

from copy import deepcopy

import torch
from torch.testing import assert_close

from pipelines.training.muon import BatchedMuon, orthogonal


def test_steps_are_those_of_torch_s_muon() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(24, 8), (8, 24), (24, 8), (8, 8)]
    mine = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    theirs = deepcopy(mine)
    settings = {"lr": 0.02, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}
    batched, plain = BatchedMuon(mine, **settings), torch.optim.Muon(theirs, **settings)
    begin = [parameter.detach().clone() for parameter in mine]
    for _ in range(3):
        for one, other in zip(mine, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        batched.step()
        plain.step()
    for one, other, before in zip(mine, theirs, begin, strict=True):
        # The iteration runs in bfloat16 in either.
        assert_close(one, other, atol=4e-3, rtol=0)
        assert float((one - before).detach().norm()) > 0.05
        ours, torchs = batched.state[one], plain.state[other]
        assert ours.keys() == torchs.keys()
        assert_close(ours["momentum_buffer"], torchs["momentum_buffer"])


def test_what_has_no_gradient_stays() -> None:
    still, moved = (torch.nn.Parameter(torch.ones(4, 4)) for _ in range(2))
    moved.grad = torch.eye(4)
    BatchedMuon([still, moved], lr=0.1, adjust_lr_fn="match_rms_adamw").step()
    assert_close(still.detach(), torch.ones(4, 4))
    assert not torch.equal(moved.detach(), torch.ones(4, 4))


def test_each_matrix_is_made_orthogonal_by_itself() -> None:
    generator = torch.Generator().manual_seed(1)
    matrices = (
        torch.randn(3, 12, 6, generator=generator) * torch.tensor([1e-3, 1.0, 1e3])[:, None, None]
    )
    values = torch.linalg.svdvals(orthogonal(matrices).float())
    assert float(values.min()) > 0.5 and float(values.max()) < 1.3
