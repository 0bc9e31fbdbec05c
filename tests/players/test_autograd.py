"""Any modules as players: penalties against a loop over rows, gradients, labels, precision."""

from __future__ import annotations

import copy
import doctest
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sdv_wgangp.objectives.adversarial import OBJECTIVES, objective
from sdv_wgangp.objectives.gradient_penalty import critic_penalty
from sdv_wgangp.ops import PENALTIES, PENALTIES_BETWEEN
from sdv_wgangp.players import autograd, batches, terms
from sdv_wgangp.players.autograd import AutogradCritic, AutogradGenerator, batch_penalty
from sdv_wgangp.players.batches import leaves, mapped
from sdv_wgangp.players.protocols import Pulls, added
from sdv_wgangp.players.terms import Likelihood, Reconstruction


class Labelled(NamedTuple):
    rows: Tensor
    labels: Tensor


class Inner(NamedTuple):
    sequence: Tensor
    length: Tensor


class Nested(NamedTuple):
    inner: Inner
    labels: Tensor
    image: Tensor


class LabelledCritic(nn.Module):
    def __init__(self, width=3, classes=4):
        super().__init__()
        self.classes = classes
        self.layers = nn.Sequential(nn.Linear(width + classes, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, batch):
        hot = functional.one_hot(batch.labels, self.classes).to(batch.rows.dtype)
        return self.layers(torch.cat([batch.rows, hot], 1))


class NestedCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.of_image = nn.GRU(2, 5, batch_first=True), nn.Linear(12, 5)
        self.of_labels, self.head = nn.Embedding(4, 5), nn.Linear(5, 1)

    def forward(self, batch):
        hidden = self.cell(batch.inner.sequence)[0][:, -1] * batch.inner.length[:, None]
        hidden = hidden + self.of_image(batch.image.flatten(1)) + self.of_labels(batch.labels)
        return self.head(hidden.tanh()).squeeze(1)


class RecurrentCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(2, 6, batch_first=True), nn.Linear(6, 1)

    def forward(self, rows):
        return self.head(self.lstm(rows)[0][:, -1])


def convolutional():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.SiLU(), nn.Flatten(), nn.Linear(80, 1), nn.Flatten(0)
    )


def perceptron(width=3, dropout=0.0):
    return nn.Sequential(
        nn.Linear(width, 8), nn.LeakyReLU(0.2), nn.Dropout(dropout), nn.Linear(8, 1)
    )


ROWS = 5
MAKERS = {
    "rows": (perceptron, lambda: torch.randn(ROWS, 3)),
    "sequences": (RecurrentCritic, lambda: torch.randn(ROWS, 4, 2)),
    "images": (convolutional, lambda: torch.randn(ROWS, 2, 4, 5)),
    "labels": (
        LabelledCritic,
        lambda: Labelled(torch.randn(ROWS, 3), torch.randint(4, (ROWS,))),
    ),
    "nested": (
        NestedCritic,
        lambda: Nested(
            Inner(torch.randn(ROWS, 4, 2), torch.rand(ROWS)),
            torch.randint(4, (ROWS,)),
            torch.randn(ROWS, 3, 2, 2),
        ),
    ),
}


def row_by_row(module, real, fake, epsilon, weight, kind):
    """The penalty, written out: one row after the other through the critic."""
    total = torch.zeros(())
    for row in range(ROWS):
        one, other = (
            mapped(lambda leaf, row=row: leaf[row : row + 1], batch) for batch in (real, fake)
        )
        points = {"r1": [one], "r2": [other], "r1+r2": [one, other], "none": []}
        if kind in PENALTIES_BETWEEN:

            def between(a, b, epsilon=epsilon[row]):
                return a + epsilon * (b - a) if a.is_floating_point() else a

            points[kind] = [mapped(between, one, other)]
        for point in points[kind]:
            point = mapped(lambda a: a.detach().requires_grad_(a.is_floating_point()), point)
            at = [leaf for leaf in leaves(point) if leaf.requires_grad]
            found = torch.autograd.grad(module(point).sum(), at, create_graph=True)
            norm = torch.cat([gradient.flatten() for gradient in found]).norm()
            if kind == "wgan-gp":
                total = total + (norm - 1) ** 2
            elif kind == "wgan-lp":
                total = total + (norm - 1).clamp_min(0) ** 2
            else:
                total = total + norm**2 / 2
    return weight * total / ROWS


