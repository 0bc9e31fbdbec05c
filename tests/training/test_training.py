"""The parts of the training loop."""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import TableEncoder
from sdv_wgangp.networks.critic import MLPCritic
from sdv_wgangp.networks.generator import Generator
from sdv_wgangp.networks.views import Views
from sdv_wgangp.training import trainer as trainer_module
from sdv_wgangp.training.average import WeightAverage
from sdv_wgangp.training.conditions import given_columns
from sdv_wgangp.training.memory import held_memory
from sdv_wgangp.training.optimizer import Adam
from sdv_wgangp.training.precision import matmul_precision
from sdv_wgangp.training.schedule import Schedule
from sdv_wgangp.training.settings import MIN_STEPS_PER_EPOCH, TrainingSettings
from sdv_wgangp.training.trainer import Trainer
from sdv_wgangp.training.validation import EarlyStopping


def test_the_average_follows_the_recursion():
    layer = nn.Linear(1, 1, bias=False)
    average = WeightAverage(layer)
    adam = Adam(layer.parameters(), 0.1, 0.0, average.module.parameters(), 0.5)
    expected = layer.weight.item()
    for step in range(1, 30):
        adam.advance([1.0])
        adam.apply([torch.randn(1, 1)])
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * layer.weight.item()
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-5)


def test_adam_is_torchs():
    torch.manual_seed(0)
    networks = [nn.Linear(7, 3), nn.Linear(7, 3)]
    networks[1].load_state_dict(networks[0].state_dict())
    ours = Adam(networks[0].parameters(), 0.1, 0.1, ahead=2)
    theirs = torch.optim.Adam(networks[1].parameters(), 0.1, (0.0, 0.9), weight_decay=0.1)
    for step in range(20):
        x = torch.randn(5, 7)
        for network in networks:
            network.zero_grad()
            network(x).square().sum().backward()
        if step % 2 == 0:
            ours.advance([0.1, 0.05])
        ours.apply([parameter.grad for parameter in networks[0].parameters()], step % 2)
        theirs.param_groups[0]["lr"] = 0.1 * (0.1, 0.05)[step % 2]
        theirs.step()
    for one, other in zip(*(network.parameters() for network in networks), strict=True):
        torch.testing.assert_close(one, other)


def test_settled_batch_statistics_are_those_of_the_batches():
    network = nn.Sequential(nn.BatchNorm1d(2))
    average = WeightAverage(network)
    batches = [torch.randn(50, 2) * 3 + 7 for _ in range(8)]
    settled = average.settle((batch,) for batch in batches)
    means = torch.stack([batch.mean(0) for batch in batches]).mean(0)
    variances = torch.stack([batch.var(0) for batch in batches]).mean(0)
    torch.testing.assert_close(settled[0].running_mean, means)
    torch.testing.assert_close(settled[0].running_var, variances)
    assert not settled.training


def test_precision_is_restored_also_after_an_error():
    before = torch.get_float32_matmul_precision()
    inside = []

    def fail():
        with matmul_precision("medium"):
            inside.append(torch.get_float32_matmul_precision())
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert inside == ["medium"]
    assert torch.get_float32_matmul_precision() == before


def test_held_memory_computes_the_same():
    x = torch.randn(700, 700)
    with held_memory():
        inside = [(x @ x).sum() for _ in range(3)]
    assert all(torch.equal(value, (x @ x).sum()) for value in inside)


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc"
)
def test_held_memory_gives_back_on_request():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    with held_memory() as release:
        release()
        before = resident()
        blocks = [torch.ones(2**18) for _ in range(100)]  # a megabyte each
        del blocks[::2]  # what is freed lies between what is not
        held = resident()
        release()
        released = resident()
    assert held - before > 80e6
    assert held - released > 40e6


@pytest.fixture
def make_trainer():
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"kind": random.choice(list("abc"), 70), "x": random.normal(size=70)})
    encoder = TableEncoder().fit(frame)
    table, layout = encoder.encode(frame, random), Layout.of(encoder)

    def make(critic=None, **settings):
        generator = torch.Generator().manual_seed(0)
        views = Views(layout)
        settings = TrainingSettings(batch_size=20, **settings)
        given = len(given_columns(layout, settings, 1))
        dense = views.width + given
        networks = (
            Generator(4, (8,), layout, generator, conditioned=min(given, 1)),
            MLPCritic(layout.levels, dense, (8,), generator)
            if critic is None
            else critic(layout.levels + dense),
        )
        trainer = Trainer(*networks, views, layout, settings, generator)
        return trainer, table

    return make


def test_every_row_is_seen_before_any_is_seen_again(make_trainer):
    trainer, table = make_trainer()
    batches = list(trainer._batches(len(table), 7))
    assert [len(batch) for batch in batches] == [20] * 7
    seen = torch.cat(batches).bincount(minlength=70)
    assert seen.tolist() == [2] * 70


