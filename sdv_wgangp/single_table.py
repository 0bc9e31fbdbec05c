"""`WGANGPMFSSynthesizer`, where SDV and saved synthesizers look for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdv_wgangp.synthesizers.single_table import WGANGPMFSSynthesizer

__all__ = ["WGANGPMFSSynthesizer"]


def __getattr__(name: str) -> Any:
    """Imports SDV, then the synthesizer, when it is first asked for."""
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sdv_wgangp.synthesizers import single_table

    return getattr(single_table, name)
