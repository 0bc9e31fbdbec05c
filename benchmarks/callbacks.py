"""What callbacks cost: a training with one against the same training without.

The step takes about ten milliseconds (``--milliseconds``), as one of a table of a dozen columns on
two cores: players of 140,000 weights, and products of matrices that fill the time. Each way has a
training of its own; they take turns, an epoch each, in an order drawn anew, so that whatever else
the machine does meets all of them. An epoch's end is in the figures; figures of matplotlib's are
not.

    python benchmarks/callbacks.py --rounds 15
    python benchmarks/callbacks.py --only csv checkpoints --every-steps 1
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import timing
import torch
from torch import nn

from sdv_wgangp.objectives.adversarial import objective
from sdv_wgangp.training.callbacks.gradient_norms import GradientNorms
from sdv_wgangp.training.callbacks.progress import ProgressBar
from sdv_wgangp.training.loop import step
from sdv_wgangp.training.runs import run_of
from sdv_wgangp.training.sources import TensorSource
from sdv_wgangp.training.watchers import Watchers

NOTHING = "nothing"
STEPS, ROWS, WIDTH, COLUMNS = 100, 100, 256, 60
Timed = Callable[[], tuple[float, float]]


def callbacks(folder: Path, every_steps: int) -> dict[str, Callable[[], list[object]]]:
    """What can be compared, by name; each makes its callbacks."""

    def csv():
        from sdv_wgangp.training.callbacks.csv import CSVTracker

        return [CSVTracker(folder / "csv", every_steps)]

    def tensorboard():
        from sdv_wgangp.training.callbacks.tensorboard import TensorBoardTracker

        return [TensorBoardTracker(folder / "tensorboard", every_steps)]

    def aim():
        from sdv_wgangp.training.callbacks.aim import AimTracker

        return [AimTracker(folder / "aim", "benchmark", every_steps)]

    def checkpoints():
        from sdv_wgangp.training.callbacks.checkpoint import Checkpoints

        return [Checkpoints(folder / "checkpoints")]

    ways = {
        "progress": lambda: [ProgressBar()],
        "gradient norms": lambda: [GradientNorms()],
        "csv": csv,
        "tensorboard": tensorboard,
        "aim": aim,
        "checkpoints": checkpoints,
    }
    return {
        name: make
        for name, make in ways.items()
        if find_spec(name) or name not in ("aim", "tensorboard")
    }


class Filler(nn.Module):
    """A layer that takes time."""

    def __init__(self):
        super().__init__()
        self.times, self.size = 0, 192
        self.matrix = torch.randn(self.size, self.size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(self.times):
            torch.mm(self.matrix, self.matrix)
        return x


def training(filler: Filler, made: list[object]) -> Timed:
    """A training, an epoch of which each call makes."""
    torch.manual_seed(0)
    generator = nn.Sequential(
        nn.Linear(32, WIDTH),
        nn.ReLU(),
        nn.Linear(WIDTH, WIDTH),
        nn.ReLU(),
        nn.Linear(WIDTH, COLUMNS),
    )
    critic = nn.Sequential(
        nn.Linear(COLUMNS, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1), nn.Flatten(0), filler
    )
    run = run_of(generator, critic, objective("wgan"), noise=32, seed=0)
    source = TensorSource(torch.randn(STEPS * ROWS, COLUMNS), ROWS)
    watchers = Watchers(made, run)
    run.begin(source, 10**6, watchers)
    watchers.tell("on_fit_begin")

    def epoch() -> tuple[float, float]:
        return timing.timed(one_epoch)

    def one_epoch() -> None:
        run.epoch_started = time.perf_counter()
        for drawn in source.epoch(run):
            run.count(step(run, drawn))
            watchers.tell("on_step")
        run.finish_epoch()
        watchers.tell("on_epoch")

    epoch.end = watchers.end
    return epoch


def fill(milliseconds: float) -> Filler:
    """What makes a step take so long."""
    filler = Filler()
    for times in (0, 20):
        filler.times = times
        epoch = training(filler, [])
        epoch()
        seconds = epoch()[1] / STEPS
        if times == 0:
            bare = seconds
    each = max((seconds - bare) / 20, 1e-6)
    filler.times = max(0, round((milliseconds / 1000 - bare) / each))
    return filler


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--milliseconds", type=float, default=10.0, help="of a step")
    parser.add_argument("--every-steps", type=int, default=10, help="of the trackers")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", nargs="+", default=None, help="some of them")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        makers = callbacks(Path(folder), arguments.every_steps)
        if arguments.only:
            makers = {name: makers[name] for name in arguments.only}
        filler = fill(arguments.milliseconds)
        ways = {NOTHING: training(filler, [])}
        ways |= {name: training(filler, make()) for name, make in makers.items()}
        found = timing.alternate(ways, rounds=arguments.rounds)
        for way in ways.values():
            way.end()
    base = found[NOTHING]
    rows = []
    for name, times in found.items():
        wall, cpu = timing.ratios(times, base)
        more = timing.quartiles(1000 * (times - base)[:, 1] / STEPS)
        own = timing.quartiles(1000 * times[:, 0] / STEPS)
        rows.append(
            [
                name,
                timing.spread(own, 2),
                timing.spread(wall, 3),
                timing.spread(cpu, 3),
                timing.spread(more, 3),
            ]
        )
    print(f"steps of {STEPS} in an epoch; trackers every {arguments.every_steps} steps")
    headings = ["", "ms a step", "ratio, clock", "ratio, CPU", "more CPU ms a step"]
    print(timing.markdown(headings, rows))


if __name__ == "__main__":
    main()
