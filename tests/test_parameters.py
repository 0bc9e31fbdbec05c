"""The table of parameters agrees with signature, docstrings and settings, and checks values."""

from __future__ import annotations

import doctest
import inspect
import re
from dataclasses import fields

import pytest

from sdv_wgangp import parameters, values
from sdv_wgangp.multi_table import IndependentWGANGPMFSSynthesizer
from sdv_wgangp.objectives.adversarial import OBJECTIVES, WEIGHT_CLIP
from sdv_wgangp.objectives.gradient_penalty import PENALTIES
from sdv_wgangp.objectives.matching import DISTANCES, SCHEDULES
from sdv_wgangp.parameters import (
    GROUPS,
    LATER_PARAMETERS,
    OUTPUT,
    PARAMETERS,
    check_names,
    check_together,
    check_values,
)
from sdv_wgangp.single_table import WGANGPMFSSynthesizer
from sdv_wgangp.synthesizers import arguments as input_arguments
from sdv_wgangp.training import settings
from sdv_wgangp.training.optimizers import OPTIMIZERS
from sdv_wgangp.training.settings import TrainingSettings
from sdv_wgangp.values import Choice, Flag

# Settings that are for those who look into the training, not for users.
INTERNAL = {"cuda_graph"}


def arguments(cls: type) -> dict[str, object]:
    """Arguments of a class and their defaults, but for the metadata."""
    signature = inspect.signature(cls.__init__).parameters
    return {
        name: each.default for name, each in signature.items() if name not in ("self", "metadata")
    }


def documented(cls: type, section: str) -> list[str]:
    """Names in a section of a class's docstring."""
    text = re.split(rf"^{section}:\n", inspect.cleandoc(cls.__doc__), flags=re.MULTILINE)[1]
    text = re.split(r"^\S", text, flags=re.MULTILINE)[0]
    lines = re.findall(r"^    (\w+(?:, \w+)*): ", text, re.MULTILINE)
    return [name for line in lines for name in line.split(", ")]


def test_the_signature_is_the_table():
    signature = arguments(WGANGPMFSSynthesizer)
    assert signature.keys() ^ PARAMETERS.keys() == set()
    assert list(signature) == list(PARAMETERS)
    for name, default in signature.items():
        assert default == PARAMETERS[name].default, name


def test_the_docstring_has_every_parameter():
    names = documented(WGANGPMFSSynthesizer, "Args")
    assert {*names} ^ {"metadata", *PARAMETERS} == set()
    assert len(names) == len(PARAMETERS) + 1


def test_the_settings_of_the_training_have_the_same_defaults():
    names = [field.name for field in fields(TrainingSettings)]
    assert set(names) - set(PARAMETERS) == INTERNAL
    assert sorted(documented(TrainingSettings, "Attributes")) == sorted(names)
    for field in fields(TrainingSettings):
        if field.name in PARAMETERS:
            expected = PARAMETERS[field.name].default
            # No meta-features: users say None, the training has an empty list.
            assert field.default == (() if field.name == "meta_features" else expected), field.name


def test_every_parameter_is_used():
    source = inspect.getsource(WGANGPMFSSynthesizer)
    used = {field.name for field in fields(TrainingSettings)} | {"locales"}  # which SDV reads
    for name in set(PARAMETERS) - used:
        assert f"self.{name}" in source, name


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("objective", OBJECTIVES),
        ("gradient_penalty", PENALTIES),
        ("meta_feature_distance", DISTANCES),
        ("meta_feature_schedule", SCHEDULES),
        ("optimizer", OPTIMIZERS),
    ],
)
def test_choices_are_those_there_are(name, known):
    assert PARAMETERS[name].kind.names == known


def test_the_help_states_the_default_that_stands_elsewhere():
    assert f"(default: {WEIGHT_CLIP} with wgan)" in PARAMETERS["weight_clip"].help


@pytest.mark.parametrize("name", PARAMETERS)
def test_entries_are_whole(name):
    parameter = PARAMETERS[name]
    parameter.check(parameter.default)
    assert parameter.help[0].islower() or parameter.help.startswith("L2")
    assert not parameter.help.endswith(".")
    assert "%" not in parameter.help
    assert parameter.group in (*GROUPS, OUTPUT)
    if parameter.default is None or isinstance(parameter.kind, Flag):
        return
    read = parameter.from_text(parameter.text_of(parameter.default))
    assert (tuple(read) if isinstance(read, list) else read) == parameter.default


def test_options_differ():
    options = [parameter.option for parameter in PARAMETERS.values()]
    assert len(set(options)) == len(options)


