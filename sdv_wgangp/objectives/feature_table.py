"""What meta-features know of a table: its blocks of codes, its target, its strongest pairs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.statistics.association import v_with_each


@dataclass(frozen=True)
class Target:
    """The column that others are related to.

    Attributes:
        name: Of the column in the frame.
        column: Of the layout; for a column that another one determines, that other one.
        classes: Class of the target for every code of the column, int64 ``[codes]``; -1 where the
            target is missing.
        categorical: Whether it is a set of classes, not a continuous column.
    """

    name: str
    column: int
    classes: torch.Tensor
    categorical: bool


@dataclass(frozen=True)
class PairGroup:
    """Pairs with one block in common.

    Attributes:
        first: The levels of that block, begin and end.
        partners: The levels of the other blocks, likewise; blocks side by side are one run.
    """

    first: tuple[int, int]
    partners: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class FeatureTable:
    """Shape of a table as meta-features see it; its tensors are on the device of the rows.

    A *block* is a column with two codes or more: the levels of a category, or the atoms and bins
    of a number, and "missing" where there is one.

    Attributes:
        offsets: Column ``c`` owns the levels ``offsets[c] : offsets[c + 1]``.
        ordered: Columns with an ordering channel, in the order of the channels.
        frequencies: Share of the training rows on each level, ``[levels]``.
        target: The target column, or None.
        contrast: Membership of the levels of the target's column in the most and the least
            frequent class, float64 ``[codes, 2]``; None without classes.
        pairs: Pairs of blocks whose joint tables are looked at, in the order of their tables
            (`with_pairs` chooses them).
        groups: The pairs, by the block that they have in common.
        pair_ends: Where the cells of each pair end, int64 ``[pairs]``.
        pair_cells: Room for the cells of all pairs without the target together. A batch of 500
            rows says little about more than the default, and they cost a product of the rows with
            every cell.
    """

    offsets: tuple[int, ...]
    ordered: tuple[int, ...]
    frequencies: torch.Tensor
    target: Target | None = None
    contrast: torch.Tensor | None = None
    pairs: tuple[tuple[int, int], ...] = ()
    groups: tuple[PairGroup, ...] = ()
    pair_ends: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    pair_cells: int = 2**14

    @classmethod
    def of(
        cls, layout: Layout, target: Target | None = None, device: torch.device | str = "cpu"
    ) -> FeatureTable:
        """The table of a layout, without pairs."""
        table = cls(
            tuple(layout.offsets.tolist()),
            tuple(layout.ordered.tolist()),
            layout.frequencies.to(device),
            target,
        )
        if target is None or not target.categorical or target.classes.max() < 1:
            return table
        start, end = table.span(target.column)
        of_classes = torch.zeros(int(target.classes.max()) + 1, dtype=torch.float64)
        known = target.classes >= 0
        own = layout.frequencies[start:end][known].double()
        of_classes.index_add_(0, target.classes[known], own)
        most = int(of_classes.argmax())
        rest = of_classes.clone()
        rest[most] = torch.inf
        ends = torch.tensor([most, int(rest.argmin())])
        contrast = (target.classes[:, None] == ends).double().to(device)
        return replace(table, contrast=contrast)

    def span(self, column: int) -> tuple[int, int]:
        """Begin and end of a column's levels."""
        return self.offsets[column], self.offsets[column + 1]

    def width(self, column: int) -> int:
        """Number of a column's levels."""
        return self.offsets[column + 1] - self.offsets[column]

    @property
    def levels(self) -> int:
        return self.offsets[-1]

    @property
    def blocks(self) -> list[int]:
        """Columns with two codes or more."""
        return [c for c in range(len(self.offsets) - 1) if self.width(c) > 1]

    @property
    def has_pairs(self) -> bool:
        """Whether `with_pairs` finds any."""
        widths = sorted(self.width(block) for block in self.blocks)
        of_target = self.target is not None and self.target.column in self.blocks
        return len(widths) > 1 and (of_target or widths[0] * widths[1] <= self.pair_cells)

    @property
    def target_channel(self) -> int | None:
        """The ordering channel of the target column, if it has one."""
        if self.target is None or self.target.column not in self.ordered:
            return None
        return self.ordered.index(self.target.column)

    @property
    def cells(self) -> int:
        """Cells of the joint tables of all `pairs`."""
        return sum(self.width(a) * self.width(b) for a, b in self.pairs)

    def with_pairs(self, levels: torch.Tensor) -> FeatureTable:
        """The table with its pairs of blocks, the strongest that ``pair_cells`` have room for.

        All pairs with the target are in, whatever they take: at most its codes times the levels.
        Of the others the one with the largest Cramer's V (with the bias correction of Bergsma
        2013, which keeps tables of few rows on many cells from looking strong) is taken first; a
        pair that does not fit is left out, and smaller ones after it may still fit.

        Args:
            levels: Level of every cell of training rows, ``[rows, columns]``, int64; 2,000 of
                them are enough.

        Raises:
            ValueError: No pair fits.
        """
        target = None if self.target is None else self.target.column
        levels = levels.cpu().T.contiguous().T  # a column's cells side by side
        left, chosen, candidates = self.pair_cells, [], []
        for place, first in enumerate(self.blocks):
            rest = self.blocks[place + 1 :]
            of_target = [second for second in rest if target in (first, second)]
            chosen += [(first, second) for second in of_target]
            left -= sum(self.width(first) * self.width(second) for second in of_target)
            rest = [
                second
                for second in rest
                if second not in of_target
                and self.width(first) * self.width(second) <= self.pair_cells
            ]
            strengths = self.strengths(levels, first, rest)
            candidates += [(-v, first, second) for v, second in zip(strengths, rest, strict=True)]
        for _, first, second in sorted(candidates):
            cells = self.width(first) * self.width(second)
            if cells <= left:
                chosen.append((first, second))
                left -= cells
        if not chosen:
            raise ValueError(
                f"no two columns have a joint table of at most {self.pair_cells} cells: leave out "
                "the meta-features of pairs of columns, or name a target"
            )
        pairs = tuple(sorted(chosen))
        device = self.frequencies.device
        groups = []
        for first in sorted({pair[0] for pair in pairs}):
            spans = [self.span(second) for head, second in pairs if head == first]
            groups.append(PairGroup(self.span(first), _joined(spans)))
        ends = np.cumsum([self.width(a) * self.width(b) for a, b in pairs], dtype=np.int64)
        return replace(
            self, pairs=pairs, groups=tuple(groups), pair_ends=torch.from_numpy(ends).to(device)
        )

    def strengths(self, levels: torch.Tensor, first: int, others: list[int]) -> np.ndarray:
        """Cramer's V of a block with others, ``[others]``; see `with_pairs`."""
        if not others:
            return np.zeros(0)
        widths = np.array([self.width(other) for other in others], np.int64)
        ends = np.cumsum(widths, dtype=np.int64)
        shift = torch.tensor(
            [end - self.offsets[c + 1] for end, c in zip(ends, others, strict=True)]
        )
        own = levels[:, first] - self.offsets[first]
        index = levels.T[others] + (own * ends[-1] + shift[:, None])
        joint = torch.bincount(index.flatten(), minlength=self.width(first) * ends[-1])
        return v_with_each(joint.view(-1, int(ends[-1])).double(), widths.tolist())


def _joined(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ascending spans, those that touch made one."""
    runs = [spans[0]]
    for begin, end in spans[1:]:
        if begin == runs[-1][1]:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((begin, end))
    return tuple(runs)
