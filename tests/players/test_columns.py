"""Players of tables in closed form against those by automatic differentiation."""

from __future__ import annotations

import copy
import logging

import numpy as np
import pandas as pd
import pytest
import torch
from plain_network import PlainNetwork, masks_of_passes

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import TableEncoder
from sdv_wgangp.models.table_training import TableTraining
from sdv_wgangp.networks.critic import MLPCritic
from sdv_wgangp.networks.generator import Conditions, Generator
from sdv_wgangp.networks.views import Views
from sdv_wgangp.objectives.adversarial import OBJECTIVES
from sdv_wgangp.objectives.feature_table import Target
from sdv_wgangp.ops import PENALTIES
from sdv_wgangp.players.autograd import AutogradCritic
from sdv_wgangp.players.autograd_columns import AutogradColumnGenerator
from sdv_wgangp.players.columns import ColumnGenerator
from sdv_wgangp.players.given_cells import given_columns
from sdv_wgangp.players.mlp_critic import CompiledCritic
from sdv_wgangp.players.rows import OneHotRows, Rows
from sdv_wgangp.players.table_players import critic_player, generator_player
from sdv_wgangp.training.optimizers import TorchOptimizer
from sdv_wgangp.training.settings import TrainingSettings

BATCH = 20


def encoded(positions):
    """A table with or without columns that have positions, and its layout."""
    random, rows = np.random.default_rng(0), 90
    kind = random.choice(list("abc"), rows, p=[0.6, 0.3, 0.1])
    columns = {
        "kind": kind,
        "flag": random.random(rows) < 0.4,
        "grade": random.choice(list("uvwxy"), rows),
    }
    if positions:
        columns |= {
            "x": random.normal(size=rows) + 2 * (kind == "b"),
            "amount": np.where(random.random(rows) < 0.4, 0.0, random.exponential(size=rows)),
            "count": random.integers(0, 5, rows),
        }
    frame = pd.DataFrame(columns)
    encoder = TableEncoder().fit(frame)
    layout = Layout.of(encoder)
    assert bool(len(layout.positioned)) == positions
    return encoder.encode(frame, random), layout


TABLES = {positions: encoded(positions) for positions in (True, False)}


def make_training(positions=True, pac=1, dropout=0.0, **settings):
    table, layout = TABLES[positions]
    random = torch.Generator().manual_seed(3)
    settings = {"batch_size": BATCH, "precision": "highest"} | settings
    settings = TrainingSettings(**settings)
    views = Views(layout)
    views.fit_whitening(layout.level_index(table), table.positions)
    given = len(given_columns(layout, settings.conditional_rows(pac)))
    generator = Generator(4, (9, 7), layout, random, conditioned=2 if given else 0)
    with torch.no_grad():  # away from where a training begins
        for block in generator.body:
            block.norm.weight.uniform_(0.5, 1.5, generator=random)
            block.norm.bias.normal_(generator=random)
            if block.condition is not None:
                block.condition.normal_(0, 0.05, generator=random)
    critic = MLPCritic(layout.levels, views.width + given, (12, 8), random, pac, dropout)
    target = Target("kind", 0, torch.arange(int(layout.offsets[1])), True)
    return TableTraining(generator, critic, views, layout, settings, random, table, target)


class OnePass(AutogradColumnGenerator):
    """Draws for all critic steps together, as `ColumnGenerator` does."""

    def fakes(self, reals, random):
        steps, batch = len(reals), len(reals[0].levels)
        conditions, first = None, 0
        if reals[0].conditions is not None:
            parts = zip(*(real.conditions for real in reals), strict=True)
            conditions, first = Conditions(*map(torch.cat, parts)), reals[0].conditions.rows
        like = Rows(torch.empty(steps * batch, 0), torch.empty(0), conditions)
        with torch.no_grad():
            whole = self.rows(self.forward(like, random))
        # Conditional rows of all steps, then the others of all steps.
        given = torch.arange(steps * first).view(steps, first)
        plain = torch.arange(steps * first, steps * batch).view(steps, batch - first)
        order = torch.cat([given, plain], 1)
        return [
            Rows(whole.levels[own], whole.dense[own], real.conditions)
            for own, real in zip(order, reals, strict=True)
        ]