def test_what_an_earlier_release_saved_is_completed():
    assert {"objective", "betas"} <= LATER_PARAMETERS.keys()
    assert "epochs" not in LATER_PARAMETERS
    old = object.__new__(WGANGPMFSSynthesizer)
    state = {name: each.default for name, each in PARAMETERS.items() if not each.later}
    old.__setstate__(state | {"epochs": 7})
    assert {name: old.__dict__[name] for name in PARAMETERS} == {
        **{name: each.default for name, each in PARAMETERS.items()},
        "epochs": 7,
    }


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("locales", "en_US, de_DE", ["en_US", "de_DE"]),
        ("generator_dim", "64,32", (64, 32)),
        ("generator_lr", "1e-3", 1e-3),
        ("epochs", "3", 3),
        ("random_state", "7", 7),
        ("max_seconds", "1.5", 1.5),
        ("meta_features", "auto", "auto"),
        ("meta_features", "mean, cor", ["mean", "cor"]),
        ("meta_feature_weight", "0.5", 0.5),
        ("meta_feature_weight", "mean=1, cor=0.5", {"mean": 1.0, "cor": 0.5}),
        ("target", "income", "income"),
        ("objective", "hinge", "hinge"),
        ("gradient_penalty", "none", "none"),
        ("betas", "0.5,0.9", (0.5, 0.9)),
    ],
)
def test_texts_of_a_command_line(name, text, value):
    assert PARAMETERS[name].from_text(text) == value
    assert PARAMETERS[name].from_text(PARAMETERS[name].text_of(value)) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("epochs", "0", "0 is not a positive number"),
        ("epochs", "x", "invalid positive number value: 'x'"),
        ("pac", "1.5", "invalid whole number value: '1.5'"),
        ("pac", "0", "pac must be a whole number of at least 1, not 0"),
        ("random_state", "-1", r"-1 is not in 0 \.\. 4294967295"),
        ("max_seconds", "0", "0 is not a positive number of seconds"),
        ("generator_lr", "2", r"generator_lr must lie in \[0, 1\], not 2.0"),
        ("generator_lr", "nan", r"generator_lr must lie in \[0, 1\], not nan"),
        ("generator_dim", "64,", "invalid whole number value: ''"),
        ("generator_dim", "0", "generator_dim must list the widths"),
        ("betas", "0.5", r"betas must be two numbers in \[0, 1\), not \(0.5,\)"),
        ("objective", "lsgan", "objective must be one of gan, .* not 'lsgan'"),
        ("meta_feature_weight", "mean=-1", "weight of 'mean' must be a finite .* not -1.0"),
        ("meta_feature_weight", "mean=1,cor", "invalid weight of cor value: ''"),
        ("meta_feature_weight", "mean=1,mean=2", "mean has two weights: leave one out"),
    ],
)
def test_texts_that_say_nothing_of_use(name, text, message):
    with pytest.raises(ValueError, match=message):
        PARAMETERS[name].from_text(text)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": True}, "epochs must be 'auto' or a whole number of at least 0, not True"),
        ({"meta_features": [1]}, r"meta_features must be None, 'auto' or a list of names, not"),
        ({"locales": [1]}, "locales must be None or a locale or a list of locales, not"),
        ({"weight_clip": 0}, "weight_clip must be None or a finite number above 0, not 0"),
        ({"min_steps_per_epoch": 0}, "min_steps_per_epoch must be a whole number of at least 1"),
        ({"discriminator_dropout": 1}, r"discriminator_dropout must lie in \[0, 1\), not 1$"),
        (
            {"ema_decay": "x"},
            r"ema_decay must be 'auto' or lie in \[0, 1\), not 'x'; 0 switches it off$",
        ),
        ({"gradient_penalty": "r3"}, "gradient_penalty must be one of None, wgan-gp, .* not 'r3'"),
        ({"precision": "low"}, "precision must be one of medium, highest, not 'low'"),
    ],
)
def test_values_out_of_range(values, message):
    with pytest.raises(ValueError, match=message):
        check_values(values)


def test_what_the_table_does_not_know_is_not_its_business():
    check_values({"nothing": "whatever"})
    with pytest.raises(ValueError, match="table_parameters has no parameter 'epoch': choose from"):
        check_names(["epochs", "epoch"], of="table_parameters")


def test_parameters_that_do_not_go_together():
    check_together(500, 5, "income", ["income"])
    with pytest.raises(ValueError, match="batch_size must be a multiple of pac: 500 is none of 3"):
        check_together(500, 3, None, [])
    with pytest.raises(ValueError, match=r"target must be None or a column .*, not 'salary'"):
        check_together(500, 1, "salary", ["income"])


def test_several_tables_share_locales_and_verbose_with_one():
    own = arguments(IndependentWGANGPMFSSynthesizer)
    assert own.pop("table_parameters") is None
    assert own == {name: PARAMETERS[name].default for name in own}


def test_choices_are_compared_not_hashed():
    with pytest.raises(ValueError, match=r"x must be one of a, not \['a'\]"):
        Choice(names=("a",)).check("x", ["a"])


@pytest.mark.parametrize("module", [parameters, settings, input_arguments, values])
def test_examples_in_docstrings(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed
