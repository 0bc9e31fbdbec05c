"""A process of the speed benchmark: does its work a turn at a time.

Called by `speed_cases.workers.Worker` with a JSON object; every answer is a line of JSON, and a
line on standard input asks for the next turn (the end of the input: stop). A process of its own
has its own settings of torch and of the allocator, CPU seconds and peak memory.

``steps``: training steps, in whoever's own training loop. Where one of CTGAN's ends is told by
torch's hook after every optimizer's step (`critic_steps` of the critic's and one of the
generator's make a training step), ours by a callback. Fitting encoders or transformers comes
before, and does not count.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from itertools import pairwise

import job
import synthesizers
import torch
from datasets import Dataset
from speed_cases import tables
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

BATCH = 500


class Finished(BaseException):
    """Nobody asks for another turn.

    After an `Exception` of a callback a fit would go on with its calibration.
    """


class Turns:
    """The other end of `speed_cases.workers.Worker`."""

    def __init__(self) -> None:
        # Libraries may print: answers have a channel of their own.
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def answer(self, **content: object) -> None:
        print(json.dumps(job.finite(content)), file=self._answers, flush=True)

    def wait(self) -> None:
        if not sys.stdin.readline():
            raise Finished


class StepClock:
    """Counts training steps, and has a turn every `block` of them once `warm` are done.

    Args:
        turns: Where to answer.
        optimizer_steps: How many calls make a training step.
        warm, block: Training steps.
        about: Asked once for what the first answer tells.
    """

    def __init__(
        self, turns: Turns, optimizer_steps: int, warm: int, block: int, about: Callable[[], dict]
    ) -> None:
        self._turns, self._each, self._warm, self._block = turns, optimizer_steps, warm, block
        self._about = about
        self._calls = 0
        self._started = (0.0, 0.0)

    def __call__(self, *_) -> None:
        self._calls += 1
        if self._calls % self._each:
            return
        steps = self._calls // self._each - self._warm
        if steps < 0 or steps % self._block:
            return
        wall, cpu = time.perf_counter(), time.process_time()
        if steps == 0:
            self._turns.answer(**self._about(), peak_mb=job.peak_memory_mb())
        else:
            self._turns.answer(
                wall=(wall - self._started[0]) / self._block,
                cpu=(cpu - self._started[1]) / self._block,
                peak_mb=job.peak_memory_mb(),
            )
        self._turns.wait()
        self._started = time.perf_counter(), time.process_time()


def autograd_critic(width: int) -> nn.Module:
    """Our critic's shape as any module: it takes the general path, double backward."""
    return nn.Sequential(
        nn.Linear(width, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 1),
        nn.Flatten(0),
    )


class AfterSteps:
    """A callback that calls something after every training step."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def on_step(self, run: object) -> None:
        self._call()


def our_steps(dataset: Dataset, turns: Turns, spec: dict) -> None:
    from sdv_wgangp.models.tabular import TabularModel
    from sdv_wgangp.networks.views import Views
    from sdv_wgangp.training.settings import TrainingSettings

    settings = TrainingSettings(
        epochs=10**6,
        batch_size=BATCH,
        discriminator_steps=spec["critic_steps"],
        precision=spec.get("precision", "medium"),
    )
    critic = {"critic": autograd_critic} if spec["who"] == "autograd" else {}
    model = TabularModel(settings, random_state=0, enable_gpu=False, **critic)

    def about() -> dict:
        layout = model.layout
        return {
            "levels": layout.levels,
            "positions": len(layout.positioned),
            "dense": Views(layout).width,
            "white": len(Views(layout).scored),
            "noise": model.embedding_dim,
            "generator": model.generator_dim,
            "critic": model.discriminator_dim,
            "pac": model.pac,
            "batch": settings.batch_size,
            "critic_steps": settings.discriminator_steps,
            "base_mb": base,
        }

    base = job.peak_memory_mb()
    clock = StepClock(turns, 1, spec["warm"], spec["block"], about)
    discrete = [name for name, kind in dataset.columns.items() if kind != "numerical"]
    model.fit(dataset.train, discrete_columns=discrete, callbacks=[AfterSteps(clock)])


def ctgan_steps(dataset: Dataset, turns: Turns, spec: dict) -> None:
    """CTGAN's own `fit`, with its defaults."""
    from ctgan import CTGAN

    model = CTGAN(
        epochs=10**6,
        batch_size=BATCH,
        discriminator_steps=spec["critic_steps"],
        enable_gpu=False,
    )
    base = job.peak_memory_mb()

    def about() -> dict:
        return {
            "levels": model._transformer.output_dimensions,
            "condition": int(model._data_sampler.dim_cond_vec()),
            "critic_steps": spec["critic_steps"],
            "batch": BATCH,
            "base_mb": base,
        }

    clock = StepClock(turns, spec["critic_steps"] + 1, spec["warm"], spec["block"], about)
    register_optimizer_step_post_hook(clock)
    discrete = [name for name, kind in dataset.columns.items() if kind != "numerical"]
    model.fit(dataset.train, discrete)


