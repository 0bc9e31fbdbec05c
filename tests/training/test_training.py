"""The parts of the training loop."""

from __future__ import annotations

import copy
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
from sdv_wgangp.models.table_training import TableTraining
from sdv_wgangp.networks.critic import MLPCritic
from sdv_wgangp.networks.generator import Generator
from sdv_wgangp.networks.views import Views
from sdv_wgangp.players.given_cells import given_columns
from sdv_wgangp.training.average import WeightAverage
from sdv_wgangp.training.callbacks.deadline import Deadline
from sdv_wgangp.training.callbacks.rest import Rest
from sdv_wgangp.training.log import NonFiniteLossError
from sdv_wgangp.training.memory import held_memory
from sdv_wgangp.training.optimizers import Adam, TorchOptimizer, make_optimizer
from sdv_wgangp.training.precision import matmul_precision
from sdv_wgangp.training.schedule import Schedule
from sdv_wgangp.training.settings import TrainingSettings
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


# Of an epoch.
STEPS = 40
KINDS = [("adam", (0.0, 0.9)), ("adam", (0.5, 0.9)), ("rmsprop", (0.0, 0.9))]


@pytest.mark.parametrize(("name", "betas"), KINDS)
def test_optimizers_continue_from_their_state(name, betas):
    torch.manual_seed(0)
    network = nn.Linear(7, 3)
    shadow = copy.deepcopy(network)

    def new_optimizer(rate=0.1):
        return make_optimizer(
            name, network.parameters(), rate, decay=0.01, betas=betas,
            average=shadow.parameters(), average_decay=0.9, ahead=2,
        )  # fmt: skip

    def go_on(optimizer):
        for index, gradient in enumerate(gradients):
            if index % 2 == 0:
                optimizer.advance([1.0, 0.5])
            optimizer.apply([gradient, gradient[:, 0]], index % 2)
        return [value.clone() for value in (*network.parameters(), *shadow.parameters())]

    gradients = [torch.randn(3, 7) for _ in range(6)]
    optimizer = new_optimizer()
    go_on(optimizer)
    state = copy.deepcopy(optimizer.state_dict())
    weights = copy.deepcopy(network.state_dict())
    expected = go_on(optimizer)
    for _ in range(2):  # what was loaded stays as it is
        network.load_state_dict(weights)
        with torch.no_grad():
            for value in shadow.parameters():
                value.zero_()
        again = new_optimizer()
        again.load_state_dict(state)
        found = go_on(again)
        assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


@pytest.mark.parametrize(("name", "betas"), KINDS)
def test_optimizers_leave_what_has_no_gradient(name, betas):
    network = nn.Linear(7, 3)
    before = copy.deepcopy(network.state_dict())
    optimizer = make_optimizer(name, network.parameters(), 0.1, betas=betas)
    optimizer.advance([1.0])
    optimizer.apply([None, torch.ones(3)])
    assert torch.equal(network.weight, before["weight"])
    assert not torch.equal(network.bias, before["bias"])
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_step_of_adam_without_momentum_is_compiled():
    kinds = [type(make_optimizer(*kind[:1], nn.Linear(2, 2).parameters(), 0.1, betas=kind[1]))
             for kind in KINDS]  # fmt: skip
    assert kinds == [Adam, TorchOptimizer, TorchOptimizer]
    with pytest.raises(ValueError, match="optimizer must be one of adam, rmsprop, got 'sgd'"):
        make_optimizer("sgd", nn.Linear(2, 2).parameters(), 0.1)
    with pytest.raises(ValueError, match=r"betas must lie in \[0, 1\), got \(0.0, 1.0\)"):
        make_optimizer("adam", nn.Linear(2, 2).parameters(), 0.1, betas=(0.0, 1.0))


