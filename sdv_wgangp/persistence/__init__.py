"""Files that hold tensors and plain data, and are read without running code from them.

Nothing here knows a class of the package, or SDV: `sdv_wgangp.synthesizers.saving` says
what a synthesizer's file holds.
"""

from sdv_wgangp.persistence.container import ModelFile, ModelFileError

__all__ = ["ModelFile", "ModelFileError"]
