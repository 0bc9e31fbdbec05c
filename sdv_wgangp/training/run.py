"""The state of a training: what a checkpoint holds, and what callbacks see."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from sdv_wgangp.players.protocols import CriticPlayer, GeneratorPlayer, Losses, Objective, Term
from sdv_wgangp.training.average import WeightAverage
from sdv_wgangp.training.log import EpochLog, NonFiniteLossError
from sdv_wgangp.training.optimizers import Optimizer, clip_gradients
from sdv_wgangp.training.schedule import Schedule

# The states of PyTorch's global generators outside the trainings of this process, by device.
_lock = threading.Lock()
_outside: dict[str, list[Tensor]] = {}


@dataclass
class Critic:
    """A critic with what it is trained for.

    Attributes:
        player: The network.
        objective: Of it, and of the generator against it.
        weight: Of that in the generator's loss.
    """

    player: CriticPlayer
    objective: Objective
    weight: float = 1.0


@dataclass
class Run:
    """A training that was made ready; `training.loop.train` makes it.

    Attributes:
        generator: The one player that generates.
        critics: By names that begin with "critic".
        optimizers: "generator", and one for each critic by its name.
        random: Source of all randomness, on the device of the players.
        terms: Further parts of the generator's loss, by name.
        schedule: Of the learning rates; None makes one over the epochs to come.
        critic_steps, generator_steps: In one step.
        max_grad_norm: Bound of the norm of each player's gradient, by its name; none for no bound.
        sync: Joins the gradients of several processes; None is one process.
        graph: Makes a step's device part in the place of `training.loop.update`.
        average: Of the generator's weights, which its optimizer moves; None for no average.
        hyperparameters: For trackers; plain numbers, strings, and lists of them.
        figures: For trackers: by name, a function that draws one of the run.
        about: What the model has to know to make this run again; plain.
        step, epoch: How many were made.
        step_in_epoch: Steps of the epoch that has begun.
        logs: One for every finished epoch.
        losses: Of the last step, on the device.
        gradients: Of the last step, by player, as its optimizer got them; on the device.
        stopped: Set it to end the training after this step.
        whole: Whether no step has been begun that was not finished: what a checkpoint needs.
    """

    generator: GeneratorPlayer
    critics: dict[str, Critic]
    optimizers: dict[str, Optimizer]
    random: torch.Generator
    terms: dict[str, Term] = field(default_factory=dict)
    schedule: Schedule | None = None
    critic_steps: int = 1
    generator_steps: int = 1
    max_grad_norm: Mapping[str, float] = field(default_factory=dict)
    sync: Any = None
    graph: Any = None
    average: WeightAverage | None = None
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Callable[[Run], Any]] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    logs: list[EpochLog] = field(default_factory=list)
    losses: Losses | None = None
    gradients: dict[str, Sequence[Tensor | None]] = field(default_factory=dict)
    stopped: bool = False
    whole: bool = True

    def __post_init__(self):
        self.epochs, self.epoch_started = 0, time.perf_counter()
        self._totals: Losses | None = None
        self._seconds_before = 0.0  # of the epoch that was begun, before this process
        seed = self.random.initial_seed()
        self._global_random = [
            torch.Generator(device).manual_seed(seed).get_state()
            for device in self._global_devices
        ]
        self._inside = False
        self._watchers: Any = None
        self._loaded: dict[str, Any] = {}

    # ----------------------------------------------------------------- what the loop asks

    def begin(self, source: Any, epochs: int, watchers: Any) -> None:
        """Take a source, and load what of a loaded state concerns it and the callbacks.

        Raises:
            ValueError: There are epochs to make, and the schedule has ended before them; or the
                source is of another number of critic steps.
        """
        self.source, self.epochs, self.stopped = source, epochs, False
        self._watchers = watchers
        drawn = getattr(source, "critic_steps", self.critic_steps)
        if drawn != self.critic_steps:
            raise ValueError(
                f"the source draws batches for {drawn} critic steps, and the run makes "
                f"{self.critic_steps}: give both the same critic_steps"
            )
        if self.schedule is None:
            self.schedule = Schedule(epochs * source.steps_per_epoch)
        if self._loaded:
            source.load_state_dict(self._loaded["source"])
            watchers.load_state_dict(self._loaded["callbacks"])
            self._loaded = {}
        to_come = (epochs - self.epoch) * source.steps_per_epoch - self.step_in_epoch
        if to_come > 0 and self.schedule.steps + to_come > self.schedule.total:
            raise ValueError(
                f"the run's schedule has {self.schedule.total - self.schedule.steps} steps left "
                f"until its learning rates are 0, and {to_come} are to come until {epochs} epochs "
                f"are made: set run.schedule, to Schedule({to_come})"
            )

    @property
    def over(self) -> bool:
        """Whether no step is to follow."""
        return self.stopped or self.epoch >= self.epochs or self._decayed

    @property
    def epoch_over(self) -> bool:
        """Whether the epoch that was begun is complete, or is the last and has steps."""
        complete = self.step_in_epoch >= self.source.steps_per_epoch
        return complete or (self._decayed and self.step_in_epoch > 0)

    @property
    def _decayed(self) -> bool:
        """Whether the learning rates have come to 0."""
        return self.schedule is not None and self.schedule.done

    @property
    def epoch_seconds(self) -> float:
        """Of the epoch that was begun."""
        return self._seconds_before + time.perf_counter() - self.epoch_started

    @staticmethod
    def adversarial_name(critic: str) -> str:
        """The name of the generator's loss against a critic: "generator/adversarial..."."""
        return "generator/adversarial" + critic.removeprefix("critic")

    def move(self, player: str, gradients: Sequence[Tensor | None], number: int) -> None:
        """Let a player follow its gradients, in the step's ``number``-th turn."""
        if self.sync is not None:
            gradients = self.sync.reduce([gradients])
        if (bound := self.max_grad_norm.get(player)) is not None:
            gradients = clip_gradients(gradients, bound)
        self.gradients[player] = gradients
        self.optimizers[player].apply(gradients, number)
        critic = self.critics.get(player)
        if critic is not None and critic.objective.weight_clip is not None:
            bound = critic.objective.weight_clip
            with torch.no_grad():
                torch._foreach_clamp_min_(critic.player.parameters, -bound)
                torch._foreach_clamp_max_(critic.player.parameters, bound)

    def count(self, losses: Losses) -> None:
        """A step was made."""
        self.losses = losses
        totals = self._totals
        values = losses.values.clone() if totals is None else totals.values + losses.values
        self._totals = Losses(losses.names, values)
        self.step += 1
        self.step_in_epoch += 1

    def finish_epoch(self) -> None:
        """Log the epoch, and refuse to go on from what is no number.

        Raises:
            NonFiniteLossError: A loss, or a weight of the generator, is none.
            ValueError: The epoch had no step.
        """
        steps, seconds, totals = self.step_in_epoch, self.epoch_seconds, self._totals
        if totals is None:
            raise ValueError("an epoch has at least one step: raise the source's steps_per_epoch")
        means = Losses(totals.names, totals.values / steps).floats()
        speed = steps * self.source.rows_per_step / seconds
        log = EpochLog.of(self.epoch, self.epochs, means, speed, self.step)
        # The last step's weights have made no loss yet.
        sums = torch.stack([parameter.sum() for parameter in self.generator.parameters])
        if not (torch.isfinite(totals.values).all() and torch.isfinite(sums).all()):
            self.fail(log)
        self.logs.append(log)
        self.epoch += 1
        self.step_in_epoch, self._totals, self._seconds_before = 0, None, 0.0
        self.epoch_started = time.perf_counter()

    @property
    def finite(self) -> bool:
        """Whether losses and weights are numbers. Waits for the device."""
        parts = [
            parameter for critic in self.critics.values() for parameter in critic.player.parameters
        ]
        parts += self.generator.parameters
        if self._totals is not None:
            parts.append(self._totals.values)
        return bool(torch.stack([part.isfinite().all() for part in parts]).all())

    def fail(self, log: EpochLog | None = None) -> None:
        """Raise a `NonFiniteLossError`."""
        self.whole = False
        losses = (torch.nan, torch.nan) if log is None else (
            log.generator_loss, log.discriminator_loss
        )  # fmt: skip
        raise NonFiniteLossError(
            f"a loss became non-finite in epoch {self.epoch + 1} of {self.epochs} (generator "
            f"{losses[0]:g}, discriminator {losses[1]:g}): what was learned before is kept; lower "
            "discriminator_lr or generator_lr, or raise gradient_penalty_weight"
        )

    @contextmanager
    def own_global_random(self) -> Iterator[None]:
        """Let PyTorch's global generators, of which dropout layers draw, be the run's own.

        They are the process's: trainings in several threads at once, whose modules draw from
        them, cannot be repeated. What they were outside is restored when the last one ends.
        """
        with _lock:
            for device, state in zip(self._global_devices, self._global_states(), strict=True):
                _outside.setdefault(str(device), []).append(state)
            self._set_global_states(self._global_random)
            self._inside = True
        try:
            yield
        finally:
            with _lock:
                self._global_random, self._inside = self._global_states(), False
                outside = [_outside[str(device)] for device in self._global_devices]
                # The first is of before all trainings: it goes last.
                states = [each.pop() for each in outside]
                if not any(outside):
                    self._set_global_states(states)

    @property
    def _global_devices(self) -> list[torch.device]:
        """Those whose global generators a step may draw from."""
        host = torch.device("cpu")
        return [host] if self.random.device.type == "cpu" else [host, self.random.device]

    def _global_states(self) -> list[Tensor]:
        return [
            torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
            for device in self._global_devices
        ]

    def _set_global_states(self, states: Sequence[Tensor]) -> None:
        for device, state in zip(self._global_devices, states, strict=True):
            if device.type == "cuda":
                torch.cuda.set_rng_state(state, device)
            else:
                torch.set_rng_state(state)

    # ----------------------------------------------------------------- checkpoints

    def _parts(self) -> dict[str, Any]:
        """All that have a state of their own, but for what `begin` brings."""
        parts: dict[str, Any] = {"generator": self.generator}
        parts |= {name: critic.player for name, critic in self.critics.items()}
        parts |= {f"optimizer {name}": each for name, each in self.optimizers.items()}
        return parts | {f"term {name}": term for name, term in self.terms.items()}

    def state_dict(self) -> dict[str, Any]:
        """All that a training needs to continue bit for bit: tensors, numbers, text, lists.

        The tensors are the run's own, not copies. Only between steps (`whole`).
        """
        totals = self._totals
        return {
            "parts": {name: part.state_dict() for name, part in self._parts().items()},
            "about": self.about,
            "random": self.random.get_state(),
            "global_random": self._global_states() if self._inside else self._global_random,
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "source": self.source.state_dict() if hasattr(self, "source") else {},
            "callbacks": self._watchers.state_dict() if self._watchers else {},
            "step": self.step,
            "epoch": self.epoch,
            "step_in_epoch": self.step_in_epoch,
            "epoch_seconds": self.epoch_seconds if self.step_in_epoch else 0.0,
            "totals": None if totals is None else [list(totals.names), totals.values],
            "logs": [asdict(log) for log in self.logs],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict` of a run that was made the same way."""
        for name, part in self._parts().items():
            part.load_state_dict(state["parts"][name])
        self.generator.refresh()
        self.random.set_state(state["random"])
        self._global_random = list(state["global_random"])
        self.step, self.epoch = state["step"], state["epoch"]
        self.step_in_epoch, self._seconds_before = state["step_in_epoch"], state["epoch_seconds"]
        self._totals = None
        if state["totals"] is not None:
            names, values = state["totals"]
            self._totals = Losses(tuple(names), values.to(self.random.device, copy=True))
        self.logs[:] = [EpochLog(**log) for log in state["logs"]]
        if state["schedule"] is not None:
            self.schedule = self.schedule or Schedule(state["schedule"]["total"])
            self.schedule.load_state_dict(state["schedule"])
        self._loaded = {name: state[name] for name in ("source", "callbacks")}
