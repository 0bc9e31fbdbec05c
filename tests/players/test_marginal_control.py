"""The controller of the marginals."""

import math

import pandas as pd
import pytest
import torch

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import TableEncoder
from sdv_wgangp.models.tabular import TabularModel
from sdv_wgangp.networks.generator import Generator
from sdv_wgangp.players.marginal_control import MarginalControl
from sdv_wgangp.players.rows import Rows
from sdv_wgangp.training.settings import TrainingSettings


@pytest.fixture
def control():
    frame = pd.DataFrame({"a": ["x"] * 75 + ["y"] * 25})
    layout = Layout.of(TableEncoder(["a"]).fit(frame))
    generator = Generator(4, [8], layout, torch.Generator().manual_seed(0))

    def make(**options):
        return MarginalControl(generator, layout.frequencies, **options), generator.logits.bias

    return make


def rows(levels):
    return Rows(torch.tensor(levels)[:, None], torch.zeros(len(levels), 0))


def test_a_move_is_the_gain_times_the_log_of_the_ratio_of_frequencies(control):
    term, bias = control(first=0, interval=1, gain=0.5, largest_move=9.0)
    before = bias.detach().clone()
    drawn = rows([0] * 50 + [1] * 50)
    term.advance(0.0)
    term.pull(None, None, drawn, drawn)
    assert bias.tolist() == before.tolist()
    term.advance(0.0)
    wanted = [0.5 * math.log(0.7501 / 0.5001), 0.5 * math.log(0.2501 / 0.5001)]
    assert (bias - before).tolist() == pytest.approx(wanted, rel=1e-4)


def test_conditional_rows_are_not_counted(control):
    term, _ = control(first=2)
    losses, _ = term.pull(None, None, rows([1, 1, 0, 0, 0, 1]), None)
    assert losses.floats() == {"marginals/total_variation": pytest.approx(0.0)}


def test_moves_are_bounded_and_end_with_the_learning_rates(control):
    term, bias = control(first=0, interval=1, gain=10.0, largest_move=0.25)
    before = bias.detach().clone()
    term.advance(0.0)
    term.pull(None, None, rows([0] * 100), None)
    term.advance(0.0)
    assert (bias - before).tolist() == pytest.approx([-0.25, 0.25])
    before = bias.detach().clone()
    term.pull(None, None, rows([0] * 100), None)
    term.advance(1.0)
    assert bias.tolist() == before.tolist()


def test_its_state_continues(control):
    term, bias = control(first=0, interval=2)
    term.advance(0.0)
    term.pull(None, None, rows([0] * 30), None)
    other, _ = control(first=0, interval=2)
    other.load_state_dict(term.state_dict())
    start = bias.detach().clone()
    moves = []
    for each in (term, other):
        bias.data.copy_(start)
        each.advance(0.0)
        each.pull(None, None, rows([0] * 10 + [1] * 5), None)
        each.advance(0.0)
        moves.append(bias.detach().clone())
    assert torch.equal(*moves)
    assert not torch.equal(moves[0], start)


def test_a_level_that_was_lost_comes_back():
    """Its logit far below all others: no row of it is drawn, so nothing else could find it."""
    frame = pd.DataFrame({"a": ["x"] * 700 + ["y"] * 300, "b": ["u", "v"] * 500})
    shares = {}
    for gain in (0.0, 0.3):
        settings = TrainingSettings(
            epochs=4, min_steps_per_epoch=100, batch_size=100, marginal_control=gain
        )
        model = TabularModel(
            settings, generator_dim=(16,), discriminator_dim=(16,), calibrate=False, random_state=0
        )

        class Loses:
            def on_step(self, run):
                if run.step == 1:
                    layout = run.generator.layout
                    with torch.no_grad():
                        bias = run.generator.network.logits.bias
                        bias[int(layout.frequencies[:2].argmin())] -= 20.0
                    run.generator.refresh()

        model.fit(frame, ["a", "b"], callbacks=[Loses()])
        shares[gain] = (model.sample(2_000)["a"] == "y").mean()
    assert shares[0.0] == 0
    assert shares[0.3] > 0.2
