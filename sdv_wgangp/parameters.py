"""The parameters of the synthesizers, in one table.

`PARAMETERS` says of each its default, the values that it may have, what it is for, and how the
command line spells it. The synthesizers and `TrainingSettings` check their arguments with it, and
``sdv-wgangp fit`` makes its options from it. Nothing is imported but the standard library and
names: ``--help`` waits for neither PyTorch nor SDV.

A new parameter is an entry here, an argument of `WGANGPMFSSynthesizer` (SDV reads parameters from
its signature, people from its docstring) and its use: a field of `TrainingSettings`, or a line of
`WGANGPMFSSynthesizer._fit`. `tests/test_parameters.py` names what is missing.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sdv_wgangp.calibration.options import CalibrationOptions
from sdv_wgangp.encoding.options import EncodingOptions
from sdv_wgangp.options import Options

# What follows from the rows of the table (`training.by_rows`). Whatever follows is of a
# parameter's own type, so for type checkers this is, too.
AUTO: Any = "auto"
# Most of what is learned is for rows without conditions.
MOST_CONDITIONAL = 0.5


def is_whole(value: Any, least: int) -> bool:
    """Whether it is a whole number of at least so much."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and int(value) >= least


def is_number(value: Any) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def is_list(value: Any) -> bool:
    """Whether it is a sequence, and not of letters."""
    return isinstance(value, Sequence) and not isinstance(value, str)


# --------------------------------------------------------------------------- from a command line


def whole(text: str, word: str = "whole number") -> int:
    """The whole number that a text says; ``word`` is what the error calls it."""
    return _said(int, text, word)


def number(text: str, word: str = "number") -> float:
    """The number that a text says; ``word`` is what the error calls it."""
    return _said(float, text, word)


def _said(kind: Callable[[str], Any], text: str, word: str) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        raise ValueError(f"invalid {word} value: {text!r}") from error


def count(text: str) -> int:
    """A whole number from 1 on; ``1e6`` is one.

    Example:
        >>> count("500"), count("1e6")
        (500, 1000000)
    """
    if "e" in text.lower() and (power := number(text, "positive number")).is_integer():
        text = str(int(power))
    value = whole(text, "positive number")
    if value < 1:
        raise ValueError(f"{text} is not a positive number")
    return value


def seed(text: str) -> int:
    """A seed of NumPy's generators."""
    value = whole(text, "seed")
    if not 0 <= value < 2**32:
        raise ValueError(f"{text} is not in 0 .. 4294967295")
    return value


def seconds(text: str) -> float:
    """A time."""
    value = number(text, "number of seconds")
    if not 0 < value < math.inf:
        raise ValueError(f"{text} is not a positive number of seconds")
    return value


def names(text: str) -> list[str]:
    """Names with commas between them."""
    return [name.strip() for name in text.split(",")]


# --------------------------------------------------------------------------- kinds of values


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Values that a parameter may have, and how a command line writes them.

    Attributes:
        optional: Whether None is one, too.
        metavar: What stands for a value in the help.
    """

    optional: bool = False
    metavar: ClassVar[str] = "X"

    def check(self, name: str, value: Any) -> None:
        """Refuse what is none of them.

        Raises:
            ValueError: Names the parameter, and what it must be.

        Example:
            >>> Whole(least=1).check("epochs", 5)
            >>> Whole(least=1, optional=True).check("epochs", 0)
            Traceback (most recent call last):
            ...
            ValueError: epochs must be None or a whole number of at least 1, not 0
        """
        if value is None and self.optional:
            return
        wanted = self._fault(value)
        if wanted is not None:
            if self.optional:
                wanted = "be None or " + wanted.removeprefix("be ")
            raise ValueError(f"{name} must {wanted}, not {value!r}{self._hint()}")

    def _fault(self, value: Any) -> str | None:
        """What follows "must" where the value, which is not None, is none of them."""
        raise NotImplementedError

    def _hint(self) -> str:
        """Ends the error."""
        return ""

    def read(self, text: str) -> Any:
        """The value that a text on the command line says; it is not checked.

        Raises:
            ValueError: It says none.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Whole(Kind):
    """Whole numbers from ``least`` on."""

    least: int
    metavar: ClassVar[str] = "N"

    def _fault(self, value: Any) -> str | None:
        if is_whole(value, self.least):
            return None
        return f"be a whole number of at least {self.least}"

    def read(self, text: str) -> int:
        return whole(text)