@pytest.mark.parametrize("kind", PENALTIES)
@pytest.mark.parametrize("name", MAKERS)
def test_penalty_is_that_of_single_rows(name, kind):
    torch.manual_seed(0)
    make, draw = MAKERS[name]
    module, real, fake = make(), draw(), draw()
    own = objective("gan", penalty=kind, penalty_weight=2.0)
    gradients, losses = AutogradCritic(module).step(
        own, 0, real, fake, torch.Generator().manual_seed(1)
    )
    epsilon = torch.rand(ROWS, 1, generator=torch.Generator().manual_seed(1))
    expected = row_by_row(module, real, fake, epsilon, 2.0, kind)
    torch.testing.assert_close(losses.values[1], expected.detach(), rtol=1e-5, atol=1e-6)
    loss = own.critic_loss(module(real).flatten(), module(fake).flatten())
    torch.testing.assert_close(losses.values[0], loss.detach())
    found = torch.autograd.grad(loss + expected, list(module.parameters()), allow_unused=True)
    for gradient, other in zip(gradients, found, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-6)


class Codes(NamedTuple):
    """Rows of a table: codes of one column, and two dense channels."""

    codes: Tensor
    dense: Tensor


class OneHot:
    """One-hot codes beside the dense channels, ``pac`` rows as one."""

    def __init__(self, pac):
        self.pac = pac

    def __call__(self, batch):
        hot = torch.cat([functional.one_hot(batch.codes, 3), batch.dense], 1)
        return hot.reshape(len(hot) // self.pac, -1)

    def back(self, gradient, batch):
        rows = gradient.reshape(len(batch.codes), -1)
        return Codes(rows[:, :3], rows[:, 3:])


@pytest.mark.parametrize("kind", PENALTIES)
@pytest.mark.parametrize("pac", [1, 2])
def test_order_of_a_step_is_fake_real_penalty_bit_for_bit(kind, pac):
    """Models that were trained before repeat; with dropout, the order of the passes counts."""
    random = torch.Generator().manual_seed(0)
    real, fake = (
        Codes(torch.randint(0, 3, (6,), generator=random), torch.randn(6, 2, generator=random))
        for _ in range(2)
    )
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(5 * pac, 8), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(8, 1), nn.Flatten(0)
    )
    epsilon = None
    if kind in PENALTIES_BETWEEN:
        epsilon = torch.rand(6 // pac, 1, generator=torch.Generator().manual_seed(7))
    torch.manual_seed(3)
    view = OneHot(pac)
    loss = module(view(fake)).mean() - module(view(real)).mean()
    cost = critic_penalty(module, view(real), view(fake), epsilon, 10.0, kind)
    (loss + cost).backward()
    expected = [parameter.grad for parameter in module.parameters()]
    torch.manual_seed(3)
    found, losses = AutogradCritic(module, view=view).step(
        objective("wgan", penalty=kind), 0, real, fake, torch.Generator().manual_seed(7)
    )
    assert torch.equal(losses.values, torch.stack([loss, cost]).detach())
    assert all(map(torch.equal, found, expected))


def test_lazy_steps_draw_no_share():
    random = torch.Generator().manual_seed(0)
    own = objective("wgan", penalty="wgan-gp", interval=2)
    before = random.get_state()
    real = torch.randn(ROWS, 3)
    _, losses = AutogradCritic(perceptron()).step(own, 1, real, -real, random)
    assert torch.equal(random.get_state(), before)
    assert losses.values[1] == 0


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("data", ["rows", "nested"])
def test_pull_is_the_gradient_at_the_rows_and_leaves_the_critic_alone(name, data):
    torch.manual_seed(0)
    make, draw = MAKERS[data]
    module, own, real, fake = make(), objective(name), draw(), draw()
    player = AutogradCritic(module)
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    loss, gradient = player.pull(own, fake, real, torch.Generator())
    assert all((parameter.grad == 1).all() for parameter in module.parameters())
    assert not loss.requires_grad
    rows = mapped(lambda a: a.detach().requires_grad_(a.is_floating_point()), fake)
    expected = own.generator_loss(module(rows).flatten(), module(real).flatten())
    torch.testing.assert_close(loss, expected.detach())
    at = [leaf for leaf in leaves(rows) if leaf.requires_grad]
    found = iter(torch.autograd.grad(expected, at))

    def compare(leaf, pull):
        if leaf.requires_grad:
            torch.testing.assert_close(pull, next(found))
        else:
            assert pull is None

    mapped(compare, rows, gradient)


def test_view_goes_both_ways():
    class Pairs:
        """Two rows side by side are one of the module."""

        def __call__(self, batch):
            return batch.reshape(len(batch) // 2, -1)

        def back(self, gradient, batch):
            return gradient.view_as(batch)

    torch.manual_seed(0)
    module, rows = perceptron(6), torch.randn(8, 3, requires_grad=True)
    player = AutogradCritic(module, view=Pairs())
    loss, gradient = player.pull(objective("gan"), rows, rows, torch.Generator())
    expected = objective("gan").generator_loss(module(rows.view(4, 6)).flatten())
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, rows)[0])
    random = torch.Generator().manual_seed(0)
    player.step(objective("wgan-gp"), 0, rows.detach(), -rows.detach(), random)
    expected = torch.Generator().manual_seed(0)
    torch.rand(4, 1, generator=expected)
    assert torch.equal(random.get_state(), expected.get_state())