def steps(turns: Turns, spec: dict) -> None:
    dataset = tables.named(spec["table"])
    (ctgan_steps if spec["who"] == "ctgan" else our_steps)(dataset, turns, spec)


def _synthesizer(dataset: Dataset, who: str, epochs: int):
    from sdv import single_table

    from sdv_wgangp.single_table import WGANGPMFSSynthesizer

    metadata = synthesizers._sdv_metadata(dataset)
    if who == "ctgan":
        synthesizers._seed_globally(0)
        return single_table.CTGANSynthesizer(metadata, epochs=epochs, enable_gpu=False)
    return WGANGPMFSSynthesizer(metadata, epochs=epochs, enable_gpu=False, random_state=0)


def fit(turns: Turns, spec: dict) -> None:
    """A whole fit through SDV, and a save where asked for; every training step is timed."""
    dataset = tables.named(spec["table"])
    synthesizer = _synthesizer(dataset, spec["who"], spec["epochs"])
    base = job.peak_memory_mb()
    ends: list[float] = []
    ours = spec["who"] != "ctgan"
    per_step = 1 if ours else synthesizer.discriminator_steps + 1
    calls = 0

    def after(*_) -> None:
        nonlocal calls
        calls += 1
        if calls % per_step == 0:
            ends.append(time.perf_counter())

    if ours:
        synthesizer.set_callbacks([AfterSteps(after)])
    else:
        register_optimizer_step_post_hook(after)
    wall, cpu = time.perf_counter(), time.process_time()
    synthesizer.fit(synthesizers.sdv_frames(dataset.train))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if spec.get("save"):
        synthesizer.save(spec["save"])
    gaps = sorted(later - earlier for earlier, later in pairwise(ends))
    turns.answer(
        wall=wall,
        cpu=cpu,
        steps=len(ends),
        step_ms=gaps[len(gaps) // 2] * 1e3 if gaps else None,
        base_mb=base,
        peak_mb=job.peak_memory_mb(),
        training_rows=len(dataset.train),
    )


def sample(turns: Turns, spec: dict) -> None:
    """Rows from a saved synthesizer, through SDV, as one frame."""
    from sdv.utils import load_synthesizer

    synthesizer = load_synthesizer(spec["model"])
    if spec.get("calibrated") is not None:
        synthesizer._model.calibrated = spec["calibrated"]
    synthesizers.sdv_sample(synthesizer, 1_000)
    turns.answer(base_mb=job.peak_memory_mb())
    while True:
        turns.wait()
        synthesizer.reset_sampling()
        wall, cpu = time.perf_counter(), time.process_time()
        frame = synthesizers.sdv_sample(synthesizer, spec["rows"])
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if len(frame) != spec["rows"]:
            raise RuntimeError(f"{len(frame)} rows instead of {spec['rows']}")
        del frame
        turns.answer(wall=wall, cpu=cpu, peak_mb=job.peak_memory_mb())


def stream(turns: Turns, spec: dict) -> None:
    """``sdv-wgangp sample``: its time with loading the model, and its peak memory."""
    from sdv_wgangp import cli

    wall, cpu = time.perf_counter(), time.process_time()
    rows = str(spec["rows"])
    code = cli.main(["sample", spec["model"], "--rows", rows, "--output", spec["output"]])
    if code:
        raise RuntimeError(f"sdv-wgangp sample ended with {code}")
    turns.answer(
        wall=time.perf_counter() - wall,
        cpu=time.process_time() - cpu,
        peak_mb=job.peak_memory_mb(),
        bytes=os.path.getsize(spec["output"]),
    )


KINDS = {"steps": steps, "fit": fit, "sample": sample, "stream": stream}


@contextmanager
def _limited(gigabytes: float | None):
    """No more memory than this: what asks for more gets an error instead of the whole machine."""
    if gigabytes is not None:
        limit = int(gigabytes * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    yield


def main() -> None:
    spec = json.loads(sys.argv[1])
    turns = Turns()
    torch.set_num_threads(spec["threads"])
    warnings.simplefilter("ignore")
    with _limited(spec.get("memory_limit_gb")):
        try:
            KINDS[spec["kind"]](turns, spec)
        except Finished:
            return


if __name__ == "__main__":
    main()
