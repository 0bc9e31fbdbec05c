from __future__ import annotations

import pytest
import torch

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(params=DEVICES)
def device(request) -> str:
    return request.param


def ragged(rows, widths, device="cpu", dtype=torch.float32, seed=0, spread=3.0):
    """Logits, Gumbel noise and offsets for columns of the given widths."""
    generator = torch.Generator().manual_seed(seed)
    width = sum(widths)
    logits = spread * torch.randn(rows, width, generator=generator, dtype=dtype)
    uniform = torch.rand(rows, width, generator=generator, dtype=dtype).clamp_(min=1e-30)
    noise = -torch.log(-torch.log(uniform))
    offsets = torch.tensor([0, *widths]).cumsum(0)
    return logits.to(device), noise.to(device), offsets.to(device)


@pytest.fixture(name="ragged")
def ragged_fixture():
    return ragged
