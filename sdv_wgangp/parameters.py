"""The parameters of the synthesizers, in one table.

`PARAMETERS` says of each its default, the values that it may have (`values` has their kinds), what
it is for, and how the command line spells it. The synthesizers and `TrainingSettings` check their
arguments with it, and ``sdv-wgangp fit`` makes its options from it. Nothing is imported but the
standard library and names: ``--help`` waits for neither PyTorch nor SDV.

A new parameter is an entry here, an argument of `WGANGPMFSSynthesizer` (SDV reads parameters from
its signature, people from its docstring) and its use: a field of `TrainingSettings`, or a line of
`WGANGPMFSSynthesizer._fit`. `tests/test_parameters.py` names what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sdv_wgangp.calibration.options import CalibrationOptions
from sdv_wgangp.encoding.options import EncodingOptions
from sdv_wgangp.options import Options
from sdv_wgangp.values import (
    AUTO,
    Auto,
    Betas,
    Choice,
    Column,
    Flag,
    Kind,
    Locales,
    MetaFeatures,
    Number,
    RelationsToKeep,
    Weights,
    Whole,
    Widths,
    count,
    is_list,
    seconds,
    seed,
)

# Most of what is learned is for rows without conditions.
MOST_CONDITIONAL = 0.5


# --------------------------------------------------------------------------- the table


@dataclass(frozen=True, kw_only=True)
class Named(Kind):
    """Numbers by name, of some hyper-parameters; what is not named has its default."""

    options: type[Options]
    metavar: ClassVar[str] = "NAME=X,..."

    def check(self, name: str, value: Any) -> None:
        self.options.of(value, name)

    def read(self, text: str) -> dict[str, Any]:
        return self.options.from_text(text)


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes:
        name: Of the argument, and of the field of `TrainingSettings` where there is one.
        default: Its default.
        kind: The values that it may have.
        group: Heading of the command line's help, one of `GROUPS`; `OUTPUT` stands beside them.
        help: What it is for, in one sentence without a full stop.
        unit: Of its values; stands for them in the help.
        spelling: Its option, where that is not ``--name`` (``--no-name`` for what is on).
        read: Reads a text on the command line, where that is stricter than the kind.
        later: Whether the first release did not have it: what that saved gets the default.
    """

    name: str
    default: Any
    kind: Kind
    group: str
    help: str
    unit: str = ""
    spelling: str = ""
    read: Callable[[str], Any] | None = None
    later: bool = False

    def check(self, value: Any) -> None:
        """Refuse what the parameter cannot be.

        Raises:
            ValueError: Names it, and its range.

        Example:
            >>> PARAMETERS["validation_fraction"].check(0.7)
            Traceback (most recent call last):
            ...
            ValueError: validation_fraction must lie in (0, 0.5], not 0.7
        """
        self.kind.check(self.name, value)

    @property
    def option(self) -> str:
        """How the command line spells it.

        Example:
            >>> PARAMETERS["batch_size"].option, PARAMETERS["calibrate"].option
            ('--batch-size', '--no-calibrate')
        """
        if self.spelling:
            return self.spelling
        prefix = "--no-" if self.default is True else "--"
        return prefix + self.name.replace("_", "-")

    def from_text(self, text: str) -> Any:
        """The value that a text on the command line says.

        Raises:
            ValueError: It says none, or one that the parameter cannot be.

        Example:
            >>> PARAMETERS["generator_dim"].from_text("64,64")
            (64, 64)
        """
        is_auto = isinstance(self.kind, Auto) and text == AUTO
        value = text if is_auto else (self.read or self.kind.read)(text)
        self.check(value)
        return value

    def text_of(self, value: Any) -> str:
        """A value as the command line has it.

        Example:
            >>> PARAMETERS["generator_dim"].text_of((64, 64))
            '64,64'
        """
        if isinstance(value, Mapping):
            return ",".join(f"{name}={weight:g}" for name, weight in value.items())
        if is_list(value):
            return ",".join(map(self.text_of, value))
        return f"{value:g}" if isinstance(value, float) else str(value)