@dataclass(frozen=True, kw_only=True)
class Number(Kind):
    """Finite numbers from 0 to ``most``; above 0 with ``positive``."""

    positive: bool = False
    most: float = math.inf

    def _fault(self, value: Any) -> str | None:
        if not is_number(value) or value < 0 or (self.positive and value == 0):
            least = "above 0" if self.positive else "of at least 0"
            return f"be a finite number {least}"
        return None if value <= self.most else f"lie in [0, {self.most:g}]"

    def read(self, text: str) -> float:
        return number(text)


@dataclass(frozen=True, kw_only=True)
class Part(Kind):
    """Numbers of an interval from 0 to ``most``.

    Attributes:
        most: Its upper end.
        ends: Which ends belong to it, as mathematicians write it: "[]", "[)" or "(]".
        zero: What 0 does, for the error.
    """

    most: float
    ends: str
    zero: str = ""

    def _fault(self, value: Any) -> str | None:
        low, high = self.ends[0], self.ends[1]
        inside = is_number(value) and 0 <= value <= self.most
        if inside and not (low == "(" and value == 0) and not (high == ")" and value == self.most):
            return None
        return f"be in {low}0, {self.most:g}{high}"

    def _hint(self) -> str:
        return f"; 0 switches {self.zero} off" if self.zero else ""

    def read(self, text: str) -> float:
        return number(text)


@dataclass(frozen=True, kw_only=True)
class Flag(Kind):
    """True or False; an option without a value."""

    def _fault(self, value: Any) -> str | None:
        return None if isinstance(value, bool) else "be True or False"


@dataclass(frozen=True, kw_only=True)
class Choice(Kind):
    """One of some names."""

    names: tuple[str, ...]
    metavar: ClassVar[str] = "NAME"

    def check(self, name: str, value: Any) -> None:
        known = (None, *self.names) if self.optional else self.names
        if value not in known:
            listed = ", ".join(map(str, known))
            raise ValueError(f"{name} must be one of {listed}, not {value!r}")

    def read(self, text: str) -> str:
        return text


@dataclass(frozen=True, kw_only=True)
class Widths(Kind):
    """Widths of at least one layer."""

    metavar: ClassVar[str] = "N,N,..."

    def _fault(self, value: Any) -> str | None:
        if is_list(value) and len(value) and all(is_whole(width, 1) for width in value):
            return None
        return "list the widths of at least one layer, like (256, 256)"

    def read(self, text: str) -> tuple[int, ...]:
        return tuple(whole(part) for part in text.split(","))


@dataclass(frozen=True, kw_only=True)
class Betas(Kind):
    """Decays of the averages of gradients and of their squares."""

    metavar: ClassVar[str] = "X,X"

    def _fault(self, value: Any) -> str | None:
        pair = is_list(value) and len(value) == 2 and all(map(is_number, value))
        if pair and all(0 <= beta < 1 for beta in value):
            return None
        return "be two numbers in [0, 1)"

    def read(self, text: str) -> tuple[float, ...]:
        return tuple(number(part) for part in text.split(","))


@dataclass(frozen=True, kw_only=True)
class Column(Kind):
    """Name of a column; which ones there are `check_together` knows."""

    metavar: ClassVar[str] = "COLUMN"

    def _fault(self, value: Any) -> str | None:
        return None if isinstance(value, str) else "be a column of the metadata"

    def read(self, text: str) -> str:
        return text


@dataclass(frozen=True, kw_only=True)
class Locales(Kind):
    """One locale, or some."""

    metavar: ClassVar[str] = "NAME,..."

    def _fault(self, value: Any) -> str | None:
        if isinstance(value, Sequence) and all(isinstance(each, str) for each in value):
            return None
        return "be a locale or a list of locales"

    def read(self, text: str) -> list[str]:
        return names(text)


