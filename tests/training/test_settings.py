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
