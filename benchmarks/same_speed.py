"""Whether two checkouts train as fast: steps of the same table, in turns of one process each.

    python benchmarks/same_speed.py --before ../other-checkout --dataset adult

Prints the ratio of the two CPU times for every pair of turns: its median, and the middle half.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
FIRST = 30  # steps that nobody times


class Enough(Exception):
    """The other end has hung up."""


class Turn:
    """After every step of a training: when a block is over, answer and wait for the next turn."""

    def __init__(self, block: int):
        self.block, self.steps, self.started = block, 0, 0.0
        self.answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def __call__(self) -> None:
        self.steps += 1
        done = self.steps - FIRST
        if done < 0 or done % self.block:
            return
        seconds = time.process_time() - self.started
        print(json.dumps(seconds / self.block if done else None), file=self.answers, flush=True)
        if not sys.stdin.readline():
            raise Enough
        self.started = time.process_time()


def work(dataset: str, folder: str | None, block: int, settings: dict) -> None:
    """Train until nobody asks any more."""
    import datasets
    import torch

    from sdv_wgangp.models.tabular import TabularModel
    from sdv_wgangp.training.settings import TrainingSettings

    torch.set_num_threads(1)
    train = datasets.load(dataset, folder=Path(folder) if folder else None).train
    turn = Turn(block)
    options: dict = {}
    try:
        from sdv_wgangp.training.trainer import Trainer  # before there was one loop
    except ImportError:
        options["callbacks"] = [Stepping(turn)]
    else:
        original = Trainer._step

        def step(self, index):
            losses = original(self, index)
            turn()
            return losses

        Trainer._step = step
    model = TabularModel(
        TrainingSettings(epochs=10**6, **({"batch_size": 500} | settings)), random_state=0
    )
    try:
        model.fit(train, **options)
    except Enough:
        os._exit(0)


class Stepping:
    """A callback that has a turn after every step, and whose `Enough` ends the process."""

    def __init__(self, turn: Turn):
        self.turn = turn

    def on_step(self, run) -> None:
        try:
            self.turn()
        except Enough:
            os._exit(0)


class Checkout:
    """A process that trains with the package of a checkout, a block of steps at a time."""

    def __init__(self, path: Path, arguments: list):
        code = (
            f"import sys; sys.path.insert(0, {str(path)!r}); "
            f"sys.path.append({str(ROOT / 'benchmarks')!r}); "
            "import sdv_wgangp, same_speed; "
            f"assert sdv_wgangp.__file__.startswith({str(path)!r}), sdv_wgangp.__file__; "
            f"same_speed.work(*{arguments!r})"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        self.answer()

    def answer(self) -> float | None:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("a process has ended before its turn")
        return json.loads(line)

    def turn(self) -> float:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True, help="a built checkout")
    parser.add_argument("--after", type=Path, default=ROOT, help="another (default: this one)")
    parser.add_argument("--dataset", default="adult", help="a table of benchmarks/datasets.py")
    parser.add_argument("--folder", help="where the tables are")
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--block", type=int, default=20, help="steps in a turn")
    parser.add_argument("--settings", type=json.loads, default={}, help="of the training, as JSON")
    options = parser.parse_args()
    arguments = [options.dataset, options.folder, options.block, options.settings]
    both = [Checkout(path.resolve(), arguments) for path in (options.before, options.after)]
    times = []
    for turn in range(options.turns):
        order = (0, 1) if turn % 2 else (1, 0)
        pair = [0.0, 0.0]
        for index in order:
            pair[index] = both[index].turn()
        times.append(pair)
    for checkout in both:
        checkout.end()
    before, after = np.array(times).T
    low, middle, high = np.quantile(after / before, [0.25, 0.5, 0.75])
    print(
        f"{options.dataset} {options.settings}: before {1e3 * np.median(before):.2f} ms, after "
        f"{1e3 * np.median(after):.2f} ms of CPU a step; ratio {middle:.3f} ({low:.3f} to "
        f"{high:.3f}) over {len(times)} pairs of {options.block} steps"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