@dataclass(frozen=True, kw_only=True)
class MetaFeatures(Kind):
    """Names of meta-features, or "auto"; which ones there are their registry knows."""

    metavar: ClassVar[str] = "auto|NAME,..."

    def check(self, name: str, value: Any) -> None:
        named = isinstance(value, Sequence) and all(isinstance(each, str) for each in value)
        if value is not None and not named:
            raise ValueError(f"{name} must be None, 'auto' or a list of names, not {value!r}")

    def read(self, text: str) -> str | list[str]:
        return text if text == "auto" else names(text)


@dataclass(frozen=True, kw_only=True)
class Weights(Kind):
    """A weight from 0 on, or one by name for each."""

    metavar: ClassVar[str] = "X|NAME=X,..."

    def check(self, name: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            Number().check(name, value)
            return
        for part, weight in value.items():
            Number().check(f"{name} of {part!r}", weight)

    def read(self, text: str) -> float | dict[str, float]:
        if "=" not in text:
            return number(text)
        weights: dict[str, float] = {}
        for part in text.split(","):
            name, _, weight = part.partition("=")
            if name.strip() in weights:
                raise ValueError(f"{name.strip()} has two weights: leave one out")
            weights[name.strip()] = number(weight, f"weight of {name.strip()}")
        return weights


@dataclass(frozen=True, kw_only=True)
class Named(Kind):
    """Numbers by name, of some hyper-parameters; what is not named has its default."""

    options: type[Options]
    metavar: ClassVar[str] = "NAME=X,..."

    def check(self, name: str, value: Any) -> None:
        self.options.of(value, name)

    def read(self, text: str) -> dict[str, Any]:
        return self.options.from_text(text)


@dataclass(frozen=True, kw_only=True)
class Auto(Kind):
    """ "auto", for what follows from the table, or a value of another kind."""

    given: Kind
    metavar: ClassVar[str] = "auto|X"

    def _fault(self, value: Any) -> str | None:
        if isinstance(value, str) and value == AUTO:
            return None
        wanted = self.given._fault(value)
        return None if wanted is None else f"be {AUTO!r} or {wanted.removeprefix('be ')}"

    def _hint(self) -> str:
        return self.given._hint()

    def read(self, text: str) -> Any:
        return text if text == AUTO else self.given.read(text)


# --------------------------------------------------------------------------- the table


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
            ValueError: validation_fraction must be in (0, 0.5], not 0.7
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
        "meta_feature_fraction", 0.5, Part(most=1, ends="(]"), MATCHING,
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
        "ema_decay", AUTO, Auto(given=Part(most=1, ends="[)", zero="it")), TRAINING,
        "decay of the moving average of the generator's weights; auto follows the steps",
    ),
    Parameter(
        "calibrate", True, Flag(), SAMPLES,
        "leave out the calibration of the samples after training",
    ),
    Parameter(
        "conditional_share", 0.1, Part(most=MOST_CONDITIONAL, ends="[]", zero="conditions"),
        CONDITIONS, "share of each batch that is trained with some cells given",
    ),
    Parameter(
        "random_state", None, Whole(least=0, optional=True), TRAINING,
        "make the fit repeatable (default: drawn)", spelling="--seed", read=seed,
    ),
    Parameter(
        "max_seconds", None, Number(positive=True, optional=True), ENDS,
        "time for the fit; fewer epochs are made where they do not fit in", "seconds",
        read=seconds,
    ),
    Parameter(
        "early_stopping", False, Flag(), ENDS,
        "hold rows out, stop when the score against them no longer rises and keep the best model",
    ),
    Parameter(
        "validation_fraction", 0.1, Part(most=0.5, ends="(]"), ENDS,
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
        "max_grad_norm", None, Number(positive=True, optional=True), TRAINING,
        "bound of the norm of either player's gradient (default: none)", later=True,
    ),
    Parameter(
        "gradient_penalty_interval", 1, Whole(least=1), OBJECTIVE,
        "critic steps from one penalty to the next, which then weighs as many times as much",
        "steps", later=True,
    ),
    Parameter(
        "weight_clip", None, Number(positive=True, optional=True), OBJECTIVE,
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
        "discriminator_dropout", 0.0, Part(most=1, ends="[)"), NETWORKS,
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
        "tracking_decay", 0.98, Part(most=1, ends="[)"), MATCHING,
        "decay of the moving average that the distance tracked compares", later=True,
    ),
    Parameter(
        "sinkhorn_epsilon", 0.05, Number(positive=True), MATCHING,
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
