"""What the mixins of synthesizers are mixed into: for type checks alone a class of SDV's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdv.single_table.base import BaseSingleTableSynthesizer as Mixed
else:
    Mixed = object

__all__ = ["Mixed"]
