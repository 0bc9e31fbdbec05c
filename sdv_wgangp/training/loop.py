"""A training, of any model, from top to bottom.

A *step* (`update`) moves each critic ``critic_steps`` times against a resting generator, then the
generator against resting critics. `train` makes steps until the epochs are over, a callback wants
an end, or something fails; it continues where the `Run` is. Networks, data and objectives are
known here by the protocols of `players.protocols` alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from sdv_wgangp.players.protocols import Losses, Pulls, scaled
from sdv_wgangp.training.run import Run
from sdv_wgangp.training.signals import Interruptions
from sdv_wgangp.training.sources import Source
from sdv_wgangp.training.watchers import Watchers

logger = logging.getLogger(__name__)


def train(run: Run, source: Source, epochs: int, callbacks: Sequence[Any] = ()) -> Run:
    """Train until ``epochs`` are made in all; the run holds what was learned, whatever happens.

    Args:
        run: Where the training is; a new one begins, a loaded one continues.
        source: Of the real batches.
        epochs: Counted from the beginning of the run. The last one is shorter than the others
            where the schedule ends before.
        callbacks: `training.watchers` says what they can be.

    Raises:
        NonFiniteLossError: A loss or weight is not a number any more.
        Exception: What a callback raised. All callbacks have then been told of the end.
        SystemExit: With code 143, after a step, when the process is asked to terminate.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from sdv_wgangp.objectives.adversarial import objective
        >>> from sdv_wgangp.training.runs import run_of
        >>> from sdv_wgangp.training.sources import TensorSource
        >>> generator, critic = nn.Linear(4, 2), nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
        >>> run = run_of(generator, critic, objective("wgan-gp"), noise=4, seed=0)
        >>> source = TensorSource(torch.randn(64, 2), batch_size=16)
        >>> [log.epoch for log in train(run, source, epochs=2).logs]
        [0, 1]
    """
    watchers = Watchers(callbacks, run)
    run.begin(source, epochs, watchers)
    with Interruptions() as interruptions, run.own_global_random():
        try:
            watchers.tell("on_fit_begin")
            while not run.over and not interruptions.pending:
                run.epoch_started = time.perf_counter()
                for drawn in source.epoch(run, start=run.step_in_epoch):
                    run.whole = False
                    try:
                        losses = step(run, drawn)
                    except FloatingPointError:
                        run.fail()
                    run.count(losses)
                    run.whole = True
                    watchers.tell("on_step")
                    if run.over or interruptions.pending:
                        break
                if run.epoch_over:
                    run.finish_epoch()
                    watchers.tell("on_epoch")
            if interruptions.pending == "SIGINT":
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            logger.warning(
                "Training was interrupted after %d of %d epochs; the model keeps what it has "
                "learned so far.",
                run.epoch,
                epochs,
            )
        finally:
            watchers.end()
    if interruptions.pending == "SIGTERM":
        raise SystemExit(143)
    return run


def step(run: Run, drawn: Any) -> Losses:
    """One step: the host's part, then the device's (`update`, or a graph of it).

    Raises:
        ValueError: The run has no schedule yet.
    """
    schedule = run.schedule
    if schedule is None:
        raise ValueError("the run has no schedule: begin it (`Run.begin`), or set run.schedule")
    critic_factors = schedule.factors(run.critic_steps)
    generator_factors = schedule.factors(run.generator_steps)
    schedule.advance()
    for name, optimizer in run.optimizers.items():
        optimizer.advance(generator_factors if name == "generator" else critic_factors)
    for term in run.terms.values():
        term.advance(schedule.phase)
    return (run.graph or update)(run, drawn)


def update(run: Run, drawn: Any) -> Losses:
    """What happens on the device in a step. All that it reads stays where it is.

    Args:
        drawn: What the source gave for this step.
    """
    found, steps_before = [], run.step * run.critic_steps
    reals = run.source.batches(drawn, run.random)
    # Where a generator follows its terms alone, there is nobody to show rows to.
    shown = reals if run.critics else []
    fakes = run.generator.fakes(shown, run.random)
    for number, (real, fake) in enumerate(zip(shown, fakes, strict=True)):
        losses = []
        for name, critic in run.critics.items():
            gradients, own = critic.player.step(
                critic.objective, steps_before + number, real, fake, run.random
            )
            run.move(name, gradients, number)
            losses.append(own.within(name))
        found.append(Losses.joined(losses))
    losses = [Losses.mean(found)] if found else []
    real, found = run.generator.given(reals[-1]), []
    for number in range(run.generator_steps):
        generated = run.generator.forward(real, run.random)
        fake, pulls, parts = run.generator.rows(generated), Pulls(), []
        for name, critic in run.critics.items():
            loss, rows = critic.player.pull(critic.objective, fake, real, run.random)
            pulls += Pulls(scaled(rows, critic.weight))
            parts.append(Losses((run.adversarial_name(name),), critic.weight * loss[None]))
        for term in run.terms.values():
            own, pull = term.pull(run.generator, generated, fake, real)
            pulls += pull
            parts.append(own)
        run.move("generator", run.generator.backward(generated, pulls), number)
        run.generator.refresh()
        found.append(Losses.joined(parts))
    return Losses.joined([*losses, Losses.mean(found)])
