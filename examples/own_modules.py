"""Any two modules: a recurrent generator and a critic that reads sequences with their labels.

A batch is a named tuple. Its floating parts are learned; labels, which are integers, are taken
from the real batch and handed through.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from sdv_wgangp.objectives.adversarial import objective
from sdv_wgangp.training.loop import train
from sdv_wgangp.training.runs import run_of
from sdv_wgangp.training.sources import TensorSource


class Waves(NamedTuple):
    values: Tensor  # [rows, 8 steps, 1], float
    loud: Tensor  # [rows], 0 or 1


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.head = nn.GRU(6, 24, batch_first=True), nn.Linear(24, 1)

    def forward(self, noise: Tensor, loud: Tensor) -> Waves:  # noise [rows, 4]
        inputs = torch.cat([noise, one_hot(loud, 2)], dim=1)[:, None].expand(-1, 8, -1)
        return Waves(self.head(self.gru(inputs)[0]), loud)


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(10, 64), nn.SiLU(), nn.Linear(64, 1))

    def forward(self, batch: Waves) -> Tensor:
        return self.layers(torch.cat([batch.values.flatten(1), one_hot(batch.loud, 2)], dim=1))


def draw(real: Waves, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """The generator's inputs, for as many rows as there are real ones."""
    return torch.randn(len(real.loud), 4, generator=random), real.loud


if __name__ == "__main__":
    torch.manual_seed(0)
    loud, phase = torch.randint(2, (2048,)), torch.rand(2048, 1)
    waves = (2 * torch.pi * (torch.arange(8) / 8 + phase)).sin() * (0.5 + loud[:, None])
    data = Waves(waves[:, :, None], loud)
    own = objective("wgan-gp", penalty_weight=0.1)
    run = run_of(Generator(), Critic(), own, noise=draw, seed=0, lr=(3e-3, 6e-3), ema_decay=0.98)
    train(run, TensorSource(data, 64), 20, [lambda log: print(log.epoch, log.losses)])
    generated = run.average.update_bn([])(*draw(data, run.random))
    for name, batch in (("real", data), ("generated", generated)):
        sizes = [batch.values[batch.loud == label].std().item() for label in (0, 1)]
        print(f"{name:<9} standard deviation {sizes[0]:.2f} quiet, {sizes[1]:.2f} loud")
