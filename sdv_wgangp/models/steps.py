"""The steps of sequences, one after the other, given their heads: rows of any kind of columns."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sdv_wgangp.encoding.columns import NumericColumn
from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.options import EncodingOptions
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.networks.steps import StepBatch, StepNetwork
from sdv_wgangp.ops import uses_bfloat16
from sdv_wgangp.players.terms import Likelihood
from sdv_wgangp.training.loop import train
from sdv_wgangp.training.precision import matmul_precision
from sdv_wgangp.training.run import Run
from sdv_wgangp.training.runs import run_of
from sdv_wgangp.training.sources import TensorSource

# Fine bins, and no column that is one continuous rank: the network gives codes probabilities.
STEP_ENCODING = EncodingOptions(
    bins=100, min_rows_per_bin=10, association_bins_to_rank=10.0, association_atoms_to_rank=10.0
)


_LAID_OUT = {"_layout", "_head_layout", "_ordered", "_first_levels", "_nothing"}


@dataclass(frozen=True)
class StepSettings:
    """Hyper-parameters of the steps' network and its training.

    Attributes:
        epochs: Each is so many steps as show every row once, at least ``min_steps``.
        min_steps: Of an epoch.
        batch_size: Rows in a step.
        lr: Adam's learning rate, constant for half of the training, then falling to 0.
        decay: L2 penalty on the weights.
        ema_decay: Of the average of the weights.
        width, narrow, dropout: Of the network (`networks.steps.StepNetwork`).
        moments: Intervals of time of equally many steps, at most, that the network tells apart.
    """

    epochs: int = 20
    min_steps: int = 20
    batch_size: int = 512
    lr: float = 2e-3
    decay: float = 1e-5
    ema_decay: float = 0.99
    width: int = 256
    narrow: int = 64
    dropout: float = 0.1
    moments: int = 64


@dataclass
class Past:
    """What is known before a step of some sequences.

    Attributes:
        levels: Of the last two rows, int64 ``[2, sequences, columns]``.
        ranks: Likewise, ``[2, sequences, ordered columns]``.
        sums: Of the ranks of all rows before.
        times: How many those are, ``[sequences]``.
        when: The index of the last row, float64 ``[sequences]``; at first, where it starts.
    """

    levels: Tensor
    ranks: Tensor
    sums: Tensor
    times: Tensor
    when: np.ndarray

    def rows(self, index: Any) -> Past:
        """Of some of the sequences."""
        return Past(
            self.levels[:, index], self.ranks[:, index], self.sums[index],
            self.times[index], self.when[np.asarray(index)],
        )  # fmt: skip


class StepModel:
    """Learns p(row | head, rows before it) and draws rows one after the other.

    Args:
        settings: Hyper-parameters.
        gap: The column of gaps of the index, the first column, if there is one.
        discrete_columns, ordinal_columns: As of `encoding.table.TableEncoder`.
        rounded: Whether numbers keep to the decimals of their column.
    """

    def __init__(
        self,
        settings: StepSettings | None = None,
        *,
        gap: str | None = None,
        discrete_columns: Sequence[str] = (),
        ordinal_columns: Sequence[str] = (),
        rounded: bool = True,
    ):
        self.settings = settings or StepSettings()
        self.gap = gap
        self.encoder = TableEncoder(discrete_columns, ordinal_columns, rounded, STEP_ENCODING)

    def __getstate__(self) -> dict[str, Any]:
        # It follows from the encoders.
        return {name: each for name, each in vars(self).items() if name not in _LAID_OUT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "head_encoder" in state:
            self._lay_out()

    # ----------------------------------------------------------------- what the network reads

    def _learn_encoding(
        self, steps: pd.DataFrame, head: TableEncoder, when: np.ndarray | None
    ) -> None:
        self.encoder.fit(steps)
        if self.gap is not None and self.encoder.columns[0].name != self.gap:
            # What follows from another column is decoded behind it; a gap is needed before.
            whole = replace(STEP_ENCODING, min_rows_per_level=2**30)
            self.encoder = TableEncoder(
                self.encoder.discrete_columns, self.encoder.ordinal_columns,
                self.encoder.rounded, whole,
            ).fit(steps)  # fmt: skip
        self.head_encoder = head
        self._edges, self._span = np.zeros(0), (0.0, 1.0)
        if when is not None:
            inner = np.linspace(0, 1, self.settings.moments + 1)[1:-1]
            self._edges = np.unique(np.quantile(when, inner))
            self._span = float(when.min()), float(max(when.max() - when.min(), 1e-9))
        self._lay_out()

    def _lay_out(self) -> None:
        """What follows from the encoders."""
        self._layout, self._head_layout = Layout.of(self.encoder), Layout.of(self.head_encoder)
        self._ordered = self._layout.ordered
        first = self._layout.offsets[:-1] + torch.arange(self._layout.columns)
        self._first_levels = first  # among levels with one more for each column
        self._nothing = first + torch.as_tensor(self.encoder.widths)

    def _ranks_of(self, table: EncodedTable, layout: Layout) -> Tensor:
        """Of all columns, ``[rows, columns]``; 1/2 without an order."""
        levels = layout.level_index(table)
        known = layout.ranks[levels]
        ranks = known[..., 0].clone()
        if len(layout.positioned):
            ranks[:, layout.positioned] += known[:, layout.positioned, 1] * table.positions
        ordered = torch.zeros(layout.columns, dtype=torch.bool)
        ordered[layout.ordered] = True
        ranks[:, ~ordered] = 0.5
        return ranks

    def _head_of(self, head: pd.DataFrame) -> tuple[Tensor, Tensor]:
        """Levels and ranks of the heads."""
        table = self.head_encoder.encode(head)
        ranks = self._ranks_of(table, self._head_layout)[:, self._head_layout.ordered]
        return self._head_layout.level_index(table), ranks

    def _values(self, past: Past, lengths: Tensor, head_ranks: Tensor, beside: Tensor) -> Tensor:
        """The numbers that describe what came before."""
        count = past.times.clamp_min(1)[:, None]
        left = (lengths - past.times).clamp_min(1)
        has = torch.stack([(past.times >= n).float() for n in (1, 2)], 1)
        when = (past.when - self._span[0]) / self._span[1]
        numbers = torch.stack(
            [
                past.times.float().log1p() / 4,
                left.float().log() / 4,
                past.times / lengths.clamp_min(1),
                lengths.float().log1p() / 4,
                (left == 1).float(),
                torch.from_numpy(when.astype(np.float32)),
            ],
            1,
        )
        last, second = past.ranks
        mean = past.sums / count
        ranks = [2 * each - 1 for each in (last, second, mean)]
        ranks = [each * known[:, None] for each, known in zip(
            ranks, (has[:, 0], has[:, 1], has[:, 0]), strict=True)]  # fmt: skip
        return torch.cat([numbers, has, *ranks, 2 * head_ranks - 1, beside], 1)

    def _moments(self, when: np.ndarray) -> Tensor:
        return torch.from_numpy(np.searchsorted(self._edges, when, side="right"))[:, None]

    def _training_batch(
        self,
        steps: pd.DataFrame,
        head: pd.DataFrame,
        lengths: np.ndarray,
        when: np.ndarray | None,
        beside: np.ndarray,
        random: np.random.Generator,
    ) -> StepBatch:
        """All rows with what came before them."""
        table = self.encoder.encode(steps, random)
        codes, ranks = table.codes.long(), self._ranks_of(table, self._layout)
        begins = torch.from_numpy(np.cumsum(lengths) - lengths)
        owners = torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths))
        times = torch.arange(len(codes)) - begins[owners]
        own_levels, ordered = codes + self._first_levels, ranks[:, self._ordered]

        def before(of_rows: Tensor, nothing: Tensor, count: int) -> Tensor:
            shifted = nothing.expand_as(of_rows).clone()
            known = times >= count
            shifted[known] = of_rows[torch.nonzero(known).flatten() - count]
            return shifted

        zero = torch.zeros(ordered.shape[1])
        sums = ordered.double().cumsum(0) - ordered
        sums = (sums - sums[begins][owners]).float()
        moment = np.zeros(len(codes)) if when is None else when
        started = torch.from_numpy(moment)
        earlier = before(started[:, None], torch.zeros(1, dtype=started.dtype), 1)[:, 0]
        last = torch.where(times > 0, earlier, started).numpy()
        past = Past(
            torch.stack([before(own_levels, self._nothing, count) for count in (1, 2)]),
            torch.stack([before(ordered, zero, count) for count in (1, 2)]),
            sums, times, last,
        )  # fmt: skip
        levels, head_ranks = self._head_of(head)
        values = self._values(
            past, torch.from_numpy(lengths)[owners], head_ranks[owners],
            torch.from_numpy(beside.astype(np.float32)),
        )  # fmt: skip
        last_row, second_row = past.levels[0], past.levels[1]
        moments = self._moments(moment)
        return StepBatch(levels[owners], last_row, second_row, values, moments, codes, ranks)

    # ----------------------------------------------------------------- learning

    def prepare(
        self,
        steps: pd.DataFrame,
        head: pd.DataFrame,
        lengths: np.ndarray,
        head_encoder: TableEncoder,
        when: np.ndarray | None = None,
        beside: np.ndarray | None = None,
        seed: int = 0,
    ) -> tuple[Run, TensorSource]:
        """A training of steps, for `training.loop.train`; `finish` takes what it has learned.

        Args:
            steps: Rows of all sequences, one behind the other.
            head: A row for each sequence.
            lengths: Of the sequences, int64.
            head_encoder: Of the heads, fitted.
            when: The index of each step as numbers; None without one.
            beside: Further numbers that are known of each step, ``[steps, numbers]``.
            seed: Of all randomness.
        """
        own, random = self.settings, np.random.default_rng(seed)
        self._learn_encoding(steps, head_encoder, when)
        beside = np.zeros((len(steps), 0)) if beside is None else beside
        batch = self._training_batch(steps, head, lengths, when, beside, random)
        self._values_width = batch.values.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self.new_network()
        with matmul_precision("medium"):
            low = torch.bfloat16 if uses_bfloat16(torch.device("cpu")) else None
        run = run_of(
            network, {}, {}, seed=seed, noise=_given, lr=own.lr, betas=(0.9, 0.99),
            decay=own.decay, ema_decay=own.ema_decay, max_grad_norm=1.0,
            terms={"likelihood": Likelihood(_negative)},
            autocast=low,
        )  # fmt: skip
        size = min(own.batch_size, len(steps))
        source = TensorSource(batch, size, steps_per_epoch=max(len(steps) // size, own.min_steps))
        return run, source

    def new_network(self) -> StepNetwork:
        """A network of the learned encoding, with random weights."""
        own = self.settings
        return StepNetwork(
            self.encoder.widths, self._head_layout.levels, self._values_width,
            len(self._edges) + 1, own.width, own.narrow, own.dropout,
        )  # fmt: skip

    def finish(self, run: Run) -> None:
        """Take the averaged network of a training."""
        assert run.average is not None
        network = copy.deepcopy(run.average.update_bn([]))
        assert isinstance(network, StepNetwork)
        self.network = network.eval().requires_grad_(False)

    def fit(self, *data: Any, callbacks: Sequence[Any] = (), **more: Any) -> StepModel:
        """`prepare`, train, and `finish`."""
        run, source = self.prepare(*data, **more)
        train(run, source, self.settings.epochs, callbacks)
        self.finish(run)
        return self

    # ----------------------------------------------------------------- drawing

    @torch.no_grad()
    def sample(
        self,
        head: pd.DataFrame,
        lengths: np.ndarray,
        random: torch.Generator,
        starts: np.ndarray | None = None,
        beside: np.ndarray | None = None,
        gap_numbers: Callable[[pd.Series], np.ndarray] | None = None,
        prefix: tuple[pd.DataFrame, np.ndarray, np.ndarray | None] | None = None,
    ) -> pd.DataFrame:
        """Steps of sequences with these heads, one sequence behind the other.

        Args:
            head: A row for each sequence, as the network reads it.
            lengths: How many steps each is to have, those of the prefix among them.
            random: Source of all randomness.
            starts: Where the index of each starts, as numbers; None without an index.
            beside: Further numbers of each step, ``[steps, numbers]``.
            gap_numbers: Gaps as numbers, in the unit of ``starts``.
            prefix: Steps that are given of every sequence, how many of each, and their index.

        Returns:
            The steps that follow the prefix.
        """
        count, total = len(head), int(lengths.sum())
        begins = np.cumsum(lengths) - lengths
        levels, head_ranks = self._head_of(head)
        columns, width = len(self.encoder.columns), len(self._ordered)
        codes = torch.zeros(total, columns, dtype=torch.int64)
        positions = torch.rand(total, len(self._layout.positioned), generator=random)
        when = np.zeros(count) if starts is None else starts.astype(np.float64).copy()
        past = Past(
            self._nothing.expand(2, count, -1).clone(), torch.zeros(2, count, width),
            torch.zeros(count, width), torch.zeros(count, dtype=torch.int64), when,
        )  # fmt: skip
        given = np.zeros(count, np.int64)
        if prefix is not None:
            given = prefix[1]
            self._begin_after(past, *prefix)
        beside = np.zeros((total, 0)) if beside is None else beside
        wanted, made = torch.from_numpy(lengths), np.zeros(total, dtype=bool)
        none = torch.empty(0)
        for time in range(int(lengths.max(initial=0))):
            active = np.flatnonzero((lengths > time) & (given <= time))
            if not len(active):
                continue
            rows = begins[active] + time
            index = torch.from_numpy(active)
            own = past.rows(index)
            values = self._values(
                own, wanted[index], head_ranks[index],
                torch.from_numpy(beside[rows].astype(np.float32)),
            )  # fmt: skip
            drawn = self._draw_rows(
                StepBatch(
                    levels[index], own.levels[0], own.levels[1], values, none, none, none
                ),
                own, positions[rows], time, random, gap_numbers,
            )  # fmt: skip
            codes[rows], new_when = drawn
            made[rows] = True
            table = EncodedTable(codes[rows], positions[rows])
            ranks = self._ranks_of(table, self._layout)[:, self._ordered]
            past.levels[:, index] = torch.stack([codes[rows] + self._first_levels, own.levels[0]])
            past.ranks[:, index] = torch.stack([ranks, own.ranks[0]])
            past.sums[index] += ranks
            past.times[index] += 1
            past.when[active] = new_when
        return self.encoder.decode(EncodedTable(codes[made], positions[made]))

    def _begin_after(
        self, past: Past, steps: pd.DataFrame, lengths: np.ndarray, when: np.ndarray | None
    ) -> None:
        """Let what is past be these steps."""
        table = self.encoder.encode(steps)
        levels = table.codes.long() + self._first_levels
        ranks = self._ranks_of(table, self._layout)[:, self._ordered]
        ends = np.cumsum(lengths)
        for place, count in enumerate((1, 2)):
            known = np.flatnonzero(lengths >= count)
            past.levels[place, known] = levels[ends[known] - count]
            past.ranks[place, known] = ranks[ends[known] - count]
        owners = torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths))
        past.sums.index_add_(0, owners, ranks)
        past.times += torch.from_numpy(lengths)
        if when is not None:
            known = np.flatnonzero(lengths)
            past.when[known] = when[ends[known] - 1]

    def _draw_rows(
        self,
        batch: StepBatch,
        past: Past,
        positions: Tensor,
        time: int,
        random: torch.Generator,
        gap_numbers: Callable[[pd.Series], np.ndarray] | None,
    ) -> tuple[Tensor, np.ndarray]:
        """Codes of one step of some sequences, and its index."""
        context, columns = self.network.context(batch), self.encoder.columns
        before = torch.zeros_like(context[:, 0])
        codes, when = torch.empty(len(context), len(columns), dtype=torch.int64), past.when
        for place, (column, _, own) in enumerate(self.encoder.indexed_columns):
            logits = self.network.logits(place, context[:, place], before, batch.last[:, place])
            if column.name == self.gap and column.missing_code is not None and column.width > 1:
                # The first step has no gap, and every other one has.
                first = torch.arange(column.width) == column.missing_code
                logits = logits.masked_fill(first if time else ~first, -torch.inf)
            chosen = torch.multinomial(logits.softmax(1), 1, generator=random)[:, 0]
            codes[:, place] = chosen
            known = self._layout.ranks[chosen + self._layout.offsets[place]]
            ranks = torch.full((len(chosen),), 0.5)
            if isinstance(column, NumericColumn):
                ranks = known[:, 0].clone()
                if own is not None:
                    ranks += known[:, 1] * positions[:, own]
            before = before + self.network.embedded(place, chosen, ranks)
            if place == 0:
                if column.name == self.gap and gap_numbers is not None:
                    inside = None if own is None else positions[:, own].numpy()
                    gaps = gap_numbers(column.decode(chosen.numpy(), inside))
                    when = past.when + np.nan_to_num(gaps)
                before = before + self.network.moments(self._moments(when)[:, 0])
        return codes, when


def _given(real: StepBatch, random: torch.Generator) -> tuple[StepBatch]:
    return (real,)


def _negative(generated: Any, fake: Tensor, real: StepBatch) -> Tensor:
    return -generated.rows.mean()
