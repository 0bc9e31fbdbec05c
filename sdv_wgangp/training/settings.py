"""What training needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from sdv_wgangp.objectives.adversarial import UNPENALISED, Adversarial, objective
from sdv_wgangp.objectives.feature_table import FeatureTable
from sdv_wgangp.objectives.matching import check_weights, sample_size
from sdv_wgangp.objectives.meta_features import applicable, check_meta_features
from sdv_wgangp.parameters import check_values
from sdv_wgangp.training.by_rows import batch_size_for, ema_decay_for, steps_for
from sdv_wgangp.training.optimizers import NO_MOMENTUM
from sdv_wgangp.values import AUTO


@dataclass(frozen=True)
class TrainingSettings:
    """Hyperparameters of the optimisation.

    By default the optimiser is Adam with betas (0, 0.9) (Gulrajani et al. 2017, algorithm 1) and
    two rates (Heusel et al. 2017); both are constant for half of the steps, then fall linearly to
    0.
    Where ``max_seconds`` is too short for all epochs, time takes the place of the steps.

    Attributes:
        epochs: An epoch has ``rows // batch_size`` generator steps, and the critic sees the table
            ``discriminator_steps`` times in it; "auto" for as many as the rows need (`for_rows`).
        min_steps_per_epoch: The least number of generator steps: a small table is seen several
            times within an epoch.
        batch_size: Rows in a step, a multiple of ``pac``; "auto" for fewer in a small table.
        discriminator_steps: Critic steps for each generator step.
        generator_lr, discriminator_lr: Learning rates, in [0, 1].
        generator_decay, discriminator_decay: L2 penalties on the weights.
        objective: What critic and generator want of the scores (`objectives.adversarial`).
        gradient_penalty_weight: The paper's lambda; without effect where there is no penalty.
        gradient_penalty: Which penalty (`sdv_wgangp.ops.critic_step` lists them); None for that
            of the objective.
        gradient_penalty_interval: Critic steps from one penalty to the next, whose weight is
            multiplied by it; 1 penalises every step. (Lazy regularisation, Karras et al. 2020,
            "Analyzing and Improving the Image Quality of StyleGAN", section 3.1.)
        weight_clip: Bound of the critic's weights after each of its steps (Arjovsky et al. 2017);
            None for the objective's, which only "wgan" has.
        optimizer: "adam" or "rmsprop".
        betas: Of Adam; the second is RMSprop's alpha.
        max_grad_norm: Bound of the norm of either player's gradient; None for no bound.
        ema_decay: Decay of the generator's weight average per step, in [0, 1); "auto" for an
            average over the same part of every training.
        meta_features: Names of the statistics the generator matches (`objectives.meta_features`);
            "auto" for those of `AUTO_META_FEATURES` that the table can have; none for vanilla
            training.
        meta_feature_weight: Factor of their losses, or one by name for each.
        meta_feature_distance: Between generated and real statistics (`objectives.matching`).
        meta_feature_subsets: Subsets of a batch in a cloud of statistics; distances between
            clouds only.
        meta_feature_fraction: Share of a batch in a subset, in (0, 1].
        meta_feature_schedule: Of the weight: "constant", "warmup" or "decay".
        tracking_decay: Decay per step of the moving average of statistics that "tracked" compares,
            in [0, 1).
        sinkhorn_epsilon, sinkhorn_iterations: Smoothing of "sinkhorn", in units of the mean cost,
            and iterations of its potentials (`objectives.transport.sinkhorn`).
        sliced_projections: Random directions of "sliced", new in each step.
        marginal_control: Gain of the controller that moves the biases of the logits towards the
            marginals of the table (`players.marginal_control`); 0 switches it off.
        conditional_share: Share of the rows of each batch for which some cells are given, in
            [0, 0.5]: the generator learns to make up the others (`players.given_cells`). 0 trains
            without conditions, and so do batches of one pack.
        conditional_weight: Factor of the scores of conditional distributions, which only the
            weights of given levels follow (`objectives.conditional`); 0 switches them off.
        log_frequency: Draw the first given cell of these rows by the logarithm of its value's
            frequency, as CTGAN does, so that rare values are learned as conditions; otherwise by
            its frequency.
        precision: Of the matrix products, "medium" or "highest"
            (`training.precision.matmul_precision`).
        cuda_graph: On a GPU, capture the step in a CUDA graph (an `MLPCritic` only).
        max_seconds: Wall-clock time for a fit, from encoding to calibration; None for as much as
            it takes (`TabularModel.fit` says how closely it is kept).
        early_stopping: Hold rows out from the critic, score the generator against them about
            every 20th part of the training (`training.validation.HeldOutScore`), keep the best
            one and stop when the score no longer rises (`training.validation.EarlyStopping`).
        validation_fraction: Share of the rows to hold out for it, in (0, 0.5].
        patience: Checks without a new highest score after which the learning rates fall to 0
            soon, and training ends.

    Raises:
        ValueError: One of them is out of its range (`sdv_wgangp.parameters`), or two contradict
            each other; names it.

    Example:
        >>> TrainingSettings(batch_size=100).steps_per_epoch(rows=20_000)
        200
        >>> TrainingSettings(patience=0)
        Traceback (most recent call last):
        ...
        ValueError: patience must be a whole number of at least 1, not 0
    """

    epochs: int = AUTO
    min_steps_per_epoch: int = 120
    batch_size: int = AUTO
    discriminator_steps: int = 2
    generator_lr: float = 5e-4
    discriminator_lr: float = 1e-3
    generator_decay: float = 1e-6
    discriminator_decay: float = 1e-6
    gradient_penalty_weight: float = 10.0
    objective: str = "wgan-gp"
    gradient_penalty: str | None = None
    gradient_penalty_interval: int = 1
    weight_clip: float | None = None
    optimizer: str = "adam"
    betas: tuple[float, float] = NO_MOMENTUM
    max_grad_norm: float | None = None
    ema_decay: float = AUTO
    meta_features: tuple[str, ...] | str = ()
    meta_feature_weight: float | Mapping[str, float] = 1.0
    meta_feature_distance: str = "tracked"
    meta_feature_subsets: int = 10
    meta_feature_fraction: float = 0.5
    meta_feature_schedule: str = "constant"
    tracking_decay: float = 0.98
    sinkhorn_epsilon: float = 0.05
    sinkhorn_iterations: int = 50
    sliced_projections: int = 32
    marginal_control: float = 0.3
    conditional_share: float = 0.1
    conditional_weight: float = 1.0
    log_frequency: bool = True
    precision: str = "medium"
    cuda_graph: bool = True
    max_seconds: float | None = None
    early_stopping: bool = False
    validation_fraction: float = 0.1
    patience: int = 5

    def __post_init__(self):
        check_values(vars(self))
        self.make_objective()
        if names := check_meta_features(self.meta_features):
            check_weights(names, self.meta_feature_weight)
            self.check_sample_size()

    def make_objective(self) -> Adversarial:
        """What critic and generator are trained for.

        Raises:
            ValueError: Its parts contradict each other.
        """
        return objective_of(
            self.objective,
            self.gradient_penalty,
            self.gradient_penalty_weight,
            self.gradient_penalty_interval,
            self.weight_clip,
        )

    def plain(self) -> dict[str, Any]:
        """All of them, as JSON has them."""
        return {
            name: dict(value) if isinstance(value, Mapping)
            else list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }  # fmt: skip

    def check_sample_size(self, pac: int = 1) -> None:
        """Statistics are taken of the rows of a batch without conditions.

        Raises:
            ValueError: These are too few.
        """
        # One that follows the rows is no smaller than that of the smallest table.
        batch = batch_size_for(0, pac) if self.batch_size == AUTO else self.batch_size
        plain = batch - conditional_rows(batch, self.conditional_share, pac)
        sample_size(self.meta_feature_distance, self.meta_feature_fraction, plain)

    def for_rows(self, rows: int, pac: int = 1) -> TrainingSettings:
        """These settings, with what is "auto" as a table of so many rows has it (`by_rows`).

        Args:
            rows: Of the table.
            pac: Rows that the critic scores together.

        Example:
            >>> found = TrainingSettings().for_rows(1_000)
            >>> found.epochs * found.steps_per_epoch(1_000), found.batch_size
            (1800, 250)
            >>> TrainingSettings(epochs=7, batch_size=100, ema_decay=0.9).for_rows(1_000).epochs
            7
        """
        batch_size = self.batch_size
        if batch_size == AUTO:
            batch_size = batch_size_for(rows, pac)
        per_epoch = max(rows // batch_size, self.min_steps_per_epoch)
        epochs = self.epochs
        if epochs == AUTO:
            epochs = -(-steps_for(rows) // per_epoch)
        ema_decay = self.ema_decay
        if ema_decay == AUTO:
            ema_decay = ema_decay_for(epochs * per_epoch)
        return replace(self, batch_size=batch_size, epochs=epochs, ema_decay=ema_decay)

    def steps_per_epoch(self, rows: int) -> int:
        """Generator steps of an epoch of so many training rows."""
        return max(rows // self.batch_size, self.min_steps_per_epoch)

    def conditional_rows(self, pac: int = 1) -> int:
        """How many rows of a batch are conditional."""
        return conditional_rows(self.batch_size, self.conditional_share, pac)

    def for_table(self, table: FeatureTable) -> TrainingSettings:
        """These settings with the meta-features that a table can have.

        Raises:
            ValueError: It cannot have one that was named.
        """
        names, weight = applicable(self.meta_features, table), self.meta_feature_weight
        if isinstance(weight, Mapping):
            weight = {name: weight[name] for name in names}
        return replace(self, meta_features=names, meta_feature_weight=weight)


def objective_of(
    name: str,
    penalty: str | None,
    penalty_weight: float,
    interval: int = 1,
    weight_clip: float | None = None,
) -> Adversarial:
    """An objective by settings that all have a default.

    Another penalty than the one that "wgan-gp" is named after takes its place, and the weight of a
    penalty that there is not is no contradiction.

    Raises:
        ValueError: Two of them contradict each other; names them.
    """
    if name == "wgan-gp" and penalty not in (None, name):
        name = "wgan"
    unpenalised = penalty is None and name in UNPENALISED
    if unpenalised and interval != 1:
        raise ValueError(
            f"gradient_penalty_interval is given, but {name} has no penalty: name one with "
            "gradient_penalty, or leave it out"
        )
    return objective(
        name,
        penalty=penalty,
        penalty_weight=None if unpenalised else penalty_weight,
        interval=interval,
        weight_clip=weight_clip,
    )


def conditional_rows(batch_size: int, fraction: float, pac: int) -> int:
    """How many rows of a batch are conditional: whole packs, at most half of them.

    At least two rows are left without conditions.
    """
    packs = batch_size // pac
    if not fraction or packs < 2:
        return 0
    rows = min(max(round(fraction * packs), 1), packs // 2) * pac
    return rows if batch_size - rows >= 2 else 0