def test_settled_batch_statistics_are_those_of_the_batches():
    network = nn.Sequential(nn.BatchNorm1d(2))
    average = WeightAverage(network)
    batches = [torch.randn(50, 2) * 3 + 7 for _ in range(8)]
    averaged = average.update_bn((batch,) for batch in batches)
    means = torch.stack([batch.mean(0) for batch in batches]).mean(0)
    variances = torch.stack([batch.var(0) for batch in batches]).mean(0)
    torch.testing.assert_close(averaged[0].running_mean, means)
    torch.testing.assert_close(averaged[0].running_var, variances)
    assert not averaged.training


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
def make_training():
    """Makes a small `TableTraining`: ``make_training(critic=None, **settings)``."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"kind": random.choice(list("abc"), 70), "x": random.normal(size=70)})
    encoder = TableEncoder().fit(frame)
    table, layout = encoder.encode(frame, random), Layout.of(encoder)

    def make(critic=None, **settings):
        random = torch.Generator().manual_seed(0)
        views = Views(layout)
        settings = TrainingSettings(**{"batch_size": 20, "min_steps_per_epoch": STEPS} | settings)
        given = len(given_columns(layout, settings.conditional_rows()))
        dense = views.width + given
        networks = (
            Generator(4, (8,), layout, random, conditioned=min(given, 1)),
            MLPCritic(layout.levels, dense, (8,), random)
            if critic is None
            else critic(layout.levels + dense),
        )
        return TableTraining(*networks, views, layout, settings, random, table)

    return make


def weights(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_every_row_is_seen_before_any_is_seen_again(make_training):
    training = make_training(discriminator_steps=3)
    drawn = torch.stack(list(training.source.epoch(training.run)))
    assert drawn.shape == (STEPS, 3, 20)
    for rows in (70, 700, 2100):
        seen = drawn.flatten()[:rows].bincount(minlength=70)
        assert seen.tolist() == [rows // 70] * 70


def test_a_small_table_gets_the_least_number_of_steps(make_training):
    training = make_training()
    training.train(2)
    run = training.run
    assert run.step == run.optimizers["generator"].steps == 2 * STEPS
    assert [log.epoch for log in run.logs] == [0, 1]
    assert [log.step for log in run.logs] == [STEPS, 2 * STEPS]


def test_learning_rates_stay_for_half_the_steps_then_fall_to_zero(make_training):
    training = make_training(generator_lr=0.5, discriminator_lr=0.25)
    rates = []
    optimizers = training.run.optimizers
    training.train(
        4,
        [lambda log: rates.append([optimizers[name].rate for name in ("generator", "critic")])],
    )
    # Of the last step of each epoch: the rates reach 0 with the step that is not made any more.
    step = 1 / (2 * STEPS)  # of the generator, as a share of the decay
    generator = [0.5, 0.5, 0.5 * (0.5 + step), 0.5 * step]
    critic = [0.25, 0.25, 0.25 * (0.5 + step / 2), 0.25 * step / 2]
    np.testing.assert_allclose(rates, np.transpose([generator, critic]), atol=1e-9)


class RecordingCritic:
    """A player that notes the penalties of its steps."""

    def __init__(self, player):
        self.player, self.parameters, self.seen = player, player.parameters, []

    def step(self, objective, step, *arguments):
        gradients, losses = self.player.step(objective, step, *arguments)
        self.seen.append((*objective.penalty_at(step), losses.floats()["penalty"]))
        return gradients, losses

    def pull(self, *arguments):
        return self.player.pull(*arguments)


@pytest.mark.parametrize(("interval", "steps"), [(1, 2), (2, 1), (3, 2), (4, 2)])
def test_lazy_penalties_come_every_so_often(make_training, interval, steps):
    training = make_training(gradient_penalty_interval=interval, discriminator_steps=steps)
    critic = training.run.critics["critic"]
    critic.player = RecordingCritic(critic.player)
    training.train(1)
    seen = critic.player.seen
    assert len(seen) == STEPS * steps
    for index, (kind, weight, found) in enumerate(seen):
        assert kind == ("none" if index % interval else "wgan-gp")
        assert weight == 10 * interval
        assert (found > 0) == (kind != "none")
    mean = np.mean([found for *_, found in seen])
    assert training.run.logs[0].gradient_penalty == pytest.approx(mean, rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "capturable"),
    [
        ({}, True),
        ({"meta_features": ("mean", "frequency")}, True),
        ({"meta_features": ("mean",), "meta_feature_distance": "sinkhorn"}, True),
        ({"meta_features": ("mean",), "meta_feature_distance": "transport"}, False),
        ({"meta_features": ("eigenvalues",)}, False),
        ({"objective": "relativistic", "max_grad_norm": 1.0}, True),
        ({"objective": "wgan"}, True),
        ({"optimizer": "rmsprop"}, False),
        ({"betas": (0.5, 0.9)}, False),
        ({"cuda_graph": False}, False),
    ],
    ids=str,
)
def test_what_asks_the_host_is_not_captured(make_training, settings, capturable):
    assert make_training(**settings).capturable == capturable


class IdleCritic(nn.Module):
    """Not all of its parameters are trained or matter."""

    def __init__(self, width):
        super().__init__()
        self.used = nn.Linear(width, 1)
        self.idle = nn.Linear(2, 2)
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)

    def forward(self, rows):
        return self.used(rows).squeeze(1)


class OwnCritic(MLPCritic):
    """Its forward pass is its own: there is no closed form for it."""

    def __init__(self, width):
        super().__init__(width, 0, (4,), torch.Generator().manual_seed(0))

    def forward(self, rows):
        hidden = rows @ self.level_weight + self.bias
        for layer in self.layers:
            hidden = layer(torch.tanh(hidden))
        return hidden.squeeze(1)


@pytest.mark.parametrize("critic", [IdleCritic, OwnCritic])
def test_what_another_critic_does_is_not_captured(make_training, critic):
    training = make_training(critic)
    assert not training.capturable
    training.train(1)
    assert np.isfinite(training.run.logs[-1].discriminator_loss)


def test_a_critic_with_idle_and_frozen_parameters_can_be_trained(make_training):
    training = make_training(IdleCritic)
    critic = training.run.critics["critic"].player.module
    before = {name: value.clone() for name, value in critic.state_dict().items()}
    training.train(1)
    after = critic.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved - {"used.bias"} == {"used.weight"}
    assert np.isfinite(training.run.logs[-1].discriminator_loss)


class StridedCritic(nn.Module):
    """Its weight is stored by columns, its gradient comes expanded."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, width).T)

    def forward(self, rows):
        return (rows @ self.weight).sum(1)


