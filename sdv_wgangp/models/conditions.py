"""Rows under conditions: cells are given to the generator, and no row is rejected, but for those
that a relation between columns would take a given value away from.

`encoding.conditions` says which codes a condition allows. Where it allows several of a column, one
is drawn for each row; `calibration.conditional` chooses among the rows that are generated.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from sdv_wgangp.calibration.conditional import ConditionalCalibration
from sdv_wgangp.encoding.conditions import UNABLE, UnmetConditionError
from sdv_wgangp.encoding.relations.holding import MENDED
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.models.sampler import FREE, Sampler

# Rows under conditions that are drawn together, about.
DRAWN_TOGETHER = 2**16
# Rows of noise over which the probabilities of a column are averaged.
PROBED_ROWS = 2**8, 2**11

# By index of a column, the codes it may have, int64, at least one each.
Allowed = Mapping[int, np.ndarray]


def draw_each(
    sampler: Sampler,
    wanted: Sequence[tuple[Allowed, int]],
    calibration: ConditionalCalibration | None,
    random: torch.Generator,
) -> EncodedTable:
    """Rows under several conditions, in their order.

    Args:
        sampler: Of a generator that reads conditions.
        wanted: Conditions, and how many rows are to meet each; at least one condition.
        calibration: Chooses among the rows that are generated; None: they stay as they are.
        random: Source of all randomness, on the sampler's device.
    """
    parts: list[EncodedTable] = []
    waiting, candidates = [], 0
    for allowed, rows in wanted:
        count = rows if calibration is None else calibration.candidates(rows)
        waiting.append((allowed, rows, count))
        candidates += count
        if candidates >= DRAWN_TOGETHER:
            parts += draw_together(sampler, waiting, calibration, random)
            waiting, candidates = [], 0
    if waiting:
        parts += draw_together(sampler, waiting, calibration, random)
    return EncodedTable.concatenated(parts)


def drawn_until_met(
    encoder: TableEncoder,
    wanted: Sequence[tuple[Allowed, int]],
    draw: Callable[[Sequence[int]], pd.DataFrame],
    most_draws: int = 50,
) -> pd.DataFrame:
    """Rows that meet their conditions after they were made to keep the table's relations.

    Rows that break a relation in spite of that are drawn anew, too, and stay if that does not
    help.

    Args:
        encoder: Of the table.
        wanted: Conditions, and how many rows are to meet each, as of `draw_each`.
        draw: Draws so many rows for each condition, decoded.
        most_draws: How often rows are drawn anew.

    Raises:
        UnmetConditionError: Some rows never meet theirs; names the condition and the relation.
    """
    counts = [rows for _, rows in wanted]
    frame = draw(counts)
    held = encoder.held
    if not held.steps and not held.watched:
        return frame
    mended = {str(step.target): step.relation for step in held.steps if step.how == MENDED}
    conditions = [
        {i: codes for i, codes in allowed.items() if str(encoder.columns[i].name) in mended}
        for allowed, _ in wanted
    ]
    ends = np.cumsum(counts)
    parts = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    broken, in_vain = len(frame), 0
    for _ in range(most_draws):
        unmet = np.zeros(len(frame), dtype=bool)
        for allowed, part in zip(conditions, parts, strict=True):
            for index, codes in allowed.items():
                column = encoder.columns[index]
                unmet[part] |= ~np.isin(column.encode(frame[column.name].iloc[part])[0], codes)
        again = unmet | held.bad(frame)
        before, broken = broken, int(again.sum())
        if not broken:
            return frame
        in_vain = in_vain + 1 if broken > 0.9 * before else 0
        if in_vain == 5 and not unmet.any():
            break
        fresh = draw([int(again[part].sum()) for part in parts])
        take = np.arange(len(frame))
        take[again] = len(frame) + np.arange(len(fresh))
        frame = pd.concat([frame, fresh], ignore_index=True).take(take).reset_index(drop=True)
    if not unmet.any():
        statements = held.broken_by(frame)
        if statements:
            warnings.warn(
                f"{broken:,} of {len(frame):,} rows do not keep {', '.join(statements[:3])}, as "
                "the training table does: the generator hardly makes rows that do. Train it "
                "longer, or leave them out of relations",
                stacklevel=4,
            )
        return frame
    number = int(np.searchsorted(ends, unmet.argmax(), side="right"))
    index, codes = next(iter(conditions[number].items()))
    column = encoder.columns[index]
    value = column.decode(codes[:1]).tolist()[0]
    raise UnmetConditionError(
        f"{UNABLE}: column {column.name!r} is to be {value!r}, and with the other conditions the "
        f"rows of the model then break {mended[str(column.name)].statement!r}, which holds in the "
        "training table: change one of them"
    )


def draw_together(
    sampler: Sampler,
    wanted: Sequence[tuple[Allowed, int, int]],
    calibration: ConditionalCalibration | None,
    random: torch.Generator,
) -> list[EncodedTable]:
    """Rows for each of some conditions, from one pass of the generator.

    Args:
        sampler, calibration, random: As of `draw_each`.
        wanted: Conditions, how many rows are to meet each, and from how many these are chosen.
    """
    given = [given_codes(sampler, allowed, count, random) for allowed, _, count in wanted]
    counts = [count for _, _, count in wanted]
    if len(given) > 1:
        given = [one.expand(count, -1) for one, count in zip(given, counts, strict=True)]
    generated = sampler.draw(sum(counts), random, torch.cat(given))
    parts, start = [], 0
    for allowed, rows, count in wanted:
        part = generated.rows(slice(start, start + count))
        start += count
        if calibration is not None:
            part = calibration.choose(part, rows, allowed, random)
        parts.append(part)
    return parts


def given_codes(
    sampler: Sampler, allowed: Allowed, rows: int, random: torch.Generator
) -> torch.Tensor:
    """Codes that meet a condition, or `FREE`: ``[rows, columns]``, or one row for all.

    Args:
        sampler: Of a generator that reads conditions.
        allowed: The condition.
        rows: How many.
        random: Source of the choice where several codes are allowed.
    """
    given = torch.full((1, sampler.layout.columns), FREE)
    # Those with one code first: they say more about the others.
    for column, codes in sorted(allowed.items(), key=lambda item: len(item[1]) > 1):
        chosen = torch.from_numpy(codes)
        if len(codes) > 1:
            given = given.expand(rows, -1).clone()
            chosen = chosen[_choose(sampler, given, column, chosen, random)]
        given[:, column] = chosen
    return given


def _choose(
    sampler: Sampler,
    given: torch.Tensor,
    column: int,
    codes: torch.Tensor,
    random: torch.Generator,
) -> torch.Tensor:
    """Which of some codes a column has, given others: places among them, ``[rows]``.

    Without other columns the training frequencies say it exactly; otherwise the generator's
    probabilities, the mean over its noise.
    """
    chosen = torch.empty(len(given), dtype=torch.int64)
    least, most = PROBED_ROWS
    groups, group_of = given.unique(dim=0, return_inverse=True)
    for index, group in enumerate(groups):
        own = group_of == index
        count = int(own.sum())
        if (group == FREE).all():
            levels = sampler.layout.offsets[column] + codes
            weights = sampler.layout.frequencies[levels].to(sampler.device)
        else:
            probed = min(max(count, least), most)
            weights = sampler.probabilities(column, group[None], probed, random)
            weights = weights[codes.to(sampler.device)]
        weights = weights.double().clamp_min(1e-30)
        chosen[own] = torch.multinomial(weights, count, True, generator=random).cpu()
    return chosen
