"""The loop that all models are trained by: objectives, callbacks, interruptions, resuming."""

from __future__ import annotations

import copy
import doctest
import math
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sdv_wgangp.objectives.adversarial import OBJECTIVES, objective
from sdv_wgangp.players.autograd import AutogradCritic, AutogradGenerator
from sdv_wgangp.players.terms import Likelihood, Reconstruction
from sdv_wgangp.training import loop, runs
from sdv_wgangp.training.average import WeightAverage
from sdv_wgangp.training.log import NonFiniteLossError
from sdv_wgangp.training.loop import train
from sdv_wgangp.training.optimizers import clip_gradients, gradient_norm
from sdv_wgangp.training.runs import run_of
from sdv_wgangp.training.schedule import Schedule
from sdv_wgangp.training.sources import TensorSource


def ring(rows, seed=0):
    """Eight modes on the unit circle, eight distinct ones."""
    random = torch.Generator().manual_seed(seed)
    angle = torch.randint(8, (rows,), generator=random) * (2 * math.pi / 8)
    centers = torch.stack([angle.cos(), angle.sin()], 1)
    return centers + 0.05 * torch.randn(rows, 2, generator=random)


def energy_distance(one, other):
    def apart(a, b):
        return torch.cdist(a, b).mean()

    return (2 * apart(one, other) - apart(one, one) - apart(other, other)).item()


def networks(width=64, dropout=0.0, noise=4, seed=0):
    torch.manual_seed(seed)
    generator = nn.Sequential(
        nn.Linear(noise, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
    )
    critic = nn.Sequential(
        nn.Linear(2, width), nn.LeakyReLU(0.2), nn.Dropout(dropout),
        nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, 1),
    )  # fmt: skip
    return generator, critic


# --- every objective -----------------------------------------------------------------------------

TRAINED = {
    "gan": (objective("gan"), {"betas": (0.5, 0.9)}),
    "gan with r1": (objective("gan", penalty="r1", penalty_weight=0.1, interval=2), {}),
    "wgan": (objective("wgan", weight_clip=0.1), {"optimizer": "rmsprop", "lr": 2e-3}),
    "wgan-gp": (objective("wgan-gp", penalty_weight=0.5), {}),
    "wgan-lp": (objective("wgan-lp", penalty_weight=0.5), {}),
    "hinge": (objective("hinge"), {}),
    "relativistic": (objective("relativistic", penalty_weight=0.05), {}),
}


@pytest.mark.parametrize("name", TRAINED)
def test_ring_is_learned(name):
    own, arguments = TRAINED[name]
    generator, critic = networks()
    arguments = {"lr": 1e-3, "critic_steps": 2, "ema_decay": 0.9} | arguments
    run = run_of(generator, critic, own, noise=4, seed=1, **arguments)
    data, noise = ring(2048), torch.randn(1024, 4)
    before = energy_distance(generator(noise).detach(), data)
    train(run, TensorSource(data, 128, critic_steps=2), epochs=12)
    after = energy_distance(run.average.update_bn([])(noise), data)
    assert len(run.logs) == 12
    for log in run.logs:
        assert all(map(math.isfinite, log.losses.values()))
    assert set(run.logs[-1].losses) == {"critic/loss", "critic/penalty", "generator/adversarial"}
    assert after < 0.25 * before
    if own.weight_clip is not None:
        largest = max(parameter.abs().max() for parameter in critic.parameters())
        assert largest <= torch.tensor(own.weight_clip)
        assert any((parameter.abs() == largest).any() for parameter in critic.parameters())
    assert (run.logs[-1].gradient_penalty > 0) == (own.penalty != "none")


# --- every kind of data --------------------------------------------------------------------------


class Labelled(NamedTuple):
    rows: Tensor
    labels: Tensor


class OfLabels(nn.Module):
    def __init__(self):
        super().__init__()
        self.of_labels, self.layers = nn.Embedding(3, 4), nn.Linear(6, 2)

    def forward(self, noise, labels):
        return Labelled(self.layers(torch.cat([noise, self.of_labels(labels)], 1)), labels)


