r"""What critic and generator want of the critic's scores: losses, penalty, bound of the weights.

With the scores :math:`r_i` of real and :math:`f_i` of generated rows, :math:`\sigma(x) = 1 /
(1 + e^{-x})` and :math:`s(x) = \log(1 + e^x)`, the means over the rows of

=============  ===============================  ==================  ==============================
loss           critic minimises                 generator           source
=============  ===============================  ==================  ==============================
gan            :math:`s(-r) + s(f)`             :math:`s(-f)`       Goodfellow et al. 2014, eq. 1,
                                                                    and section 3 (not saturating)
wgan           :math:`f - r`                    :math:`-f`          Arjovsky et al. 2017, eq. 2
hinge          :math:`(1-r)_+ + (1+f)_+`        :math:`-f`          Lim and Ye 2017; Miyato et al.
                                                                    2018, eq. 16 and 17
relativistic   :math:`s(f - r)`                 :math:`s(r - f)`    Jolicoeur-Martineau 2019 (pairs
                                                                    of rows); Huang et al. 2025,
                                                                    eq. 2, "R3GAN"
=============  ===============================  ==================  ==============================

Scores are logits in all of them: the critic has no sigmoid. `objective` makes them by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from sdv_wgangp.objectives.gradient_penalty import PENALTIES


class _Loss(NamedTuple):
    """Of single rows; the derivatives are those of the terms, which stand in the same order.

    Attributes:
        critic: Scores of real and of generated rows to the scalar that the critic minimises.
        critic_slopes: To the derivatives of a row's term at its real and its generated score.
        generator, generator_slopes: Likewise of the generator, at the generated score; of scores
            of generated and of real rows, which losses that are not ``paired`` do not read.
    """

    critic: Callable[[Tensor, Tensor], Tensor]
    critic_slopes: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    generator: Callable[[Tensor, Tensor], Tensor]
    generator_slopes: Callable[[Tensor, Tensor], Tensor]
    paired: bool = False
    linear: bool = False


def _softplus(scores: Tensor) -> Tensor:
    """log(1 + exp(x)). PyTorch's own is a straight line from 20 on, also in float64."""
    return -functional.logsigmoid(-scores)