# --- generators ----------------------------------------------------------------------------------


class LabelledGenerator(nn.Module):
    def __init__(self):
        super().__init__()
        self.of_labels, self.layers = nn.Embedding(4, 2), nn.Linear(4, 3)

    def forward(self, noise, labels):
        return Labelled(self.layers(torch.cat([noise, self.of_labels(labels)], 1)), labels)


def draw_labels(real, random):
    return torch.randn(len(real.labels), 2, generator=random), real.labels


def test_generator_with_labels_goes_through_both_players():
    torch.manual_seed(0)
    generator = AutogradGenerator(LabelledGenerator(), draw_labels)
    critic, real = AutogradCritic(LabelledCritic()), MAKERS["labels"][1]()
    random = torch.Generator().manual_seed(0)
    (fake,) = generator.fakes([real], random)
    assert isinstance(fake, Labelled)
    assert torch.equal(fake.labels, real.labels)
    assert not fake.rows.requires_grad
    critic.step(objective("wgan-gp"), 0, real, fake, random)
    generated = generator.forward(real, random)
    _, pull = critic.pull(objective("wgan-gp"), generator.rows(generated), real, random)
    assert pull.labels is None
    expected = torch.autograd.grad(
        generated.rows.rows, generator.parameters, pull.rows, retain_graph=True
    )
    gradients = generator.backward(generated, Pulls(pull))
    assert all(map(torch.equal, gradients, expected))


def test_backward_adds_what_pulls_at_parameters():
    module = nn.Linear(2, 2)
    generator = AutogradGenerator(module, 2)
    random = torch.Generator().manual_seed(0)
    real = torch.zeros(ROWS, 2)
    generated = generator.forward(real, random)
    extra = [torch.ones(2, 2), None]
    gradients = generator.backward(generated, Pulls(torch.ones(ROWS, 2), parameters=extra))
    (noise,) = generated.inputs
    torch.testing.assert_close(gradients[0], noise.sum(0).expand(2, 2) + 1)
    torch.testing.assert_close(gradients[1], torch.full((2,), float(ROWS)))
    alone = generator.backward(generator.forward(real, random), Pulls(parameters=extra))
    assert torch.equal(alone[0], extra[0])
    assert alone[1] is None
    with pytest.raises(ValueError, match=r"rows and parameters alone, got pulls at \['logits'\]"):
        generator.backward(generated, Pulls(parts={"logits": []}))