def test_parameters_in_any_memory_format_can_be_trained(make_training):
    training = make_training(StridedCritic)
    assert not StridedCritic(4).weight.is_contiguous()
    training.train(1)
    (weight,) = training.run.critics["critic"].player.parameters
    assert weight.abs().sum() > 0


class Ticking:
    """A clock that goes on by so many seconds for each training step."""

    def __init__(self, seconds):
        self.now, self.seconds = 100.0, seconds

    def on_step(self, run):
        self.now += self.seconds

    def __call__(self):
        return self.now


def timed(training, epochs, per_step, seconds):
    """Train by a clock of its own; the generator's rates at the ends of the epochs."""
    run, clock, rates = training.run, Ticking(per_step), []
    run.schedule = Schedule(epochs * training.source.steps_per_epoch, clock=clock)

    class Recording:
        def on_epoch(self, run):
            rates.append(run.optimizers["generator"].rate)

    limits = [] if seconds is None else [Deadline(seconds)]
    # A callable would be told of epochs; this one has methods and is told of steps alone.
    training.train(epochs, [*limits, clock, Recording()])
    return rates


def test_rates_have_fallen_to_zero_when_the_time_is_up(make_training):
    training = make_training(generator_lr=0.5)
    steps = int(2.5 * STEPS)
    rates = timed(training, 1000, 0.25, 0.25 * steps)
    run = training.run
    assert run.step == run.schedule.steps == steps
    assert [log.epoch for log in run.logs] == [0, 1, 2]
    # Before the last step of an epoch, what is left of the decay in the second half.
    assert rates == pytest.approx([0.5, 0.5 * 2 * (0.2 + 1 / steps), 0.5 * 2 / steps])
    assert all(np.isfinite(log.generator_loss) for log in run.logs)


def test_a_budget_that_is_not_needed_changes_nothing(make_training):
    found = []
    for seconds in (None, 1000.0):
        training = make_training()
        timed(training, 3, 0.25, seconds)
        assert len(training.run.logs) == 3
        found.append(weights(training.result()))
    assert torch.equal(*found)


