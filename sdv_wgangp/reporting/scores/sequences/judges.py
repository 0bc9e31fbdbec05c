"""Recurrent judges and Context-FID: what publications quote. They take minutes.

Read them beside held-out sequences, and steer by trees: on windows of share prices a Gaussian
copula over time, which trees recognise every time, passes the judge of the published size.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sdv_wgangp.reporting.scores.sequences.panel import Panel, few_levels

LEVELS = 11


def _windows(panels: list[Panel], window: int) -> list[tuple[Tensor, Tensor]]:
    """Of each panel's sequences the first rows, ``[n, window, d]``, and how many they are.

    Numbers from 0 to 1 by the range of the first panel's, ten levels of categories as columns.
    """
    real = panels[0]
    steps = int(min(window, real.lengths.max()))
    found = []
    for panel in panels:
        there = np.arange(steps) < panel.lengths[:, None]
        place = np.where(there, panel.starts[:-1, None] + np.arange(steps), 0)
        parts = []
        for name, values in panel.numbers.items():
            if name == panel.index:
                continue
            known = real.numbers[name][np.isfinite(real.numbers[name])]
            low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
            parts.append(np.nan_to_num((values - low) / (high - low + 1e-7))[place])
        for codes in panel.codes.values():
            bins = few_levels(codes)[place]
            parts += [(bins == level).astype(float) for level in range(LEVELS)]
        rows = np.stack(parts, axis=2) * there[:, :, None]
        lengths = np.minimum(panel.lengths, steps)
        found.append((torch.tensor(rows, dtype=torch.float32), torch.tensor(lengths)))
    return found


class _Judge(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.cells = nn.GRU(width, hidden, batch_first=True)
        self.score = nn.Linear(hidden, 1)

    def forward(self, rows: Tensor, lengths: Tensor) -> Tensor:
        states, _ = self.cells(rows)
        last = states[torch.arange(len(rows)), lengths - 1]
        return self.score(last)[:, 0]


def recurrent_judge(
    real: Panel,
    other: Panel,
    hidden: int | None = None,
    window: int = 24,
    steps: int = 2_000,
    batch_size: int = 128,
    rate: float = 1e-3,
    seed: int = 0,
) -> float:
    """The "discriminative score": how far above one half a GRU's accuracy lies, 0 to .5.

    Yoon, Jarrett and van der Schaar 2019, as their code has it: one layer, numbers scaled to the
    real range, 80 % of the sequences to learn from, the others to be judged.

    Args:
        real, other: With the same columns.
        hidden: Width of the layer; by default half the inputs, as published.
        window: First rows of each sequence that it reads.
        steps, batch_size, rate: Of Adam; a batch is so many of both.
        seed: Of split, weights and batches.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = _windows([real, other], window)
    width = parts[0][0].shape[2]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = _Judge(width, max(1, width // 2) if hidden is None else hidden)
    learned, judged = [], []
    for rows, lengths in parts:
        order = torch.randperm(len(rows), generator=generator)
        cut = int(0.8 * len(rows))
        learned.append((rows[order[:cut]], lengths[order[:cut]]))
        judged.append((rows[order[cut:]], lengths[order[cut:]]))
    optimizer = torch.optim.Adam(judge.parameters(), rate)
    labels = torch.tensor([1.0, 0.0]).repeat_interleave(batch_size)
    loss = nn.BCEWithLogitsLoss()
    for _ in range(steps):
        chosen = [torch.randint(len(r), (batch_size,), generator=generator) for r, _ in learned]
        rows = torch.cat([r[c] for (r, _), c in zip(learned, chosen, strict=True)])
        lengths = torch.cat([n[c] for (_, n), c in zip(learned, chosen, strict=True)])
        optimizer.zero_grad()
        loss(judge(rows, lengths), labels).backward()
        optimizer.step()
    with torch.no_grad():
        right = [
            ((judge(*part) > 0) == bool(label)).float().sum().item()
            for part, label in zip(judged, (1, 0), strict=True)
        ]
    # The kinds may be of different number: a guess is to be right half of the time.
    accuracy = np.mean([r / len(part[0]) for r, part in zip(right, judged, strict=True)])
    return float(abs(accuracy - 0.5))


class _Encoder(nn.Module):
    """Dilated causal convolutions and the greatest value over time."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(width if depth == 0 else size, size, 3, dilation=2**depth)
            for depth in range(3)
        )

    def forward(self, rows: Tensor) -> Tensor:
        values = rows.transpose(1, 2)
        for depth, layer in enumerate(self.layers):
            values = nn.functional.gelu(layer(nn.functional.pad(values, (2 * 2**depth, 0))))
        return values.amax(2)


def context_fid(
    real: Panel,
    other: Panel,
    size: int = 32,
    window: int = 24,
    steps: int = 500,
    batch_size: int = 64,
    seed: int = 0,
) -> float:
    """Frechet distance of embedded sequences (Context-FID; Jeha et al. 2022, PSA-GAN).

    The encoder learns on the real sequences that two overlapping pieces of one belong together.
    It is small, and not the one of any publication: values compare with each other only, of the
    same real sequences and seed. The distance of two samples of one distribution is not 0 but
    grows with ``size`` per sequence.

    Args:
        real, other: With the same columns.
        size: Of an embedding.
        window: First rows of each sequence.
        steps, batch_size: Of Adam.
        seed: Of everything.
    """
    generator = torch.Generator().manual_seed(seed)
    (rows, _), (its, _) = _windows([real, other], window)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = _Encoder(rows.shape[2], size)
    optimizer = torch.optim.Adam(encoder.parameters(), 1e-3)
    length = rows.shape[1]
    piece = max(1, 2 * length // 3)
    for _ in range(steps):
        chosen = rows[torch.randint(len(rows), (batch_size,), generator=generator)]
        starts = torch.randint(length - piece + 1, (2,), generator=generator).tolist()
        views = [nn.functional.normalize(encoder(chosen[:, s : s + piece]), dim=1) for s in starts]
        alike = views[0] @ views[1].T / 0.1
        target = torch.arange(len(alike))
        optimizer.zero_grad()
        nn.functional.cross_entropy(alike, target).backward()
        optimizer.step()
    with torch.no_grad():
        points = [encoder(each).double().numpy() for each in (rows, its)]
    scale = points[0].std(0) + 1e-8
    return frechet(points[0] / scale, points[1] / scale)


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    r"""Frechet distance of two normal distributions fitted to points ``[n, d]``.

    .. math:: |m_1 - m_2|^2 + \mathrm{tr}(C_1 + C_2 - 2 (C_1 C_2)^{1/2})

    Example:
        >>> frechet(np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]]))
        1.0
    """
    means = [points.mean(0) for points in (first, second)]
    covariances = [np.atleast_2d(np.cov(points.T, bias=True)) for points in (first, second)]
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ covariances[1] @ root)
    trace = np.trace(covariances[0]) + np.trace(covariances[1])
    trace -= 2 * np.sqrt(np.maximum(inner, 0)).sum()
    return float(((means[0] - means[1]) ** 2).sum() + max(trace, 0.0))