def test_unused_parameters_have_none_and_frozen_ones_stay_out():
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused, self.frozen = (nn.Linear(2, 2, bias=False) for _ in range(3))
            self.frozen.requires_grad_(False)

        def forward(self, rows):
            return self.frozen(self.used(rows)).sum(1)

    module, rows = Spare(), torch.randn(ROWS, 2)
    critic = AutogradCritic(module)
    assert [id(each) for each in critic.parameters] == [
        id(module.used.weight),
        id(module.unused.weight),
    ]
    gradients, _ = critic.step(objective("wgan-gp"), 0, rows, -rows, torch.Generator())
    assert gradients[0] is not None
    assert gradients[1] is None

    class Sums(Spare):
        def forward(self, rows):
            return self.frozen(self.used(rows))

    generator = AutogradGenerator(Sums(), 2)
    generated = generator.forward(rows, torch.Generator())
    gradients = generator.backward(generated, Pulls(torch.ones(ROWS, 2)))
    assert gradients[0] is not None
    assert gradients[1] is None


def test_generator_trains_in_training_mode_and_counts_its_rows():
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    generator = AutogradGenerator(module, 2)
    module.eval()  # somebody has looked at samples
    first, second = generator.fakes([torch.zeros(4, 3), torch.zeros(7, 3)], torch.Generator())
    assert module.training
    assert (len(first), len(second)) == (4, 7)
    torch.testing.assert_close(second.mean(0), torch.zeros(3), atol=1e-5, rtol=0)


def test_noise_has_the_type_of_the_weights():
    generator = AutogradGenerator(nn.Linear(2, 3).double(), 2)
    assert generator.fakes([torch.zeros(4, 3)], torch.Generator())[0].dtype == torch.float64


# --- state, precision ----------------------------------------------------------------------------


def test_state_holds_parameters_and_buffers():
    torch.manual_seed(0)
    make = lambda: nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))  # noqa: E731
    one, other = AutogradGenerator(make(), 2), AutogradGenerator(make(), 2)
    one.fakes([torch.zeros(4, 3)], torch.Generator())
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    for a, b in zip(
        one.module.state_dict().values(), other.module.state_dict().values(), strict=1
    ):
        assert torch.equal(a, b)


@pytest.mark.parametrize("autocast", [torch.bfloat16, torch.float16])
def test_mixed_precision_is_near_float32(autocast):
    torch.manual_seed(0)
    real, fake = torch.randn(64, 3), torch.randn(64, 3)
    module = nn.Sequential(nn.Linear(3, 32), nn.SiLU(), nn.Linear(32, 1))
    steps, pulls = [], []
    for dtype in (None, autocast):
        critic = AutogradCritic(module, autocast=dtype)
        own, random = objective("wgan-gp"), torch.Generator().manual_seed(0)
        # The first factors of float16 are found by trying.
        for _ in range(20):
            random.manual_seed(0)
            gradients, losses = critic.step(own, 0, real, fake, random)
            if gradients[0] is not None:
                break
        steps.append((gradients, losses))
        pulls.append(critic.pull(own, fake, real, random))
    for exact, low in zip(steps[0][0], steps[1][0], strict=True):
        assert low.dtype == torch.float32
        torch.testing.assert_close(low, exact, rtol=0.05, atol=0.02)
    assert steps[0][1].values[1] == steps[1][1].values[1]  # the penalty is in float32
    assert pulls[1][1].dtype == torch.float32
    torch.testing.assert_close(pulls[1][1], pulls[0][1], rtol=0.05, atol=1e-3)

    generator = AutogradGenerator(nn.Linear(2, 3), 2, autocast=autocast)
    generated = generator.forward(real, torch.Generator().manual_seed(0))
    assert generator.rows(generated).dtype == torch.float32
    pull = torch.full((64, 3), 1e-4)
    gradients = generator.backward(generated, Pulls(pull))
    torch.testing.assert_close(gradients[1], torch.full((3,), 64e-4), rtol=0.01, atol=0)