def test_a_small_table_gets_the_least_number_of_steps(make_trainer):
    trainer, table = make_trainer(epochs=2)
    trainer.fit(table)
    assert trainer.optimizers[0].steps == 2 * MIN_STEPS_PER_EPOCH
    assert [log.epoch for log in trainer.logs] == [0, 1]


def test_learning_rates_stay_for_half_the_steps_then_fall_to_zero(make_trainer):
    trainer, table = make_trainer(epochs=4, generator_lr=0.5, discriminator_lr=0.25)
    rates = []
    trainer.fit(
        table,
        (lambda log: rates.append([adam.rate for adam in trainer.optimizers]),),
    )
    # Of the last step of each epoch: the rates reach 0 with the step that is not made any more.
    step = 1 / (2 * MIN_STEPS_PER_EPOCH)  # of the generator, as a share of the decay
    generator = [0.5, 0.5, 0.5 * (0.5 + step), 0.5 * step]
    critic = [0.25, 0.25, 0.25 * (0.5 + step / 2), 0.25 * step / 2]
    np.testing.assert_allclose(rates, np.transpose([generator, critic]), atol=1e-9)


@pytest.mark.parametrize(("interval", "steps"), [(1, 2), (2, 1), (3, 2), (4, 2)])
def test_lazy_penalties_come_every_so_often(make_trainer, monkeypatch, interval, steps):
    trainer, table = make_trainer(
        epochs=1, gradient_penalty_interval=interval, discriminator_steps=steps
    )
    seen = []
    original = trainer_module.critic_step

    def record(*arguments):
        seen.append((arguments[-1], arguments[4]))
        return original(*arguments)

    monkeypatch.setattr(trainer_module, "critic_step", record)
    trainer.fit(table)
    assert len(seen) == MIN_STEPS_PER_EPOCH * steps
    for index, (kind, weight) in enumerate(seen):
        assert kind == ("none" if index % interval else "wgan-gp")
        assert weight == 10 * interval


@pytest.mark.parametrize(
    ("settings", "capturable"),
    [
        ({}, True),
        ({"meta_features": ("mean", "frequency")}, True),
        ({"meta_features": ("mean",), "meta_feature_distance": "sinkhorn"}, True),
        ({"meta_features": ("mean",), "meta_feature_distance": "transport"}, False),
        ({"meta_features": ("eigenvalues",)}, False),
        ({"cuda_graph": False}, False),
    ],
    ids=str,
)
def test_what_asks_the_host_is_not_captured(make_trainer, settings, capturable):
    trainer, table = make_trainer(epochs=1, **settings)
    trainer.fit(table)
    assert trainer._capturable == capturable


class IdleCritic(nn.Module):
    """Not all of its parameters are trained or matter."""

    def __init__(self, width):
        super().__init__()
        self.used = nn.Linear(width, 1)
        self.idle = nn.Linear(2, 2)
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)

    def forward(self, rows):
        return self.used(rows).squeeze(1)


def test_a_critic_with_idle_and_frozen_parameters_can_be_trained(make_trainer):
    trainer, table = make_trainer(IdleCritic, epochs=1)
    before = {name: value.clone() for name, value in trainer.critic.state_dict().items()}
    trainer.fit(table)
    after = trainer.critic.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved - {"used.bias"} == {"used.weight"}
    assert np.isfinite(trainer.logs[-1].discriminator_loss)


