"""`DoppelGANgerSynthesizer`, where SDV looks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdv_wgangp.synthesizers.sequential import DoppelGANgerSynthesizer

__all__ = ["DoppelGANgerSynthesizer"]


def __getattr__(name: str) -> Any:
    """Imports SDV, then the synthesizer, when it is first asked for."""
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sdv_wgangp.synthesizers import sequential

    return getattr(sequential, name)
