"""`IndependentWGANGPMFSSynthesizer`, where SDV and saved synthesizers look for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdv_wgangp.synthesizers.multi_table import IndependentWGANGPMFSSynthesizer

__all__ = ["IndependentWGANGPMFSSynthesizer"]


def __getattr__(name: str) -> Any:
    """Imports SDV, then the synthesizer, when it is first asked for."""
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sdv_wgangp.synthesizers import multi_table

    return getattr(multi_table, name)