class StridedCritic(nn.Module):
    """Its weight is stored by columns, its gradient comes expanded."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, width).T)

    def forward(self, rows):
        return (rows @ self.weight).sum(1)


def test_parameters_in_any_memory_format_can_be_trained(make_trainer):
    trainer, table = make_trainer(StridedCritic, epochs=1)
    assert not StridedCritic(4).weight.is_contiguous()
    trainer.fit(table)
    assert trainer.critic.weight.abs().sum() > 0


class Ticking:
    """A clock that goes on by so many seconds for each training step."""

    def __init__(self, trainer, seconds):
        self.now = 100.0
        original = trainer._step

        def step(index):
            losses = original(index)
            self.now += seconds
            return losses

        trainer._step = step

    def __call__(self):
        return self.now


def timed(trainer, table, monkeypatch, per_step, **options):
    clock = Ticking(trainer, per_step)
    monkeypatch.setattr(
        trainer_module, "Schedule", lambda steps, seconds: Schedule(steps, seconds, clock)
    )
    rates = []

    def record(log):
        rates.append(trainer.optimizers[0].rate)

    trainer.fit(table, (record,), **options)
    return rates


def test_rates_have_fallen_to_zero_when_the_time_is_up(make_trainer, monkeypatch):
    trainer, table = make_trainer(epochs=1000, generator_lr=0.5)
    steps = int(2.5 * MIN_STEPS_PER_EPOCH)
    rates = timed(trainer, table, monkeypatch, 0.25, seconds=0.25 * steps)
    assert trainer.schedule.steps == steps
    assert [log.epoch for log in trainer.logs] == [0, 1, 2]
    # Before the last step of an epoch, what is left of the decay in the second half.
    assert rates == pytest.approx([0.5, 0.5 * 2 * (0.2 + 1 / steps), 0.5 * 2 / steps])
    assert all(np.isfinite(log.generator_loss) for log in trainer.logs)


def test_a_budget_that_is_not_needed_changes_nothing(make_trainer, monkeypatch):
    weights = []
    for seconds in (None, 1000.0):
        trainer, table = make_trainer(epochs=3)
        timed(trainer, table, monkeypatch, 0.25, seconds=seconds)
        assert len(trainer.logs) == 3
        weights.append(torch.cat([p.flatten() for p in trainer.result().parameters()]))
    assert torch.equal(*weights)


def test_checks_do_not_disturb_the_training(make_trainer):
    """Scores that keep rising stop nothing: the run is the one without checks."""
    finals, scores = [], itertools.count()
    for stopping in (None, EarlyStopping(lambda generator: next(scores), 0.0, 1)):
        trainer, table = make_trainer(epochs=5)
        trainer.fit(table, stopping=stopping)
        finals.append(torch.cat([p.flatten() for p in trainer.result().parameters()]))
    assert torch.equal(*finals)
    assert [log.validation_score for log in trainer.logs] == list(range(5))


def test_a_plateau_brings_the_decay_forward_and_the_best_is_kept(make_trainer):
    trainer, table = make_trainer(epochs=40, generator_lr=0.5)
    scores, seen, rates = iter([0.1, 0.5, 0.2, 0.2, 0.2, 0.3, 0.1]), [], []

    def score(generator):
        assert not generator.training
        seen.append(generator.logits.weight.clone())
        return next(scores)

    def callback(log):
        rates.append(trainer.optimizers[0].rate)

    result = trainer.fit(table, (callback,), stopping=EarlyStopping(score, 0.0, 3))
    # Checks after every second epoch. The fifth makes a plateau of three, after ten of 40 epochs;
    # decay takes a quarter of that, and the end is a check.
    assert [log.epoch for log in trainer.logs if log.validation_score is not None] == [
        1, 3, 5, 7, 9, 11, 12
    ]  # fmt: skip
    assert trainer.schedule.steps == 12.5 * MIN_STEPS_PER_EPOCH
    assert rates[:10] == [0.5] * 10
    assert rates[-1] == pytest.approx(0.5 / (2.5 * MIN_STEPS_PER_EPOCH))
    assert torch.equal(result.logits.weight, seen[1])
    assert not result.training


@pytest.mark.parametrize("error", [KeyboardInterrupt, None])
def test_what_ends_a_training_leaves_the_best_so_far(make_trainer, monkeypatch, error):
    trainer, table = make_trainer(epochs=20)
    scores, seen = iter([0.1, 0.9, 0.2, 0.2]), []

    def score(generator):
        seen.append(generator.logits.weight.clone())
        return next(scores)

    def end(log):
        if log.epoch == 3 and error is not None:
            raise error
        if log.epoch == 3:
            trainer.generator.logits.weight.data.fill_(torch.nan)
            trainer.passes.refresh()

    fit = functools.partial(trainer.fit, table, (end,), stopping=EarlyStopping(score, 0.0, 9))
    if error is None:
        with pytest.raises(trainer_module.NonFiniteLossError):
            fit()
    else:
        fit()
    assert len(seen) == 4
    assert torch.equal(trainer.result().logits.weight, seen[1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"gradient_penalty_interval": 3},
        {"meta_features": ("mean", "cor", "frequency")},
        {"meta_features": ("iq_range", "mad", "sparsity", "gravity", "contingency")},
        {"meta_features": ("mean", "joint_entropy"), "meta_feature_distance": "product"},
        {"meta_features": ("mean", "median"), "meta_feature_distance": "sinkhorn"},
        {"meta_features": ("mean", "range"), "meta_feature_distance": "sliced"},
        {"meta_features": ("mean", "sd"), "meta_feature_distance": "wasserstein_1d"},
        {"meta_features": ("eigenvalues",), "meta_feature_distance": "transport"},
    ],
    ids=str,
)
def test_captured_steps_train_as_plain_ones(settings):
    from sdv_wgangp.models.tabular import TabularModel

    random = np.random.default_rng(0)
    frame = pd.DataFrame({"kind": random.choice(list("abc"), 700), "x": random.normal(size=700),
                          "y": random.normal(size=700)})  # fmt: skip
    logs = []
    for graph in (False, True):
        options = TrainingSettings(epochs=2, batch_size=100, cuda_graph=graph, **settings)
        model = TabularModel(options, pac=2, dropout=0.5, random_state=0, target="kind")
        model.fit(frame)
        logs.append([[log.generator_loss, log.discriminator_loss] for log in model.logs])
    # Level gradients are added up by atomics: the last digits differ.
    np.testing.assert_allclose(*logs, rtol=0.05, atol=0.02)