# In the order of the help.
TRAINING, NETWORKS, OBJECTIVE, MATCHING = "training", "networks", "objective", "meta-features"
CONDITIONS, ENDS, SAMPLES, OUTPUT = "conditions", "end of the training", "samples", "output"
GROUPS = (TRAINING, NETWORKS, OBJECTIVE, MATCHING, CONDITIONS, ENDS, SAMPLES)

# In the order of the synthesizer's arguments.
_TABLE = (
    Parameter(
        "enforce_min_max_values", True, Flag(), SAMPLES,
        "leave what constraints and transformers make of numbers beyond the range of the table",
    ),
    Parameter(
        "enforce_rounding", True, Flag(), SAMPLES,
        "leave numbers with more decimals than they have in the table",
    ),
    Parameter(
        "locales", ("en_US",), Locales(optional=True), SAMPLES,
        "locales of the anonymised columns",
    ),
    Parameter(
        "embedding_dim", 128, Whole(least=1), NETWORKS, "width of the generator's noise",
    ),
    Parameter(
        "generator_dim", (256, 256), Widths(), NETWORKS,
        "widths of the generator's residual blocks",
    ),
    Parameter(
        "discriminator_dim", (256, 256), Widths(), NETWORKS,
        "widths of the critic's hidden layers",
    ),
    # A step of Adam without momentum moves a weight by at most 3.2 rates.
    Parameter(
        "generator_lr", 5e-4, Number(most=1), TRAINING,
        "learning rate of the generator; falls to 0 in the second half",
    ),
    Parameter(
        "generator_decay", 1e-6, Number(), TRAINING, "L2 penalty on the generator's weights",
    ),
    Parameter(
        "discriminator_lr", 1e-3, Number(most=1), TRAINING,
        "learning rate of the critic; falls to 0 in the second half",
    ),
    Parameter(
        "discriminator_decay", 1e-6, Number(), TRAINING, "L2 penalty on the critic's weights",
    ),
    Parameter(
        "batch_size", AUTO, Auto(given=Whole(least=2)), TRAINING,
        "rows in a step, a multiple of --pac; auto for fewer in a small table", "rows",
    ),
    Parameter(
        "discriminator_steps", 2, Whole(least=1), TRAINING,
        "critic steps for each generator step", "steps",
    ),
    Parameter(
        "log_frequency", True, Flag(), CONDITIONS,
        "draw the values that are learned as conditions by their frequency, not its logarithm",
    ),
    Parameter(
        "verbose", False, Flag(), OUTPUT, "show progress also where there is no terminal",
    ),
    Parameter(
        "epochs", AUTO, Auto(given=Whole(least=0)), TRAINING,
        "passes over the table; auto for as many as its rows need", read=count,
    ),
    Parameter(
        "pac", 1, Whole(least=1), NETWORKS, "rows that the critic judges together", "rows",
    ),
    Parameter(
        "enable_gpu", True, Flag(), TRAINING, "use the CPU also where there is a GPU",
        spelling="--no-gpu",
    ),
    Parameter(
        "gradient_penalty_weight", 10.0, Number(), OBJECTIVE,
        "weight of the gradient penalty, where there is one",
    ),
    Parameter(
        "meta_features", None, MetaFeatures(), MATCHING,
        "statistics of the table that the generator is made to match: auto, or names with commas "
        "between them, like mean,cor,frequency (default: none)",
    ),
    Parameter(
        "meta_feature_weight", 1.0, Weights(), MATCHING,
        "factor of their losses, or one for each, like mean=1,cor=0.5",
    ),
    Parameter(
        "meta_feature_distance", "tracked",
        Choice(
            names=("tracked", "product", "transport", "sinkhorn", "sliced", "wasserstein_1d")
        ),
        MATCHING, "how generated statistics are compared with real ones",
    ),
    Parameter(
        "meta_feature_subsets", 10, Whole(least=1), MATCHING,
        "subsets of a batch in a cloud of statistics",
    ),
    Parameter(
        "meta_feature_fraction", 0.5, Number(most=1, ends="(]"), MATCHING,
        "share of the batch in each subset",
    ),
    Parameter(
        "meta_feature_schedule", "constant", Choice(names=("constant", "warmup", "decay")),
        MATCHING, "of the weight in the course of the training",
    ),
    Parameter(
        "target", None, Column(optional=True), MATCHING,
        "column whose relation to the others matters most: gravity needs one, contingency and "
        "joint_entropy look at its pairs first",
    ),
    Parameter(
        "ema_decay", AUTO, Auto(given=Number(most=1, ends="[)", zero="it")), TRAINING,
        "decay of the moving average of the generator's weights; auto follows the steps",
    ),
    Parameter(
        "calibrate", True, Flag(), SAMPLES,
        "leave out the calibration of the samples after training",
    ),
    Parameter(
        "conditional_share", 0.1, Number(most=MOST_CONDITIONAL, ends="[]", zero="conditions"),
        CONDITIONS, "share of each batch that is trained with some cells given",
    ),
    Parameter(
        "random_state", None, Whole(least=0, optional=True), TRAINING,
        "make the fit repeatable (default: drawn)", spelling="--seed", read=seed,
    ),
    Parameter(
        "max_seconds", None, Number(ends="()", optional=True), ENDS,
        "time for the fit; fewer epochs are made where they do not fit in", "seconds",
        read=seconds,
    ),
    Parameter(
        "early_stopping", False, Flag(), ENDS,
        "hold rows out, stop when the score against them no longer rises and keep the best model",
    ),
    Parameter(
        "validation_fraction", 0.1, Number(most=0.5, ends="(]"), ENDS,
        "share of the rows that --early-stopping holds out",
    ),
    Parameter(
        "patience", 5, Whole(least=1), ENDS,
        "checks without a new highest score before --early-stopping ends the training", "checks",
    ),
    Parameter(
        "objective", "wgan-gp",
        Choice(names=("gan", "wgan", "wgan-gp", "wgan-lp", "hinge", "relativistic")),
        OBJECTIVE, "what generator and critic are trained for", later=True,
    ),
    Parameter(
        "gradient_penalty", None,
        Choice(
            names=("wgan-gp", "wgan-lp", "r1", "r2", "r1+r2", "zero-gp", "none"), optional=True
        ),
        OBJECTIVE, "penalty on the critic's gradients, by default the objective's own",
        later=True,
    ),
    Parameter(
        "max_grad_norm", None, Number(ends="()", optional=True), TRAINING,
        "bound of the norm of either player's gradient (default: none)", later=True,
    ),
    Parameter(
        "gradient_penalty_interval", 1, Whole(least=1), OBJECTIVE,
        "critic steps from one penalty to the next, which then weighs as many times as much",
        "steps", later=True,
    ),
    Parameter(
        "weight_clip", None, Number(ends="()", optional=True), OBJECTIVE,
        "bound of the critic's weights, where there is no penalty (default: 0.01 with wgan)",
        later=True,
    ),
    Parameter(
        "optimizer", "adam", Choice(names=("adam", "rmsprop")), TRAINING, "that of both players",
        later=True,
    ),
    Parameter(
        "betas", (0.0, 0.9), Betas(), TRAINING,
        "decays of Adam's averages; the second is that of RMSprop", later=True,
    ),
    Parameter(
        "discriminator_dropout", 0.0, Number(most=1, ends="[)"), NETWORKS,
        "share of the critic's hidden units that a critic step leaves out", later=True,
    ),
    Parameter(
        "conditional_weight", 1.0, Number(), CONDITIONS,
        "factor of the scores of conditional distributions", later=True,
    ),
    Parameter(
        "min_steps_per_epoch", 120, Whole(least=1), TRAINING,
        "generator steps that an epoch has at least", "steps", later=True,
    ),
    Parameter(
        "precision", "medium", Choice(names=("medium", "highest")), TRAINING,
        "of matrix products, medium for bfloat16 where the processor has it", later=True,
    ),
    Parameter(
        "tracking_decay", 0.98, Number(most=1, ends="[)"), MATCHING,
        "decay of the moving average that the distance tracked compares", later=True,
    ),
    Parameter(
        "sinkhorn_epsilon", 0.05, Number(ends="()"), MATCHING,
        "smoothing of the distance sinkhorn, in units of the mean cost", later=True,
    ),
    Parameter(
        "sinkhorn_iterations", 50, Whole(least=1), MATCHING,
        "iterations of the distance sinkhorn", later=True,
    ),
    Parameter(
        "sliced_projections", 32, Whole(least=1), MATCHING,
        "random directions of the distance sliced", later=True,
    ),
    Parameter(
        "marginal_control", 0.3, Number(), TRAINING,
        "gain of the controller that keeps rare values alive in training; 0 switches it off",
        later=True,
    ),
    Parameter(
        "relations", "auto", RelationsToKeep(), TRAINING,
        "exact relations between columns, such as sums, to keep in every row: auto (those found), "
        "off, or statements with semicolons between them", later=True,
    ),
    Parameter(
        "encoding_options", None, Named(options=EncodingOptions), TRAINING,
        "hyper-parameters of the encoding, like bins=50", later=True,
    ),
    Parameter(
        "calibration_options", None, Named(options=CalibrationOptions), SAMPLES,
        "hyper-parameters of the calibration, like trees=500,depth=4", later=True,
    ),
)  # fmt: skip
PARAMETERS: dict[str, Parameter] = {parameter.name: parameter for parameter in _TABLE}
# What an earlier release saved has none of these.
LATER_PARAMETERS = {each.name: each.default for each in _TABLE if each.later}


