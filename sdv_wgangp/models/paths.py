"""Paths of sequences given their heads: a Gaussian process, and a WGAN-GP on what it lacks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import ndtri
from torch import Tensor

from sdv_wgangp.encoding.paths import PathEncoder
from sdv_wgangp.networks.paths import PathBatch, PathCritic, PathNetwork
from sdv_wgangp.objectives.adversarial import objective
from sdv_wgangp.training.loop import train
from sdv_wgangp.training.run import Run
from sdv_wgangp.training.runs import run_of
from sdv_wgangp.training.sources import TensorSource


@dataclass(frozen=True)
class PathSettings:
    """Hyper-parameters of paths.

    Attributes:
        epochs: Of ``steps_per_epoch`` steps each.
        steps_per_epoch: Steps of an epoch.
        batch_size: Segments in a step.
        segment: Steps of a segment, at most.
        critic_steps: For each step of the generator.
        lr: Adam's rates of generator and critic.
        gradient_penalty_weight: Of the critic, per segment (Gulrajani et al. 2017).
        ema_decay: Of the average of the generator's weights.
        width, critic_width: Of the networks.
        order: Steps that the Gaussian process looks back.
        pool: Segments of the process that the training draws from.
    """

    epochs: int = 20
    steps_per_epoch: int = 60
    batch_size: int = 256
    segment: int = 24
    critic_steps: int = 2
    lr: tuple[float, float] = (2e-4, 5e-4)
    gradient_penalty_weight: float = 10.0
    ema_decay: float = 0.995
    width: int = 64
    critic_width: int = 256
    order: int = 5
    pool: int = 2**14


class GaussianProcess:
    """A stationary Gaussian process with the autocovariances of some scores.

    A vector autoregression by the Yule-Walker equations (Luetkepohl 2005, section 3.3.4), whose
    biased autocovariances make it stable. Where all sequences are equally long and many, paths of
    that length come from the covariance over time and channels, shrunk towards the stationary one.

    Args:
        scores: ``[steps, channels]``, sequences one behind the other.
        lengths: Of the sequences.
        order: Steps that it looks back, at most.
        largest: The covariance over time is taken of at most so many numbers in a path.
    """

    def __init__(
        self, scores: np.ndarray, lengths: np.ndarray, order: int = 5, largest: int = 1000
    ):
        channels = scores.shape[1]
        order = int(min(order, max(lengths.max(initial=1) - 1, 1)))
        covariances = [autocovariance(scores, lengths, lag) for lag in range(order + 1)]
        ridge = 1e-4 * np.eye(channels)
        blocks = np.block(
            [
                [
                    (covariances[i - j] if i >= j else covariances[j - i].T) + (i == j) * ridge
                    for j in range(order)
                ]
                for i in range(order)
            ]
        )
        right = np.concatenate(covariances[1:], axis=0)
        coefficients = np.linalg.solve(blocks, right)  # [order * channels, channels]
        noise = covariances[0] - right.T @ coefficients
        noise = (noise + noise.T) / 2
        values, vectors = np.linalg.eigh(noise)
        self.order, self.coefficients = order, coefficients
        self.spread = vectors * np.sqrt(values.clip(1e-8))
        self.length, self.factor = 0, np.zeros((0, 0))
        equal = len(np.unique(lengths)) == 1
        wide = int(lengths[0]) * channels
        if equal and 1 < wide <= largest and len(lengths) > 50:
            self.length = int(lengths[0])
            self.factor = _shrunk_factor(scores.reshape(len(lengths), -1), self)

    @property
    def channels(self) -> int:
        return self.coefficients.shape[1]

    def draw(self, count: int, length: int, random: np.random.Generator) -> np.ndarray:
        """Paths ``[count, length, channels]``."""
        if length == self.length:
            flat = random.standard_normal((count, len(self.factor))) @ self.factor.T
            return flat.reshape(count, length, -1)
        past = np.zeros((count, self.order, self.channels))
        return self.after(past, length + 10 * self.order, random)[:, -length:]

    def after(self, past: np.ndarray, length: int, random: np.random.Generator) -> np.ndarray:
        """How paths go on behind their last ``order`` steps ``[count, order, channels]``."""
        state = past[:, ::-1].reshape(len(past), -1)  # the last step first
        path = np.empty((len(past), length, self.channels))
        for time in range(length):
            shock = random.standard_normal((len(past), self.channels)) @ self.spread.T
            path[:, time] = state @ self.coefficients + shock
            state = np.concatenate([path[:, time], state[:, : -self.channels]], axis=1)
        return path


def autocovariance(scores: np.ndarray, lengths: np.ndarray, lag: int) -> np.ndarray:
    """``E[x_(t - lag) x_t']`` over all sequences, divided as if no pair were lost at their ends.

    Returns:
        ``[channels, channels]``, rows of the earlier step.
    """
    owners = np.repeat(np.arange(len(lengths)), lengths)
    same = owners[lag:] == owners[: len(owners) - lag]
    earlier, later = scores[: len(scores) - lag][same], scores[lag:][same]
    return earlier.T @ later / len(scores)


def _shrunk_factor(flat: np.ndarray, process: GaussianProcess) -> np.ndarray:
    """A root of the covariance of whole paths, shrunk towards the stationary process's."""
    count, wide = flat.shape
    random, drawn = np.random.default_rng(0), process.length
    process.length = 0
    stationary = process.draw(max(4 * wide, 2000), drawn, random).reshape(-1, wide)
    process.length = drawn
    weight = wide / (wide + count)
    covariance = (1 - weight) * (flat.T @ flat / count)
    covariance += weight * (stationary.T @ stationary / len(stationary))
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(values.clip(0))


class PathModel:
    """Learns paths of numeric columns given summaries of them, which the head tells.

    Args:
        settings: Hyper-parameters.
    """

    def __init__(self, settings: PathSettings | None = None):
        self.settings = settings or PathSettings()

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: each for name, each in vars(self).items() if name not in ("_scores", "_drawing")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def learn_encoding(self, steps: pd.DataFrame, lengths: np.ndarray) -> pd.DataFrame:
        """Learn how columns are told; the summaries of each sequence, for the head."""
        self.encoder = PathEncoder().fit(steps, lengths)
        self._scores, summaries = self.encoder.encode(steps, lengths)
        self.process = GaussianProcess(self._scores, lengths, self.settings.order)
        numbers = summaries.to_numpy()
        self._head_mean, self._head_scale = numbers.mean(0), numbers.std(0) + 1e-6
        return summaries

    def _head(self, summaries: pd.DataFrame) -> np.ndarray:
        numbers = summaries[self.encoder.summaries].to_numpy()
        return ((numbers - self._head_mean) / self._head_scale).clip(-4, 4)

    def prepare(
        self, lengths: np.ndarray, summaries: pd.DataFrame, seed: int = 0
    ) -> tuple[Run, TensorSource]:
        """A training, for `training.loop.train`; `finish` takes what it has learned."""
        own = self.settings
        random = np.random.default_rng(seed)
        times = int(min(own.segment, lengths.min()))
        segments, owners = _segments(self._scores, lengths, times)
        head = self._head(summaries)[owners]
        del self._scores
        whitening = _whitening(segments.reshape(len(segments), -1))
        pool = torch.from_numpy(self._pool(own.pool, times, lengths, random)).float()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self.new_network()
            critic = PathCritic(
                times, segments.shape[2], head.shape[1],
                torch.from_numpy(whitening).float(), own.critic_width,
            )  # fmt: skip

        def draw(real: PathBatch, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
            rows = len(real.head)
            path = pool[torch.randint(len(pool), (rows,), generator=random)]
            noise = torch.randn(rows, times, network.noise, generator=random)
            return path, noise, real.head

        run = run_of(
            network, critic,
            objective("wgan-gp", penalty_weight=own.gradient_penalty_weight),
            seed=seed, noise=draw, lr=own.lr, betas=(0.0, 0.9), ema_decay=own.ema_decay,
            critic_steps=own.critic_steps,
        )  # fmt: skip
        data = PathBatch(torch.from_numpy(segments).float(), torch.from_numpy(head).float())
        self._drawing = draw, data
        source = TensorSource(
            data, min(own.batch_size, len(segments)), own.critic_steps, own.steps_per_epoch
        )
        return run, source

    def _pool(
        self, count: int, times: int, lengths: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        """Segments of the process, cut from paths as long as the sequences."""
        if times == self.process.length:
            return self.process.draw(count, times, random)
        length = int(np.median(lengths))
        paths = self.process.draw(-(-count * times // length), length, random)
        flat = paths.reshape(-1, paths.shape[2])
        return _segments(flat, np.full(len(paths), length), times)[0][:count]

    def new_network(self) -> PathNetwork:
        """A network of the learned encoding, which changes nothing yet."""
        channels, head = len(self.encoder.channels), len(self.encoder.summaries)
        return PathNetwork(channels, head, width=self.settings.width)

    def finish(self, run: Run) -> None:
        """Take the averaged network of a training."""
        assert run.average is not None
        network = copy.deepcopy(run.average.update_bn([]))
        assert isinstance(network, PathNetwork)
        self.network = network.eval().requires_grad_(False)
        self._learn_marginals()

    @torch.no_grad()
    def _learn_marginals(self, steps: int = 40_000, knots: int = 512) -> None:
        """What makes normal scores of each channel's generated ones, so that its marginal is that
        of the data: what a critic misses first are the tails."""
        (draw, data), random = self._drawing, torch.Generator().manual_seed(0)
        del self._drawing
        rows = min(max(steps // data.scores.shape[1], 64), 4096)
        chosen = torch.randint(len(data.head), (rows,), generator=random)
        real = PathBatch(data.scores[chosen], data.head[chosen])
        made = self.network(*draw(real, random)).scores.double().flatten(0, 1).numpy()
        ranks = (np.arange(knots) + 0.5) / knots
        self._known, self._normal = np.quantile(made, ranks, axis=0), ndtri(ranks)

    def _to_normal(self, scores: np.ndarray) -> np.ndarray:
        """Generated scores ``[..., channels]`` with normal marginals; tails go on in parallel."""
        found = np.empty_like(scores)
        for channel, known in enumerate(self._known.T):
            own = scores[..., channel]
            mapped = np.interp(own, known, self._normal)
            mapped = np.where(own < known[0], self._normal[0] + own - known[0], mapped)
            mapped = np.where(own > known[-1], self._normal[-1] + own - known[-1], mapped)
            found[..., channel] = mapped
        return found

    def fit(
        self, steps: pd.DataFrame, lengths: np.ndarray, seed: int = 0,
        callbacks: Sequence[Any] = (),
    ) -> PathModel:  # fmt: skip
        """Learn encoding, process and network."""
        summaries = self.learn_encoding(steps, lengths)
        run, source = self.prepare(lengths, summaries, seed)
        train(run, source, self.settings.epochs, callbacks)
        self.finish(run)
        return self

    @torch.no_grad()
    def sample(
        self, summaries: pd.DataFrame, lengths: np.ndarray, random: torch.Generator
    ) -> pd.DataFrame:
        """Paths of sequences with these summaries, one behind the other.

        Args:
            summaries: A row for each sequence.
            lengths: How many steps each is to have.
            random: Source of all randomness.
        """
        own = np.random.default_rng(int(torch.randint(2**62, (), generator=random)))
        begins = np.cumsum(lengths) - lengths
        scores = np.zeros((int(lengths.sum()), len(self.encoder.channels)))
        head = torch.from_numpy(self._head(summaries)).float()
        for length in np.unique(lengths):
            chosen = np.flatnonzero(lengths == length)
            path = torch.from_numpy(self.process.draw(len(chosen), int(length), own)).float()
            noise = torch.randn(len(chosen), int(length), self.network.noise, generator=random)
            changed = self._to_normal(
                self.network(path, noise, head[chosen]).scores.double().numpy()
            )
            rows = begins[chosen][:, None] + np.arange(length)
            scores[rows.ravel()] = changed.reshape(-1, changed.shape[2])
        return self.encoder.decode(scores, summaries, lengths)

    @torch.no_grad()
    def continued(
        self, steps: pd.DataFrame, lengths: np.ndarray, more: int, random: torch.Generator
    ) -> pd.DataFrame:
        """How paths go on: ``more`` steps behind each.

        Args:
            steps: What is given, sequences one behind the other.
            lengths: Of these.
            more: How many steps.
            random: Source of all randomness.
        """
        own = np.random.default_rng(int(torch.randint(2**62, (), generator=random)))
        scores, summaries = self.encoder.encode(steps, lengths)
        summaries = self._settled(summaries, lengths)
        head = torch.from_numpy(self._head(summaries)).float()
        begins, order, built = np.cumsum(lengths) - lengths, self.process.order, []
        for place, length in enumerate(lengths):
            known = scores[begins[place] : begins[place] + length]
            past = np.zeros((1, order, known.shape[1]))
            count = min(order, int(length))
            past[0, order - count :] = known[len(known) - count :]
            path = np.concatenate([known, self.process.after(past, more, own)[0]])
            noise = torch.randn(1, len(path), self.network.noise, generator=random)
            changed = self.network(torch.from_numpy(path).float()[None], noise, head[[place]])
            built.append(self._to_normal(changed.scores[0, length - 1 :].double().numpy()))
        # Walks start at the last value that is given.
        last = steps.iloc[np.cumsum(lengths) - 1]
        _, at_last = self.encoder.encode(last, np.ones(len(lengths), np.int64))
        for name in summaries.columns:
            if name.endswith(".start"):
                summaries[name] = at_last[name]
        longer = np.full(len(lengths), more + 1)
        frame = self.encoder.decode(np.concatenate(built), summaries, longer, renormalise=False)
        behind = np.arange(len(frame)) % (more + 1) > 0
        return frame.loc[behind].reset_index(drop=True)

    def _settled(self, summaries: pd.DataFrame, lengths: np.ndarray) -> pd.DataFrame:
        """Means and scales of a few steps, drawn towards those of the training data."""
        weight = lengths / (lengths + 4.0)
        settled = summaries.copy()
        for place, name in enumerate(self.encoder.summaries):
            if not name.endswith(".start"):
                usual = self._head_mean[place]
                settled[name] = usual + weight * (summaries[name].to_numpy() - usual)
        return settled


def _segments(
    scores: np.ndarray, lengths: np.ndarray, times: int, most: int = 20_000
) -> tuple[np.ndarray, np.ndarray]:
    """Segments ``[segments, times, channels]`` of sequences, and whose each is."""
    begins = np.cumsum(lengths) - lengths
    starts = np.concatenate(
        [
            begin + np.arange(length - times + 1)
            for begin, length in zip(begins, lengths, strict=True)
        ]
    )
    owners = np.repeat(np.arange(len(lengths)), lengths - times + 1)
    keep = np.arange(0, len(starts), -(-len(starts) // most))
    return scores[starts[keep][:, None] + np.arange(times)], owners[keep]


def _whitening(flat: np.ndarray, most: int = 64) -> np.ndarray:
    """Directions of the most variance, each scaled to variance 1: ``[wide, directions]``."""
    values, vectors = np.linalg.eigh(np.cov(flat.T).reshape(flat.shape[1], -1))
    chosen = np.argsort(-values)[: min(most, max(len(flat) // 4, 1))]
    chosen = chosen[values[chosen] > 1e-6]
    return vectors[:, chosen] / np.sqrt(values[chosen])
