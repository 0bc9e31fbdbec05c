"""WGAN-GP with meta-feature statistics for tables, as a synthesizer for SDV.

``from sdv_wgangp import WGANGPMFSSynthesizer`` and ``from sdv.single_table import
WGANGPMFSSynthesizer`` give the same class. Everything below that class (operators, encoding,
calibration, networks, objectives, training, models) also works on a machine without SDV.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sdv_wgangp import moved

__version__ = "0.2.0"

moved.install()

if TYPE_CHECKING:
    from sdv_wgangp.synthesizers.loading import load, load_model
    from sdv_wgangp.synthesizers.multi_table import IndependentWGANGPMFSSynthesizer
    from sdv_wgangp.synthesizers.sequential import DoppelGANgerSynthesizer
    from sdv_wgangp.synthesizers.single_table import WGANGPMFSSynthesizer

__all__ = [
    "DoppelGANgerSynthesizer",
    "IndependentWGANGPMFSSynthesizer",
    "WGANGPMFSSynthesizer",
    "__version__",
    "load",
    "load_model",
]
# What needs SDV, and where it is.
_LAZY = {
    "DoppelGANgerSynthesizer": "synthesizers.sequential",
    "IndependentWGANGPMFSSynthesizer": "synthesizers.multi_table",
    "WGANGPMFSSynthesizer": "synthesizers.single_table",
    "load": "synthesizers.loading",
    "load_model": "synthesizers.loading",
}


def __getattr__(name: str) -> Any:
    """Imports what needs SDV when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec("sdv") is None:
        raise ImportError(f"{name} needs SDV, which is not installed: pip install 'sdv>=1.38,<3'")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