class DroppingCritic(AutogradCritic):
    """Draws the masks of dropout as `CompiledCritic` does, and none for the generator."""

    def __init__(self, critic):
        super().__init__(PlainNetwork(critic), view=OneHotRows(critic.levels, critic.pac))
        self.critic = critic

    def step(self, objective, step, real, fake, random):
        kind, _ = objective.penalty_at(step)
        rows = len(real.levels) // self.critic.pac
        parts = 3 if kind.startswith("wgan") else 2
        ahead = random.clone_state()
        if parts == 3:  # the interpolates come before
            torch.rand(rows, 1, generator=ahead)
        masks = self.critic.masks(parts * rows, ahead)
        self.module.masks = masks_of_passes(masks, kind, rows)
        found = super().step(objective, step, real, fake, random)
        assert not self.module.masks
        random.set_state(ahead.get_state())
        return found


def by_autograd(training):
    """The same training with players by automatic differentiation."""
    own = copy.deepcopy(training)
    player, critic = own.player, own.run.critics["critic"]
    own.run.generator = own.player = OnePass(
        player.network, player.views, player.layout, player.conditions
    )
    critic.player = DroppingCritic(critic.player.critic)
    return own


def steps_of(training, count):
    """Losses and gradients of each of some steps, and how the weights have moved.

    The optimizer is a plain descent: Adam makes large steps of small differences.
    """
    run, found = training.run, []
    players = {"generator": training.player, "critic": run.critics["critic"].player}
    for name, player in players.items():
        run.optimizers[name] = TorchOptimizer(torch.optim.SGD(player.parameters, 0.02))
    names = {
        "generator": [name for name, _ in training.player.network.named_parameters()],
        "critic": ["level weight", "dense weight", "bias"],
    }
    names["critic"] += [f"layer {i}" for i in range(len(players["critic"].parameters) - 3)]

    def by_name(tensors):
        return {
            f"{player} {name}": tensor.detach().clone()
            for player, own in names.items()
            for name, tensor in zip(own, tensors[player], strict=True)
            if tensor is not None
        }

    class Record:
        def on_step(self, run):
            found.append((run.losses.names, run.losses.values.clone(), by_name(run.gradients)))
            return len(found) == count

    before = by_name({name: player.parameters for name, player in players.items()})
    training.train(1, [Record()])
    after = by_name({name: player.parameters for name, player in players.items()})
    assert len(found) == count
    return found, {name: after[name] - before[name] for name in after}


def assert_near(found, expected, what, tolerance):
    """Tensors by "player name": relative to each, or to the largest of the player where one is
    zero but for rounding (biases before a normalisation)."""
    largest = {}
    for name, tensor in expected.items():
        player = name.split(" ")[0]
        largest[player] = max(largest.get(player, 0.0), tensor.norm().item())
    assert all(largest.values()), f"nothing to compare: {what}"
    assert largest.keys() == {"generator", "critic"}
    for name, tensor in found.items():
        # None of automatic differentiation is the zero of the closed forms.
        other = expected.get(name, torch.zeros_like(tensor))
        bound = tolerance * (other.norm().item() + 0.01 * largest[name.split(" ")[0]])
        difference = (tensor - other).norm().item()
        assert difference <= bound, f"{what}, {name}: {difference} of {other.norm().item()}"


def compare(tolerance=2e-4, count=3, **options):
    training = make_training(**options)
    pair = [training, by_autograd(training)]
    assert type(training.player) is ColumnGenerator
    assert type(training.run.critics["critic"].player) is CompiledCritic
    (found, moved), (expected, expected_moves) = (steps_of(each, count) for each in pair)
    for step, (own, other) in enumerate(zip(found, expected, strict=True)):
        assert own[0] == other[0]
        torch.testing.assert_close(own[1], other[1], rtol=1e-3, atol=1e-4)
        assert_near(own[2], other[2], f"gradients of step {step}", tolerance)
    assert_near(moved, expected_moves, f"weights after {count} steps", tolerance)
    assert torch.equal(*(each.run.random.get_state() for each in pair))
    return found


@pytest.mark.parametrize("positions", [True, False])
@pytest.mark.parametrize("pac", [1, 2, 5])
# Conditional rows: none, an odd number or an even one (in packs).
@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5])
def test_layouts_conditions_and_packs(positions, pac, fraction):
    compare(positions=positions, pac=pac, conditional_share=fraction, discriminator_steps=1)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7])
def test_any_number_of_conditional_rows(rows):
    found = compare(conditional_share=rows / BATCH, discriminator_steps=1)
    names = found[0][0]
    assert ("generator/conditional" in names) == (rows > 1)
    score = dict(zip(names, found[0][1].tolist(), strict=True)).get("generator/conditional")
    assert score is None or score != 0