def test_float16_leaves_out_steps_that_overflow():
    torch.manual_seed(0)
    module = perceptron()
    critic = AutogradCritic(module, autocast=torch.float16)
    real, own, random = torch.randn(ROWS, 3), objective("wgan-gp"), torch.Generator()
    skipped = 0
    while critic.step(own, 0, real, -real, random)[0][0] is None:
        skipped += 1
    scale = critic.state_dict()["scaler"]["scale"]
    assert scale == 65536 / 2**skipped
    gradients, losses = critic.step(own, 0, 3e4 * real, -real, random)
    assert gradients == [None] * 4
    assert torch.isfinite(losses.values[1])
    assert critic.state_dict()["scaler"]["scale"] == scale / 2
    assert all(parameter.grad is None for parameter in module.parameters())

    other = AutogradCritic(copy.deepcopy(module), autocast=torch.float16)
    other.load_state_dict(copy.deepcopy(critic.state_dict()))
    assert other.state_dict()["scaler"] == critic.state_dict()["scaler"]

    generator = AutogradGenerator(nn.Linear(2, 3), 2, autocast=torch.float16)
    generated = generator.forward(real, random)
    gradients = generator.backward(generated, Pulls(torch.full((ROWS, 3), torch.inf)))
    assert gradients == [None, None]
    assert generator.state_dict()["scaler"]["scale"] == 32768


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in PENALTIES if kind != "none"])
def test_batch_normalisation_is_refused_under_a_penalty(kind):
    module = nn.Sequential(nn.Linear(3, 8), nn.Sequential(nn.BatchNorm1d(8)), nn.Linear(8, 1))
    critic, rows = AutogradCritic(module), torch.randn(ROWS, 3)
    own = objective("gan", penalty=kind)
    with pytest.raises(ValueError, match=r"batch normalisation \(1.0\).*use layer normalisation"):
        critic.step(own, 0, rows, -rows, torch.Generator())
    with pytest.raises(ValueError, match="batch normalisation"):
        critic.check(own)
    critic.check(objective("gan"))
    critic.step(objective("gan"), 0, rows, -rows, torch.Generator())


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize(
    ("last", "message"),
    [
        ([nn.Sigmoid()], "ends in a sigmoid"),
        ([nn.LogSigmoid(), nn.Flatten(0)], "ends in a log-sigmoid"),
        ([nn.Softmax(1)], "ends in a softmax"),
        ([nn.LogSoftmax(1)], "ends in a log-softmax"),
    ],
)
def test_scores_must_be_logits(name, last, message):
    critic, rows = AutogradCritic(nn.Sequential(nn.Linear(3, 1), *last)), torch.randn(ROWS, 3)
    with pytest.raises(ValueError, match=message):
        critic.step(objective(name), 0, rows, -rows, torch.Generator())


def test_a_sigmoid_in_the_function_is_found_and_one_inside_is_fine():
    class Squashed(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.last = nn.Linear(3, 3), nn.Linear(3, 1)
            self.sigmoid = nn.Sigmoid()
            self.squash = True

        def forward(self, rows):
            scores = self.last(rows * self.sigmoid(self.gate(rows)))
            return torch.sigmoid(scores) if self.squash else scores

    module, rows = Squashed(), torch.randn(ROWS, 3)
    critic = AutogradCritic(module)
    with pytest.raises(ValueError, match="ends in a sigmoid"):
        critic.step(objective("gan"), 0, rows, -rows, torch.Generator())
    module.squash = False
    critic.step(objective("gan"), 0, rows, -rows, torch.Generator())


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Linear(3, 2), r"one score a row, \[5\] or \[5, 1\], got \[5, 2\]"),
        (nn.Sequential(nn.Linear(3, 1), nn.Unflatten(1, (1, 1))), r"got \[5, 1, 1\]"),
        (nn.Sequential(nn.Linear(3, 1), nn.AdaptiveAvgPool1d(1), nn.Flatten(0, -1)), None),
        (nn.LSTM(3, 1), r"got tuple"),
    ],
)
def test_scores_must_be_one_a_row(module, message):
    critic, rows = AutogradCritic(module), torch.randn(ROWS, 3)
    if message is None:
        critic.step(objective("gan"), 0, rows, -rows, torch.Generator())
        return
    with pytest.raises(ValueError, match=message):
        critic.step(objective("gan"), 0, rows, -rows, torch.Generator())


