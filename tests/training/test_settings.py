"""What settings make, and what they refuse."""

from __future__ import annotations

import pytest

from sdv_wgangp.objectives.adversarial import OBJECTIVES, objective
from sdv_wgangp.ops import PENALTIES
from sdv_wgangp.training.settings import TrainingSettings


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_can_be_named_alone(name):
    """The weight of the penalty has a default, also for those that have no penalty."""
    assert TrainingSettings(objective=name).make_objective() == objective(name)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_penalty_can_be_named_beside_an_objective(penalty):
    settings = TrainingSettings(
        objective="gan",
        gradient_penalty=penalty,
        gradient_penalty_weight=2.0,
        gradient_penalty_interval=3,
    )
    chosen = settings.make_objective()
    assert chosen == objective("gan", penalty=penalty, penalty_weight=2.0, interval=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "lsgan"}, "objective must be one of gan, wgan, .* not 'lsgan'"),
        ({"gradient_penalty": "r3"}, "gradient_penalty must be one of None, .* not 'r3'"),
        ({"optimizer": "sgd"}, "optimizer must be one of adam, rmsprop, not 'sgd'"),
        ({"betas": (0.5, 1.0)}, r"betas must be two numbers in \[0, 1\), not \(0.5, 1.0\)"),
        ({"max_grad_norm": 0.0}, "max_grad_norm must be None or a finite number above 0, not 0"),
        (
            {"gradient_penalty_interval": 0},
            "gradient_penalty_interval must be a whole number of at least 1, not 0",
        ),
        ({"objective": "gan", "gradient_penalty_interval": 2}, "gan has no penalty: name one"),
        ({"weight_clip": 0.1}, "both bound the critic's slope"),
    ],
)
def test_what_contradicts_itself_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**options)


def test_settings_are_plain_for_those_who_write_them_down():
    plain = TrainingSettings(meta_features=("mean",), meta_feature_weight={"mean": 2.0}).plain()
    assert plain["betas"] == [0.0, 0.9]
    assert plain["meta_features"] == ["mean"]
    assert plain["meta_feature_weight"] == {"mean": 2.0}


def test_what_is_auto_follows_the_rows_of_the_table():
    settings = TrainingSettings()
    found = {rows: settings.for_rows(rows) for rows in (60, 1_000, 10_000, 1_000_000)}
    steps = {rows: each.epochs * each.steps_per_epoch(rows) for rows, each in found.items()}
    assert steps == {60: 1_320, 1_000: 1_800, 10_000: 6_000, 1_000_000: 6_000}
    assert [each.batch_size for each in found.values()] == [250, 250, 300, 500]
    reach = [24 / (1 - each.ema_decay) for each in found.values()]
    assert reach == pytest.approx([*steps.values()])
    assert found[1_000].for_rows(10_000) == found[1_000]
    # A batch is a whole number of packs, and has two of them.
    assert settings.for_rows(1_000, pac=4).batch_size == 248
    assert settings.for_rows(1_000, pac=300).batch_size == 600


def test_numbers_that_are_given_are_taken():
    given = TrainingSettings(epochs=200, batch_size=500, ema_decay=0.999)
    assert given.for_rows(400) == given
    assert given.epochs * given.steps_per_epoch(400) == 24_000
    # Statistics are taken of a batch, whose size "auto" leaves open until there are rows.
    assert TrainingSettings(meta_features="auto").for_rows(400).batch_size == 250
    with pytest.raises(ValueError, match="epochs must be 'auto' or a whole number"):
        TrainingSettings(epochs="all")


def test_samples_of_statistics_are_checked_before_there_are_rows():
    fraction = {"meta_features": ("mean",), "meta_feature_distance": "transport"}
    with pytest.raises(ValueError, match="two are needed: raise batch_size"):
        TrainingSettings(**fraction, meta_feature_fraction=0.001)
    assert TrainingSettings(**fraction, meta_feature_fraction=0.1).batch_size == "auto"