class KnowsLabels(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 16), nn.SiLU(), nn.Linear(16, 1))

    def forward(self, batch):
        return self.layers(torch.cat([batch.rows, functional.one_hot(batch.labels, 3)], 1))


class Sequences(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(2, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, noise):
        return self.head(self.lstm(noise.view(len(noise), 6, 2))[0])


class OfSequences(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, rows):
        return self.head(self.lstm(rows)[0][:, -1])


def images():
    generator = nn.Sequential(
        nn.Linear(8, 8 * 4 * 4), nn.Unflatten(1, (8, 4, 4)), nn.BatchNorm2d(8), nn.ReLU(),
        nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    critic = nn.Sequential(
        nn.Conv2d(1, 8, 4, 2, 1), nn.GroupNorm(1, 8), nn.LeakyReLU(0.2), nn.Flatten(),
        nn.Linear(128, 1),
    )  # fmt: skip
    return generator, critic, torch.rand(64, 1, 8, 8) * 2 - 1, 8


def sequences():
    return Sequences(), OfSequences(), torch.randn(64, 6, 1), 12


def labelled():
    labels = torch.randint(3, (64,))

    def draw(real, random):
        return torch.randn(len(real.labels), 2, generator=random), real.labels

    return OfLabels(), KnowsLabels(), Labelled(torch.randn(64, 2), labels), draw


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("make", [images, sequences, labelled])
def test_all_kinds_of_data_go_through_the_same_loop(make, name):
    torch.manual_seed(0)
    generator, critic, data, noise = make()
    run = run_of(generator, critic, objective(name), noise=noise, seed=0, ema_decay=0.9)
    before = [parameter.clone() for parameter in generator.parameters()]
    train(run, TensorSource(data, 16), epochs=1)
    assert run.step == 4
    assert all(map(math.isfinite, run.logs[0].losses.values()))
    for old, new in zip(before, generator.parameters(), strict=True):
        assert not torch.equal(old, new)


def test_a_batch_norm_in_the_critic_is_refused_before_training():
    generator, critic, _, noise = images()
    critic[1] = nn.BatchNorm2d(8)
    with pytest.raises(ValueError, match=r"batch normalisation .* use layer normalisation"):
        run_of(generator, critic, objective("wgan-gp"), noise=noise, seed=0)


def test_terms_and_several_critics_have_their_weights():
    torch.manual_seed(0)
    generator, data = nn.Linear(2, 2), torch.zeros(64, 2)
    critics = {"critic": nn.Linear(2, 1), "critic 2": nn.Linear(2, 1)}
    kinds = {"critic": objective("hinge"), "critic 2": objective("wgan-gp")}
    run = run_of(
        generator, critics, kinds,
        noise=2, seed=0, weights={"critic 2": 0.5},
        terms={
            "reconstruction": Reconstruction(2.0, functional.mse_loss),
            "likelihood": Likelihood(lambda generated, fake, real: generator.bias.square().sum()),
        },
    )  # fmt: skip
    (real,), random = [data[:16]], copy.deepcopy(run.random)
    weights = {n: c.weight.detach().clone() for n, c in critics.items()}
    bias = generator.bias.detach().clone()
    # One step whose rates are 0, so that nothing moves.
    for optimizer in run.optimizers.values():
        optimizer.base_rate = 0.0
    source = TensorSource(data, 16, steps_per_epoch=1)
    train(run, source, epochs=1)
    generated = generator(torch.randn(16, 2, generator=_after_critics(source, run, random)))
    expected = -weights["critic"].sum(0) - 0.5 * weights["critic 2"].sum(0)
    expected = expected + 2 * generated.detach().mean(0) * 1.0 * 2 / 2 + 2 * bias
    torch.testing.assert_close(run.gradients["generator"][1], expected)
    log = run.logs[0]
    names = ["generator/adversarial", "generator/adversarial 2", "generator/reconstruction"]
    assert set(log.losses) >= {*names, "generator/likelihood", "critic 2/penalty", "critic/loss"}
    assert log.generator_loss == pytest.approx(
        sum(log.losses[name] for name in (*names, "generator/likelihood"))
    )
    assert log.losses["generator/reconstruction"] == pytest.approx(
        2 * functional.mse_loss(generated, real).item()
    )
    assert log.losses["generator/likelihood"] == pytest.approx(bias.square().sum().item())


def _after_critics(source, run, random):
    """The run's random numbers as they were when the generator's step began."""
    next(iter(source.epoch(type("R", (), {"random": random}))))
    torch.randn(16, 2, generator=random)  # fakes
    torch.rand(16, 1, generator=random)  # the share of the second critic
    return random


# --- callbacks and ends --------------------------------------------------------------------------


class Recorder:
    def __init__(self, **wishes):
        self.events, self.wishes = [], wishes

    def _note(self, event, run):
        self.events.append((event, run.step, run.epoch))
        wish = self.wishes.get(event)
        return wish(run) if wish else None

    def on_fit_begin(self, run):
        return self._note("begin", run)

    def on_step(self, run):
        return self._note("step", run)

    def on_epoch(self, run):
        return self._note("epoch", run)

    def on_fit_end(self, run):
        return self._note("end", run)

    def count(self, event):
        return sum(name == event for name, *_ in self.events)


def small_run(**arguments):
    generator, critic = networks(8)
    arguments = {"lr": 1e-3} | arguments
    return run_of(generator, critic, objective("wgan-gp"), noise=4, seed=0, **arguments)


def small_source(**arguments):
    return TensorSource(ring(64), 16, **arguments)


def fail(message="no"):
    def raiser(run):
        raise OSError(message)

    return raiser


def test_hooks_are_told_in_order():
    recorder, logs = Recorder(), []
    run = train(small_run(), small_source(), 2, [recorder, logs.append])
    assert [event for event, *_ in recorder.events] == [
        "begin", *["step"] * 4, "epoch", *["step"] * 4, "epoch", "end",
    ]  # fmt: skip
    assert logs == run.logs
    assert [(log.epoch, log.epochs, log.step) for log in logs] == [(0, 2, 4), (1, 2, 8)]


@pytest.mark.parametrize("wish", [True, np.True_])
@pytest.mark.parametrize("event", ["step", "epoch", "callable"])
def test_true_stops_in_order(event, wish):
    recorder = Recorder(**{event: lambda run: wish if run.step >= 5 else None})
    callbacks = [recorder]
    if event == "callable":
        callbacks.append(lambda log: wish if log.step >= 5 else None)
    run = train(small_run(), small_source(), 4, callbacks)
    assert run.stopped
    assert run.step == (5 if event == "step" else 8)
    assert run.epoch == len(run.logs) == (1 if event == "step" else 2)
    assert recorder.count("end") == 1
    assert run.whole
    # A stopped run goes on when it is asked to.
    train(run, run.source, 4)
    assert run.step == 16


def test_what_is_not_true_does_not_stop():
    values = iter([1, "yes", np.ones(3), torch.tensor(True)] * 2)
    run = train(small_run(), small_source(), 2, [Recorder(step=lambda run: next(values))])
    assert run.step == 8


@pytest.mark.parametrize("event", ["begin", "step", "epoch", "callable"])
def test_an_error_of_a_callback_ends_in_order_and_is_raised(event):
    first, last = Recorder(), Recorder()
    failing = Recorder(**{event: fail()})
    callbacks = [first, failing, last]
    if event == "callable":
        callbacks[1] = lambda log: fail()(log)
    run = small_run()
    before = [parameter.clone() for parameter in run.generator.parameters]
    with pytest.raises(OSError, match="no"):
        train(run, small_source(), 2, callbacks)
    assert first.count("end") == last.count("end") == 1
    assert run.whole
    moved = [not torch.equal(a, b) for a, b in zip(before, run.generator.parameters, strict=True)]
    assert all(moved) == (event != "begin")


def test_an_error_at_the_end_keeps_nobody_from_being_told():
    first, last = Recorder(end=fail("first")), Recorder(end=fail("last"))
    with pytest.raises(OSError, match="first"):
        train(small_run(), small_source(), 1, [first, last])
    assert last.count("end") == 1
    # The earlier error is the one that counts.
    with pytest.raises(OSError, match="at a step"):
        train(small_run(), small_source(), 1, [Recorder(step=fail("at a step")), first])
    # Also where the caller is busy with an error of his own.
    try:
        raise KeyError
    except KeyError:
        with pytest.raises(OSError, match="last"):
            train(small_run(), small_source(), 1, [last])


@pytest.mark.parametrize("event", ["step", "epoch"])
def test_an_interruption_keeps_what_was_learned(event, caplog):
    def interrupt(run):
        if run.step == 8:
            raise KeyboardInterrupt

    recorder = Recorder(**{event: interrupt})
    run = train(small_run(), small_source(), 4, [recorder])
    assert recorder.count("end") == 1
    assert run.step == 8
    assert "interrupted after" in caplog.text
    assert run.whole


def test_ctrl_c_waits_for_the_end_of_the_step():
    def interrupt(run):
        if run.step == 6:
            signal.raise_signal(signal.SIGINT)

    recorder = Recorder(step=interrupt)
    run = train(small_run(), small_source(), 4, [recorder])
    assert (run.step, run.epoch, recorder.count("end")) == (6, 1, 1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_terminate_ends_in_order_with_code_143(tmp_path):
    code = """
        import signal, sys, torch
        from torch import nn
        from sdv_wgangp.objectives.adversarial import objective
        from sdv_wgangp.training.loop import train
        from sdv_wgangp.training.runs import run_of
        from sdv_wgangp.training.sources import TensorSource

        class Callback:
            def on_step(self, run):
                if run.step == 3:
                    signal.raise_signal(signal.SIGTERM)

            def on_fit_end(self, run):
                print("end", run.step, run.whole)

        run = run_of(nn.Linear(2, 2), nn.Linear(2, 1), objective("gan"), noise=2, seed=0)
        train(run, TensorSource(torch.randn(64, 2), 4), 100, [Callback()])
        print("not reached")
    """
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert result.returncode == 143, result.stderr
    assert result.stdout == "end 3 True\n"


def test_losses_that_are_no_numbers_end_the_training():
    run, recorder = small_run(), Recorder()
    source = TensorSource(torch.full((64, 2), torch.nan), 16)
    with pytest.raises(NonFiniteLossError, match="non-finite in epoch 1 of 2"):
        train(run, source, 2, [recorder])
    assert recorder.count("end") == 1
    assert not run.whole


# --- resuming ------------------------------------------------------------------------------------

RESUMED = {
    "plain": {},
    "dropout": {"dropout": 0.3},
    "rmsprop": {"optimizer": "rmsprop"},
    "momentum": {"betas": (0.5, 0.9)},
    "bounded norms": {"max_grad_norm": 0.5},
    "lazy penalty": {"own": objective("gan", penalty="r1", interval=3), "critic_steps": 2},
    "clipped": {"own": objective("wgan"), "critic_steps": 2},
    "average": {"ema_decay": 0.9, "generator_steps": 2},
    "average with momentum": {"ema_decay": 0.9, "betas": (0.5, 0.9)},
    "batch norm": {"batch_norm": True, "ema_decay": 0.9},
    "two critics": {"two": True, "weights": {"critic 2": 0.3}},
    "bfloat16": {"autocast": torch.bfloat16},
    "float16": {"autocast": torch.float16, "dropout": 0.1, "max_grad_norm": {"critic": 1.0}},
    "relativistic": {"own": objective("relativistic"), "terms": True},
}


def resumable(dropout=0.0, own=None, two=False, batch_norm=False, terms=False, **arguments):
    generator, critic = networks(16, dropout)
    own = own or objective("wgan-gp")
    if batch_norm:
        generator = nn.Sequential(generator[0], nn.BatchNorm1d(16), *generator[1:])
    critics = {"critic": critic, "critic 2": networks(8, seed=1)[1]} if two else critic
    if terms:
        arguments["terms"] = {"distance": Reconstruction(0.1, functional.mse_loss)}
    run = run_of(generator, critics, own, noise=4, seed=3, lr=1e-3, **arguments)
    return run, TensorSource(ring(100), 16, arguments.get("critic_steps", 1))


class StopAt:
    """Keeps a copy of the state at a step, and ends the training there if asked to."""

    def __init__(self, step, event="on_step"):
        self.step, self.told = step, 0
        setattr(self, event, self._stop)

    def _stop(self, run):
        self.told += 1
        if run.step == self.step:
            self.state = copy.deepcopy(run.state_dict())
            return True
        return None

    def state_dict(self):
        return {"told": self.told}

    def load_state_dict(self, state):
        self.told = state["told"]


def weights_of(run):
    tensors = []
    for player in (run.generator, *(critic.player for critic in run.critics.values())):
        tensors += player.module.state_dict().values()
    if run.average is not None:
        tensors += run.average.module.parameters()
    return tensors


def without_time(logs):
    return [replace(log, rows_per_second=0.0) for log in logs]


@pytest.mark.parametrize("name", RESUMED)
def test_a_resumed_training_is_the_same_bit_for_bit(name):
    whole, source = resumable(**RESUMED[name])
    per_epoch = source.steps_per_epoch
    assert per_epoch == 6
    counter = StopAt(None)
    train(whole, source, 3, [counter])
    assert whole.step == 18
    for step, event in ((1, "on_step"), (6, "on_step"), (6, "on_epoch"), (10, "on_step")):
        stopped, source = resumable(**RESUMED[name])
        callback = StopAt(step, event)
        train(stopped, source, 3, [callback])
        assert stopped.step == step
        torch.rand(7)  # the global random numbers of the process are not the run's
        resumed, source = resumable(**RESUMED[name])
        resumed.load_state_dict(callback.state)
        again = StopAt(None, event)
        train(resumed, source, 3, [again])
        assert (resumed.step, resumed.epoch) == (18, 3)
        assert without_time(resumed.logs) == without_time(whole.logs)
        for expected, found in zip(weights_of(whole), weights_of(resumed), strict=True):
            assert torch.equal(expected, found)
        assert torch.equal(whole.random.get_state(), resumed.random.get_state())
        if event == "on_step":
            assert again.told == counter.told
        # What was loaded from is not written into.
        once_more, source = resumable(**RESUMED[name])
        once_more.load_state_dict(callback.state)
        assert once_more.step == step
        train(once_more, source, 3)
        for expected, found in zip(weights_of(whole), weights_of(once_more), strict=True):
            assert torch.equal(expected, found)


def test_training_leaves_the_global_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    run, source = resumable(dropout=0.5)
    torch.manual_seed(5)
    train(run, source, 1)
    assert torch.equal(torch.rand(3), expected)


# --- norms, rates, arguments ---------------------------------------------------------------------


def test_gradients_are_bounded():
    norms = []

    def note(run):
        norms.append({name: gradient_norm(own).item() for name, own in run.gradients.items()})

    train(small_run(), small_source(), 2, [Recorder(step=note)])
    assert max(norm["critic"] for norm in norms) > 0.05
    free = min(norm["generator"] for norm in norms)
    norms.clear()
    bounds = {"critic": 0.05, "generator": free / 2}
    train(small_run(max_grad_norm=bounds), small_source(), 2, [Recorder(step=note)])
    for name, bound in bounds.items():
        assert max(norm[name] for norm in norms) == pytest.approx(bound, rel=1e-5)


def test_clipping_scales_all_gradients_of_a_player():
    gradients = [torch.tensor([3.0, 0.0]), None, torch.tensor([[4.0]])]
    assert gradient_norm(gradients) == 5
    found = clip_gradients(gradients, 1.0)
    torch.testing.assert_close(found[0], torch.tensor([0.6, 0.0]))
    torch.testing.assert_close(found[2], torch.tensor([[0.8]]))
    assert found[1] is None
    assert torch.equal(clip_gradients(gradients, 6.0)[0], gradients[0])
    assert gradient_norm([None, None]) == 0
    assert clip_gradients([None, None], 1.0) == [None, None]


def test_a_step_that_was_left_out_moves_nothing():
    for arguments in ({}, {"optimizer": "rmsprop"}, {"betas": (0.5, 0.9)}):
        run = small_run(**arguments)
        before = [parameter.clone() for parameter in run.generator.parameters]
        optimizer = run.optimizers["generator"]
        optimizer.advance([1.0])
        optimizer.apply([None] * len(before))
        assert all(map(torch.equal, before, run.generator.parameters))


def test_rates_of_generator_and_critic_differ():
    run = small_run(lr=(1e-3, 2e-3))
    run.schedule = Schedule(8, decay_from=1.0)
    train(run, small_source(), 2)
    assert run.optimizers["generator"].rate == 1e-3
    assert run.optimizers["critic"].rate == 2e-3
    assert run.hyperparameters["critic_lr"] == 2e-3
    assert run.hyperparameters["critic/penalty"] == "wgan-gp"


def test_players_are_taken_as_they_are():
    generator, critic = networks(8)
    players = AutogradGenerator(generator, 4), AutogradCritic(critic)
    run = run_of(*players, objective("gan"), seed=0)
    assert run.generator is players[0]
    assert run.critics["critic"].player is players[1]
    with pytest.raises(ValueError, match="noise is given, but the generator is a player"):
        run_of(*players, objective("gan"), noise=4, seed=0)


def test_a_generator_without_a_critic_follows_its_terms():
    generator, _ = networks(8)
    term = Reconstruction(1.0, nn.functional.mse_loss)
    run = run_of(generator, {}, {}, noise=4, seed=0, lr=1e-2, terms={"near": term})
    logs = train(run, TensorSource(torch.zeros(64, 2), 16), 40).logs
    assert list(logs[0].losses) == ["generator/reconstruction"]
    assert logs[-1].generator_loss < logs[0].generator_loss / 2
    assert logs[-1].discriminator_loss == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise": None}, "noise must be given with a module"),
        ({"critics": {}}, "there is nothing to learn from: give a critic, or terms"),
        ({"critics": {"judge": nn.Linear(2, 1)}}, "begin with 'critic', got judge"),
        (
            {"objectives": {"critc": objective("gan")}},
            "objectives must be named as critic; got cri",
        ),
        ({"objectives": {}}, "objectives must be named as the critics, critic; got none"),
        ({"weights": {"judge": 1.0}}, "weights must be named as critic; got judge"),
        ({"max_grad_norm": {"judge": 1.0}}, "max_grad_norm must be named as generator, critic;"),
        ({"max_grad_norm": 0.0}, "max_grad_norm must be finite and positive"),
        ({"lr": (1e-3, -1.0)}, "lr must be finite and positive"),
        ({"lr": math.nan}, "lr must be finite and positive"),
        ({"critic_steps": 0}, "critic_steps must be 1 or more, got 0"),
        ({"generator_steps": 0}, "generator_steps must be 1 or more, got 0"),
        ({"ema_decay": 1.0}, r"ema_decay must lie in \[0, 1\), got 1.0"),
        ({"optimizer": "sgd"}, "optimizer must be one of adam, rmsprop, got 'sgd'"),
        ({"betas": (0.5, 1.0)}, r"betas must lie in \[0, 1\)"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    generator, critic = networks(8)
    given = {"critics": critic, "objectives": objective("gan"), "noise": 4, "seed": 0} | arguments
    with pytest.raises(ValueError, match=message):
        run_of(generator, given.pop("critics"), given.pop("objectives"), **given)


# --- the average of the weights ------------------------------------------------------------------


def test_average_of_images_has_batch_statistics_of_its_own():
    torch.manual_seed(0)
    generator, *_ = images()
    average = WeightAverage(generator)
    batches = [(torch.randn(32, 8),) for _ in range(4)]
    averaged = average.update_bn(batches)
    assert not averaged.training
    hidden = torch.stack([generator[:2](*batch) for batch in batches]).detach().double()
    mean, variance = averaged[2].running_mean, averaged[2].running_var
    torch.testing.assert_close(mean, hidden.mean((0, 1, 3, 4)).float())
    expected = hidden.movedim(2, -1).flatten(1, -2).var(1).mean(0)
    torch.testing.assert_close(variance, expected.float())
    with pytest.raises(ValueError, match="batches must hold at least one"):
        average.update_bn([])


def test_average_has_the_other_buffers_of_the_trained_module_and_frozen_weights():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Linear(2, 3)), nn.Linear(3, 2)
    )
    module[1].requires_grad_(False)
    run = run_of(module, nn.Linear(2, 1), objective("gan"), noise=2, seed=0, ema_decay=0.9)
    train(run, small_source(), 2)
    averaged = run.average.update_bn([])
    for (name, own), trained in zip(averaged.named_buffers(), module.buffers(), strict=True):
        assert torch.equal(own, trained), name
    assert torch.equal(averaged[1].weight, module[1].weight)
    averaged, trained = (each[0].parametrizations.weight.original for each in (averaged, module))
    assert not torch.equal(averaged, trained)


@pytest.mark.parametrize("module", [loop, runs])
def test_examples_run(module):
    assert doctest.testmod(module).failed == 0


def test_a_schedule_that_has_ended_is_no_silent_end():
    run = run_of(nn.Linear(2, 2), nn.Linear(2, 1), objective("gan"), noise=2, seed=0)
    source = TensorSource(torch.zeros(20, 2), batch_size=10)
    train(run, source, epochs=2)
    train(run, source, epochs=2)  # nothing is left to do
    with pytest.raises(ValueError, match=r"set run\.schedule"):
        train(run, source, epochs=3)
    run.schedule = Schedule(2)
    train(run, source, epochs=3)
    assert (run.step, run.epoch) == (6, 3)


def linear_run(**options):
    torch.manual_seed(0)
    networks = nn.Linear(2, 2), nn.Linear(2, 1)
    return run_of(*networks, objective("gan"), noise=2, seed=0, **options)


def test_a_schedule_can_be_set_after_loading():
    source = TensorSource(torch.zeros(20, 2), batch_size=10)
    state = train(linear_run(), source, epochs=1).state_dict()
    run = linear_run()
    run.load_state_dict(state)
    run.schedule = Schedule(2)
    assert train(run, TensorSource(torch.zeros(20, 2), batch_size=10), epochs=2).step == 4


@pytest.mark.parametrize(("of_run", "of_source"), [(3, 1), (1, 3)])
def test_critic_steps_of_run_and_source_are_the_same(of_run, of_source):
    source = TensorSource(torch.zeros(20, 2), batch_size=2, critic_steps=of_source)
    with pytest.raises(ValueError, match="give both the same critic_steps"):
        train(linear_run(critic_steps=of_run), source, epochs=1)


def test_a_floating_point_error_of_a_callback_is_its_own():
    def fail(log):
        raise FloatingPointError("of the callback")

    with pytest.raises(FloatingPointError, match="of the callback"):
        train(linear_run(), TensorSource(torch.zeros(20, 2), batch_size=10), 1, [fail])


@pytest.mark.parametrize("options", [{"optimizer": "rmsprop"}, {"betas": (0.5, 0.9)}], ids=str)
def test_an_average_outlives_weights_that_are_no_numbers(options):
    run = linear_run(ema_decay=0.5, **options)

    def spoil(log):
        for parameter in run.generator.parameters:
            parameter.data.fill_(torch.nan)

    with pytest.raises(NonFiniteLossError):
        train(run, TensorSource(torch.randn(20, 2), batch_size=10), 3, [spoil])
    assert all(part.isfinite().all() for part in run.average.module.parameters())