@pytest.mark.parametrize("weight", [0.0, 5.0])
@pytest.mark.parametrize("log_frequency", [True, False])
def test_conditional_scores(weight, log_frequency):
    compare(
        conditional_share=0.4,
        conditional_weight=weight,
        log_frequency=log_frequency,
        discriminator_steps=1,
    )


@pytest.mark.parametrize("positions", [True, False])
@pytest.mark.parametrize("fraction", [0.0, 0.25])
@pytest.mark.parametrize("steps", [2, 3])
def test_several_critic_steps(positions, fraction, steps):
    compare(positions=positions, conditional_share=fraction, discriminator_steps=steps, pac=5)


@pytest.mark.parametrize(("pac", "interval"), [(1, 1), (2, 1), (1, 2)])
def test_dropout(pac, interval):
    compare(dropout=0.5, pac=pac, gradient_penalty_interval=interval, discriminator_steps=2)


@pytest.mark.parametrize("interval", [2, 3])
@pytest.mark.parametrize("steps", [1, 2])
def test_lazy_penalties(interval, steps):
    found = compare(gradient_penalty_interval=interval, discriminator_steps=steps)
    if steps == 1:
        penalties = [dict(zip(own[0], own[1].tolist(), strict=True))["critic/penalty"]
                     for own in found]  # fmt: skip
        assert [penalty > 0 for penalty in penalties] == [i % interval == 0 for i in range(3)]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives(name, dropout):
    compare(objective=name, dropout=dropout, pac=2, discriminator_steps=2)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_penalties(penalty):
    compare(objective="gan", gradient_penalty=penalty, gradient_penalty_weight=2.0)


@pytest.mark.parametrize(
    "features",
    [
        ("mean",),
        ("mean", "sd", "cor"),
        ("frequency",),  # reads codes
        ("median", "contingency"),  # codes, and pairs of columns
        ("joint_entropy",),  # codes and the target
    ],
    ids=str,
)
@pytest.mark.parametrize("fraction", [0.0, 0.25])
def test_meta_features(features, fraction):
    found = compare(
        meta_features=features, conditional_share=fraction, discriminator_steps=1, batch_size=40
    )
    names, losses = found[0][:2]
    by_name = dict(zip(names, losses.tolist(), strict=True))
    assert by_name["generator/meta_features"] != 0
    assert {name for name in by_name if name.startswith("meta_features/")} == {
        f"meta_features/{name}" for name in features
    }


@pytest.mark.parametrize("distance", ["product", "sliced", "sinkhorn"])
def test_distances_of_meta_features(distance):
    compare(
        meta_features=("mean", "sd"),
        meta_feature_distance=distance,
        discriminator_steps=1,
        batch_size=40,
    )


def test_clipped_gradients_and_weights():
    compare(max_grad_norm=0.05, discriminator_steps=1)
    training = make_training(objective="wgan")
    training.train(1, [lambda log: True])
    critic = training.run.critics["critic"].player
    largest = max(parameter.abs().max() for parameter in critic.parameters)
    assert largest <= torch.tensor(0.01)


def test_everything_at_once():
    compare(
        pac=2,
        dropout=0.5,
        objective="relativistic",
        gradient_penalty_interval=2,
        discriminator_steps=2,
        conditional_share=0.3,
        meta_features=("mean", "frequency"),
        max_grad_norm=1.0,
        batch_size=40,
    )


# ------------------------------------------------------------------ what both have in common


def drawn(training):
    """The real batches of a step."""
    (index, *_) = training.source.epoch(training.run)
    return training.source.batches(index, training.run.random)


@pytest.mark.parametrize("autograd", [False, True])
@pytest.mark.parametrize("fraction", [0.0, 0.25])
def test_generated_rows_have_the_given_cells_of_the_real_ones(autograd, fraction):
    training = make_training(conditional_share=fraction, discriminator_steps=3)
    player = training.player
    if autograd:
        player = AutogradColumnGenerator(
            player.network, player.views, player.layout, player.conditions
        )
    reals = drawn(training)
    fakes = player.fakes(reals, training.run.random)
    assert len(fakes) == len(reals) == 3
    levels = torch.stack([fake.levels for fake in fakes])
    assert len(levels.flatten(0, 1).unique(dim=0)) > 3
    offsets = player.layout.offsets
    assert (levels >= offsets[:-1]).all()
    assert (levels < offsets[1:]).all()
    for real, fake in zip(reals, fakes, strict=True):
        assert fake.dense.shape == real.dense.shape
        if not fraction:
            assert real.conditions is fake.conditions is None
            continue
        rows, fixed = real.conditions.rows, real.conditions.fixed
        assert rows == 5
        assert fixed.any(1).all()
        assert torch.equal(fake.levels[:rows][fixed], real.levels[:rows][fixed])
        channels = slice(player.views.width, None)
        assert torch.equal(fake.dense[:, channels], real.dense[:, channels])
        assert (real.dense[rows:, channels] == 0).all()