def test_a_limit_that_was_loaded_is_kept(make_training):
    """What was left of it counts, not the deadline of whoever continues."""
    training = make_training()
    clock = Ticking(1.0)
    training.run.schedule = Schedule(10**6, 30.0, clock)
    training.train(1, [Deadline(10**6), clock])
    assert training.run.step == 30
    for seconds in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="seconds must be above 0"):
            Deadline(seconds)


def test_a_resting_player_waits_while_the_other_learns(make_training):
    training, seen = make_training(), []
    run = training.run

    class Recording:
        def on_step(self, run):
            players = run.generator, run.critics["critic"].player
            seen.append([torch.cat([p.detach().flatten() for p in player.parameters])
                         for player in players])  # fmt: skip

    training.train(1, [Recording(), Rest("generator", 20)])
    generator, critic = ([not torch.equal(*pair) for pair in itertools.pairwise(own)]
                         for own in zip(*seen, strict=True))  # fmt: skip
    # The last step of all has next to no rate.
    assert generator[:-1] == [False] * 19 + [True] * (len(generator) - 20)
    assert all(critic[:-1])
    assert run.optimizers["generator"].base_rate == training.settings.generator_lr


def test_a_rest_ends_with_the_training(make_training):
    training = make_training()

    class End:
        def on_step(self, run):
            return run.step == 5

    before = weights(training.player.network)
    training.train(1, [Rest("generator", 20), End()])
    assert torch.equal(before, weights(training.player.network))
    assert training.run.optimizers["generator"].base_rate == training.settings.generator_lr


def test_checks_do_not_disturb_the_training(make_training):
    """Scores that keep rising stop nothing: the run is the one without checks."""
    finals, scores = [], itertools.count()
    for checked in (False, True):
        training = make_training()
        stopping = EarlyStopping(lambda generator: next(scores), training.preview, 0.0, 1)
        training.train(5, [stopping] if checked else [])
        finals.append(weights(training.result()))
    assert torch.equal(*finals)
    assert [log.validation_score for log in training.run.logs] == list(range(5))


def test_a_plateau_brings_the_decay_forward_and_the_best_is_kept(make_training):
    training = make_training(generator_lr=0.5)
    scores, seen, rates = iter([0.1, 0.5, 0.2, 0.2, 0.2, 0.3, 0.1]), [], []
    run = training.run

    def score(generator):
        assert not generator.training
        seen.append(generator.logits.weight.clone())
        return next(scores)

    stopping = EarlyStopping(score, training.preview, 0.0, 3)
    training.train(40, [stopping, lambda log: rates.append(run.optimizers["generator"].rate)])
    # Checks after every second epoch. The fifth makes a plateau of three, after ten of 40 epochs;
    # decay takes a quarter of that, and the end is a check.
    assert [log.epoch for log in run.logs if log.validation_score is not None] == [
        1, 3, 5, 7, 9, 11, 12
    ]  # fmt: skip
    assert run.step == run.schedule.steps == 12.5 * STEPS
    assert rates[:10] == [0.5] * 10
    assert rates[-1] == pytest.approx(0.5 / (2.5 * STEPS))
    assert torch.equal(stopping.best.logits.weight, seen[1])
    assert not stopping.best.training


@pytest.mark.parametrize("error", [KeyboardInterrupt, None])
def test_what_ends_a_training_leaves_the_best_so_far(make_training, error):
    training = make_training()
    scores, seen = iter([0.1, 0.9, 0.2, 0.2]), []

    def score(generator):
        seen.append(generator.logits.weight.clone())
        return next(scores)

    def end(log):
        if log.epoch == 3 and error is not None:
            raise error
        if log.epoch == 3:
            training.player.network.logits.weight.data.fill_(torch.nan)
            training.player.refresh()

    stopping = EarlyStopping(score, training.preview, 0.0, 9)
    fit = functools.partial(training.train, 20, [stopping, end])
    if error is None:
        with pytest.raises(NonFiniteLossError, match="non-finite in epoch 5 of 20"):
            fit()
    else:
        fit()
    assert len(seen) == len(training.run.logs) == 4
    assert torch.equal(stopping.best.logits.weight, seen[1])


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
