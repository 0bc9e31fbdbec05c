"""The column that meta-features relate the others to."""

from __future__ import annotations

import torch

from sdv_wgangp.encoding.table import TableEncoder
from sdv_wgangp.objectives.feature_table import Target


def target_of(encoder: TableEncoder, name: str | None) -> Target | None:
    """A target by the name of its column, modelled or derived; None of None.

    Args:
        encoder: The table's encoder.
        name: Of the column.

    Raises:
        ValueError: It is no column that is modelled; names those that are.
    """
    if name is None:
        return None
    if name not in encoder.names:
        raise ValueError(
            f"target {name!r} is not a column that is modelled: name one of "
            f"{', '.join(map(str, encoder.names))}"
        )
    for derived in encoder.derived:
        if derived.column.name == name:
            classes = torch.from_numpy(derived.codes)
            if derived.column.missing_code is not None:
                classes = classes.masked_fill(classes == derived.column.missing_code, -1)
            return Target(name, derived.source, classes, True)
    names = [column.name for column in encoder.columns]
    column = encoder.columns[names.index(name)]
    classes = torch.arange(column.width)
    if column.missing_code is not None:
        classes[column.missing_code] = -1
    return Target(name, names.index(name), classes, not column.has_positions)