@pytest.mark.parametrize("autograd", [False, True])
def test_pulls_at_given_cells_need_given_cells(autograd):
    training = make_training(conditional_share=0.25)
    player, run = training.player, training.run
    if autograd:
        player = AutogradColumnGenerator(player.network, player.views, player.layout, None)
    real = drawn(training)[0]
    generated = player.forward(Rows(real.levels, real.dense), run.random)
    rows = (torch.zeros_like(generated.logits[:2]), torch.zeros(2, player.views.width))
    with pytest.raises(ValueError, match="first 2 rows must have given cells, got 0"):
        player.conditions_pull(generated, 2, *rows)
    if autograd:
        with pytest.raises(ValueError, match="made without conditions"):
            player.fakes([real], run.random)


@pytest.mark.parametrize("rows", [5, 6])
def test_the_generators_own_step_has_conditional_rows_in_pairs(rows):
    training = make_training(conditional_share=rows / BATCH)
    real = drawn(training)[-1]
    pairs = training.player.given(real)
    half = rows // 2
    for part, before in zip((*pairs[:2], *pairs.conditions), (*real[:2], *real.conditions),
                            strict=True):  # fmt: skip
        assert len(part) == len(before)
        assert torch.equal(part[:half], before[:half])
        assert torch.equal(part[half : 2 * half], before[:half])
        assert torch.equal(part[2 * half :], before[2 * half :])
    plain = make_training(conditional_share=0.0)
    (real, *_) = drawn(plain)
    assert plain.player.given(real) is real


@pytest.mark.parametrize("autograd", [False, True])
def test_logits_that_are_no_numbers_are_an_error(autograd):
    training = make_training(discriminator_steps=1)
    player = training.player
    if autograd:
        player = by_autograd(training).player
    with torch.no_grad():
        player.network.logits.weight.fill_(torch.nan)
    player.refresh()
    (real,) = drawn(training)
    with pytest.raises(FloatingPointError):
        player.forward(real, training.run.random)


def test_states_continue_where_they_were():
    training = make_training(discriminator_steps=1)
    (real,) = drawn(training)
    state = copy.deepcopy(training.player.state_dict())
    other = make_training(discriminator_steps=1)
    with torch.no_grad():
        for parameter in other.player.parameters:
            parameter.mul_(0.5)
    other.player.load_state_dict(state)
    other.player.refresh()
    generated = [player.rows(player.forward(real, torch.Generator().manual_seed(0)))
            for player in (training.player, other.player)]  # fmt: skip
    assert torch.equal(generated[0].levels, generated[1].levels)
    assert torch.equal(generated[0].dense, generated[1].dense)


class OwnGenerator(Generator):
    """Another class: nobody knows what its passes do."""


class OwnCritic(MLPCritic):
    pass


def test_closed_forms_are_for_the_networks_that_they_were_derived_for(caplog):
    training = make_training()
    player, layout = training.player, training.player.layout
    common = player.views, layout, player.conditions, torch.device("cpu")
    random = torch.Generator().manual_seed(0)
    critic = training.run.critics["critic"].player.critic
    goal = training.settings.make_objective()
    with caplog.at_level(logging.INFO):
        assert type(generator_player(player.network, *common)) is ColumnGenerator
        assert type(critic_player(critic, layout.levels, goal)) is CompiledCritic
        assert not caplog.text
        own = OwnGenerator(4, (5,), layout, random, 1)
        assert type(generator_player(own, *common)) is AutogradColumnGenerator
        own = OwnCritic(layout.levels, critic.dense, (4,), random)
        assert type(critic_player(own, layout.levels, goal)) is AutogradCritic
    assert "The generator is a OwnGenerator" in caplog.text
    assert "The critic is a OwnCritic" in caplog.text