def _relativistic_slopes(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    slopes = torch.sigmoid(fake - real)
    return -slopes, slopes


_LOSSES = {
    "gan": _Loss(
        lambda real, fake: _softplus(-real).mean() + _softplus(fake).mean(),
        lambda real, fake: (-torch.sigmoid(-real), torch.sigmoid(fake)),
        lambda fake, real: _softplus(-fake).mean(),
        lambda fake, real: -torch.sigmoid(-fake),
    ),
    "wgan": _Loss(
        lambda real, fake: fake.mean() - real.mean(),
        lambda real, fake: (-torch.ones_like(real), torch.ones_like(fake)),
        lambda fake, real: -fake.mean(),
        lambda fake, real: -torch.ones_like(fake),
        linear=True,
    ),
    "hinge": _Loss(
        lambda real, fake: functional.relu(1 - real).mean() + functional.relu(1 + fake).mean(),
        lambda real, fake: (-(real < 1).to(real.dtype), (fake > -1).to(fake.dtype)),
        lambda fake, real: -fake.mean(),
        lambda fake, real: -torch.ones_like(fake),
    ),
    "relativistic": _Loss(
        lambda real, fake: _softplus(fake - real).mean(),
        _relativistic_slopes,
        lambda fake, real: _softplus(real - fake).mean(),
        lambda fake, real: -torch.sigmoid(real - fake),
        paired=True,
    ),
}
LOSSES = tuple(_LOSSES)

# By name: the loss, and the penalty where none is asked for.
_NAMED = {
    "gan": ("gan", "none"),
    "wgan": ("wgan", "none"),
    "wgan-gp": ("wgan", "wgan-gp"),
    "wgan-lp": ("wgan", "wgan-lp"),
    "hinge": ("hinge", "none"),
    "relativistic": ("relativistic", "r1+r2"),
}
OBJECTIVES = tuple(_NAMED)
# Those without a penalty, unless one is named beside them.
UNPENALISED = tuple(name for name, (_, penalty) in _NAMED.items() if penalty == "none")
# Lambda of Gulrajani et al. 2017, section 4, and of Petzka et al. 2018; gamma of Mescheder et al.
# 2018, section 5, whose penalty has a half in it, as the operator's.
PENALTY_WEIGHT = 10.0
# Arjovsky et al. 2017, algorithm 1.
WEIGHT_CLIP = 0.01


@dataclass(frozen=True)
class Adversarial:
    """An adversarial objective (`players.protocols.Objective`); `objective` makes it by name.

    Attributes:
        loss: One of `LOSSES`.
        penalty: On the critic's gradients at its rows, one of `gradient_penalty.PENALTIES`.
        penalty_weight: Its lambda (or gamma), finite and not negative.
        interval: Critic steps from one penalty to the next; it then weighs as many times as much
            (Karras et al. 2020, section 3.1, "lazy regularization").
        weight_clip: Bound of all weights of the critic after each of its steps; None for none.

    Raises:
        ValueError: One of them is not what it says, or weights are clipped beside a penalty.
    """

    loss: str
    penalty: str = "none"
    penalty_weight: float = PENALTY_WEIGHT
    interval: int = 1
    weight_clip: float | None = None

    def __post_init__(self):
        if self.loss not in _LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {self.loss!r}")
        if self.penalty not in PENALTIES:
            raise ValueError(
                f"penalty must be one of {', '.join(PENALTIES)}, got {self.penalty!r}"
            )
        if not (math.isfinite(self.penalty_weight) and self.penalty_weight >= 0):
            raise ValueError(
                f"penalty_weight must be finite and not negative, got {self.penalty_weight}"
            )
        if isinstance(self.interval, bool) or not isinstance(self.interval, int):
            raise ValueError(f"interval must be a whole number, got {self.interval!r}")
        if self.interval < 1:
            raise ValueError(f"interval must be 1 or more, got {self.interval}")
        if self.weight_clip is None:
            return
        if not (math.isfinite(self.weight_clip) and self.weight_clip > 0):
            raise ValueError(f"weight_clip must be finite and positive, got {self.weight_clip}")
        if self.penalty != "none":
            raise ValueError(
                f"weight_clip and the penalty {self.penalty} both bound the critic's slope: "
                "give one of them"
            )

    @property
    def paired(self) -> bool:
        """Whether a loss compares single real rows with single generated ones."""
        return _LOSSES[self.loss].paired

    @property
    def linear(self) -> bool:
        """Whether the losses are linear in the scores.

        Their derivatives are then the same for all scores, and a critic whose gradients are
        closed forms need not be asked for its scores before.
        """
        return _LOSSES[self.loss].linear

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the critic minimises, but for the penalty.

        Args:
            real, fake: Scores ``[rows]``; as many of both where the objective is `paired`.

        Returns:
            A scalar, differentiable.

        Raises:
            ValueError: Scores that are to be compared are not as many.

        Example:
            >>> real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, -2.0])
            >>> objective("wgan-gp").critic_loss(real, fake)
            tensor(-3.)
            >>> objective("hinge").critic_loss(real, fake)
            tensor(0.5000)
        """
        return _LOSSES[self.loss].critic(self._opposite(fake, real), fake)

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """What the generator minimises.

        Args:
            fake: Scores of generated rows, ``[rows]``.
            real: Of real ones, as many; needed where the objective is `paired`.

        Returns:
            A scalar, differentiable.

        Raises:
            ValueError: Scores of real rows are missing, or not as many.

        Example:
            >>> objective("hinge").generator_loss(torch.tensor([0.5, 1.5]))
            tensor(-1.)
        """
        return _LOSSES[self.loss].generator(fake, self._opposite(fake, real))

    def derivatives(self, real: Tensor, fake: Tensor) -> Tensor:
        """Derivatives of `critic_loss` at the scores, in closed form.

        Args:
            real, fake: Scores ``[rows]``, as many of both.

        Returns:
            ``[2, rows]``: at the real scores, and at the generated ones. Where the hinge has a
            corner, 0 as PyTorch's. Without a graph.

        Example:
            >>> objective("wgan").derivatives(torch.zeros(2), torch.zeros(2))
            tensor([[-0.5000, -0.5000],
                    [ 0.5000,  0.5000]])
        """
        real = self._opposite(fake, real)
        slopes = _LOSSES[self.loss].critic_slopes(real.detach(), fake.detach())
        return torch.stack(slopes) / len(fake)

    def generator_derivatives(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Derivatives of `generator_loss` at the scores of the generated rows, in closed form.

        Args:
            fake, real: As for `generator_loss`.

        Returns:
            ``[rows]``, without a graph.

        Example:
            >>> objective("gan").generator_derivatives(torch.zeros(2))
            tensor([-0.2500, -0.2500])
        """
        opposite = self._opposite(fake, real).detach()
        return _LOSSES[self.loss].generator_slopes(fake.detach(), opposite) / len(fake)

    def penalty_at(self, step: int) -> tuple[str, float]:
        """Kind and weight of the penalty of one critic step, counted from 0.

        Example:
            >>> lazy = objective("gan", penalty="r1", penalty_weight=2.0, interval=4)
            >>> [lazy.penalty_at(step) for step in (0, 1, 4)]
            [('r1', 8.0), ('none', 8.0), ('r1', 8.0)]
        """
        kind = "none" if step % self.interval else self.penalty
        return kind, self.penalty_weight * self.interval

    def _opposite(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """The scores of real rows, checked where they are read in pairs.

        Those of generated rows stand in where there are none and nothing reads them.
        """
        if not self.paired:
            return fake if real is None else real
        if real is None:
            raise ValueError(f"{self.loss} compares rows in pairs: give the scores of real rows")
        if real.shape != fake.shape:
            raise ValueError(
                f"{self.loss} compares rows in pairs: got scores of shape {list(real.shape)} for "
                f"real rows and {list(fake.shape)} for generated ones"
            )
        return real


def objective(
    name: str,
    *,
    penalty: str | None = None,
    penalty_weight: float | None = None,
    interval: int = 1,
    weight_clip: float | None = None,
) -> Adversarial:
    """An adversarial objective by the name that papers give it.

    ============  ============  ==========================  =====================================
    name          loss          unless said otherwise       source
    ============  ============  ==========================  =====================================
    gan           gan           no penalty                  Goodfellow et al. 2014
    wgan          wgan          weights clipped at .01      Arjovsky et al. 2017, algorithm 1
    wgan-gp       wgan          penalty wgan-gp, weight 10  Gulrajani et al. 2017, algorithm 1
    wgan-lp       wgan          penalty wgan-lp, weight 10  Petzka et al. 2018, equation 8
    hinge         hinge         no penalty                  Miyato et al. 2018, equations 16, 17
    relativistic  relativistic  penalty r1+r2, weight 10    Huang et al. 2025, equations 2 and 3
    ============  ============  ==========================  =====================================

    Args:
        name: One of `OBJECTIVES`.
        penalty: On the critic's gradients, one of `gradient_penalty.PENALTIES`; None for that of the
            name. "wgan" with a penalty, be it "none", does not clip.
        penalty_weight: Its lambda; None for 10. The right one falls with the scale of the rows:
            for rows in two dimensions .1 to 1 does better.
        interval: Critic steps from one penalty to the next.
        weight_clip: Bound of the critic's weights after each of its steps; None for that of the
            name.

    Raises:
        ValueError: A name is unknown (the message lists those that are known), a number is out of
            its range, or two of the arguments contradict each other.

    Example:
        >>> objective("wgan-gp")  # doctest: +NORMALIZE_WHITESPACE
        Adversarial(loss='wgan', penalty='wgan-gp', penalty_weight=10.0, interval=1,
                    weight_clip=None)
        >>> objective("wgan").weight_clip
        0.01
        >>> objective("gan", penalty="r1", penalty_weight=1.0, interval=16).penalty_at(0)
        ('r1', 16.0)
        >>> objective("lsgan")
        Traceback (most recent call last):
        ...
        ValueError: objective must be one of gan, wgan, wgan-gp, wgan-lp, hinge, relativistic, got 'lsgan'
    """  # noqa: E501
    if name not in _NAMED:
        raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}, got {name!r}")
    loss, own = _NAMED[name]
    if name in PENALTIES and penalty not in (None, name):
        raise ValueError(
            f"{name} is named after its penalty, got penalty {penalty!r}: use the objective 'wgan'"
        )
    if penalty is None and own == "none":
        if penalty_weight is not None:
            raise ValueError(f"penalty_weight is given, but {name} has no penalty: name one")
        if interval != 1:
            raise ValueError(f"interval is given, but {name} has no penalty: name one")
    if name == "wgan" and penalty is None and weight_clip is None:
        weight_clip = WEIGHT_CLIP
    return Adversarial(
        loss,
        own if penalty is None else penalty,
        PENALTY_WEIGHT if penalty_weight is None else penalty_weight,
        interval,
        weight_clip,
    )