# --------------------------------------------------------------------------- checks


def check_values(values: Mapping[str, Any]) -> None:
    """Refuse a value that its parameter cannot have; names that the table does not hold are free.

    Raises:
        ValueError: Names the parameter and its range.

    Example:
        >>> check_values({"epochs": 3, "pac": 0})
        Traceback (most recent call last):
        ...
        ValueError: pac must be a whole number of at least 1, not 0
    """
    for name, value in values.items():
        if name in PARAMETERS:
            PARAMETERS[name].check(value)


def check_together(
    batch_size: int | str, pac: int, target: str | None, columns: Iterable[str]
) -> None:
    """Refuse parameters that do not go with each other, or with the table.

    Those of the training `TrainingSettings` compares: objective and penalty, meta-features, their
    weights and the batch.

    Args:
        batch_size, pac, target: Each is within its range.
        columns: Those of the table.

    Raises:
        ValueError: Names what does not fit.

    Example:
        >>> check_together(500, 3, None, [])
        Traceback (most recent call last):
        ...
        ValueError: batch_size must be a multiple of pac: 500 is none of 3
    """
    if not isinstance(batch_size, str) and batch_size % pac:
        raise ValueError(f"batch_size must be a multiple of pac: {batch_size} is none of {pac}")
    if target is not None and target not in list(columns):
        raise ValueError(f"target must be None or a column of the metadata, not {target!r}")


def check_names(given: Iterable[str], of: str) -> None:
    """Refuse parameters that there are not.

    Raises:
        ValueError: Names the first, and those that there are.

    Example:
        >>> check_names(["epochs", "pac"], of="table_parameters")
    """
    for name in given:
        if name not in PARAMETERS:
            raise ValueError(
                f"{of} has no parameter {name!r}: choose from {', '.join(PARAMETERS)}"
            )