def test_other_errors():
    frozen = nn.Linear(3, 1).requires_grad_(False)
    with pytest.raises(ValueError, match="critic has no parameter that requires a gradient"):
        AutogradCritic(frozen)
    with pytest.raises(ValueError, match="generator has no parameter that requires a gradient"):
        AutogradGenerator(frozen, 3)
    with pytest.raises(ValueError, match=r"autocast must be None, .* got torch.float64"):
        AutogradCritic(nn.Linear(3, 1), autocast=torch.float64)
    with pytest.raises(ValueError, match="noise must have a width of 1 or more, got 0"):
        AutogradGenerator(nn.Linear(3, 1), 0)
    with pytest.raises(TypeError, match=r"tuple of the generator's inputs, got Tensor: write"):
        AutogradGenerator(nn.Linear(3, 1), lambda real, random: real).forward(
            torch.zeros(2, 3), torch.Generator()
        )
    with pytest.raises(TypeError, match=r"a batch is a tensor or a .* tuple of such, got dict"):
        leaves({"rows": torch.zeros(2)})
    pair = torch.zeros(2, 3), torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"differ in structure: one has a tensor .* has tuple"):
        mapped(torch.add, pair[0], pair)
    with pytest.raises(ValueError, match=r"differ in structure: one has 2 parts .* has 1"):
        mapped(torch.add, pair, pair[:1])
    integers = Labelled(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="needs a floating part in the rows"):
        batch_penalty(torch.sum, integers, integers, torch.rand(2, 1), 1.0, "wgan-gp")


# --- terms ---------------------------------------------------------------------------------------


def test_reconstruction_pulls_at_floating_rows():
    real, fake = MAKERS["labels"][1](), MAKERS["labels"][1]()
    term = Reconstruction(3.0, lambda a, b: (a.rows - b.rows).square().mean(), "squares")
    losses, pulls = term.pull(None, None, fake, real)
    assert losses.names == ("generator/squares",)
    torch.testing.assert_close(losses.values[0], 3 * (fake.rows - real.rows).square().mean())
    torch.testing.assert_close(pulls.rows.rows, 6 * (fake.rows - real.rows) / (ROWS * 3))
    assert pulls.rows.labels is None
    total = added(pulls.rows, pulls.rows)
    assert total.labels is None
    with pytest.raises(ValueError, match="weight must be finite and not negative, got -1"):
        Reconstruction(-1.0, functional.l1_loss)


@pytest.mark.parametrize("autocast", [None, torch.float16])
def test_likelihood_reaches_parameters_through_the_graph_of_the_pass(autocast):
    torch.manual_seed(0)
    module = nn.Linear(2, 3)
    player = AutogradGenerator(module, 2, autocast=autocast)
    real = torch.zeros(ROWS, 3)
    generated = player.forward(real, torch.Generator().manual_seed(0))
    term = Likelihood(lambda generated, fake, real: (generated.rows - real).square().mean(), 0.5)
    losses, pulls = term.pull(player, generated, player.rows(generated), real)
    rows = player.rows(generated)
    torch.testing.assert_close(losses.values[0], 0.5 * rows.square().mean())
    close = {"rtol": 0.02, "atol": 1e-3} if autocast else {}
    to_bias = rows.sum(0) / (ROWS * 3)
    torch.testing.assert_close(pulls.parameters[1], to_bias, **close)
    # The graph is still there: critics pull through it, too.
    gradients = player.backward(generated, pulls + Pulls(torch.full((ROWS, 3), 0.1)))
    torch.testing.assert_close(gradients[1], to_bias + 0.1 * ROWS, **close)


@pytest.mark.parametrize("module", [autograd, batches, terms])
def test_examples_run(module):
    assert doctest.testmod(module).failed == 0
