"""Saving synthesizers: model files without pickle, and versions of pickles.

A model file (`save_model`, `load_model`) is one safetensors file: the weights and all other
arrays as tensors, everything else as JSON. Reading one never runs code from it: classes are looked
up in an allow-list (`saved_classes`), functions cannot be stored. What needs code, like a
constraint of the user's own, is refused by name when it is saved.

A pickle (`save`) can hold anything, and loading it runs code from it: load those alone whose
origin you trust.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
from sdv.errors import VersionError

from sdv_wgangp import __version__
from sdv_wgangp.persistence.container import ModelFile, ModelFileError
from sdv_wgangp.persistence.durable import partial_file
from sdv_wgangp.persistence.graph import Decoder, Encoder
from sdv_wgangp.synthesizers import pickles, sdv_versions
from sdv_wgangp.synthesizers.mixins import Mixed
from sdv_wgangp.synthesizers.saved_classes import kinds

if TYPE_CHECKING:
    from typing_extensions import Self

SUFFIX = ".safetensors"
_VERSION = "_plugin_version"
# Their values are kept as they are, as levels; of other columns the model keeps numbers.
_KEPT = ("categorical", "boolean", "ordinal", "unknown")


class Saved(Mixed):
    """Mixed into a synthesizer: model files, and pickles that know the plugin's version."""

    def save_model(self, path: str | Path) -> None:
        """Save to a model file (safetensors and JSON), which is loaded without running code.

        A loaded synthesizer samples as this one does after `reset_sampling`, bit for bit on the
        same kind of device. Unlike `save`, which pickles, this refuses what only code can
        express: constraints, transformers and other classes of your own.

        Args:
            path: File to write, by custom ``*.safetensors``.

        Raises:
            ModelFileError: Part of the synthesizer cannot be stored; names it.
        """
        self._validate_fit_before_save()
        encoder = Encoder(kinds())
        state = encoder.encode(self, type(self).__name__)
        ModelFile(state, encoder.tensors, _installed()).write(path)

    @classmethod
    def load_model(cls, path: str | Path) -> Self:
        """The synthesizer that `save_model` wrote.

        Args:
            path: The model file.

        Raises:
            FileNotFoundError: There is no such file.
            ModelFileError: It is not a model file, was changed, or holds another class.
            VersionError: It needs a later sdv-wgangp, or another SDV.
        """
        loaded = read_model(path)
        if not isinstance(loaded, cls):
            name = type(loaded).__name__
            raise ModelFileError(f"{path}: holds a {name}: load it with {name}.load_model")
        return loaded

    def check_model_file(self, data: Any) -> None:
        """Refuse before the fit what `save_model` would refuse after it.

        Args:
            data: As for `fit`.

        Raises:
            ModelFileError: A constraint or transformer is of a class of your own, or the values of
                a column are of a kind that model files cannot hold; names it.

        Example:
            >>> import pandas as pd
            >>> from sdv.metadata import Metadata
            >>> from sdv_wgangp import WGANGPMFSSynthesizer
            >>> frame = pd.DataFrame({"when": [pd.Period("2024-01", "M")]})
            >>> metadata = Metadata.load_from_dict(
            ...     {"tables": {"t": {"columns": {"when": {"sdtype": "categorical"}}}}})
            >>> WGANGPMFSSynthesizer(metadata).check_model_file({"t": frame})
            Traceback (most recent call last):
            ...
            sdv_wgangp.persistence.container.ModelFileError: column 'when' holds ...
        """
        encoder = Encoder(kinds())
        encoder.encode(self, type(self).__name__)
        metadata = self.get_metadata()
        tables = data.items() if isinstance(data, dict) else [(next(iter(metadata.tables)), data)]
        for name, frame in tables:
            described = metadata.tables[name].columns if name in metadata.tables else {}
            for column, values in frame.items():
                sdtype = described.get(column, {}).get("sdtype")
                _check_column(encoder, values, kept=sdtype in _KEPT)

    def save(self, filepath: str | Path) -> None:
        """Save as a pickle, which can hold anything and runs code when it is loaded.

        The file is written beside its place and renamed: a full disk or the end of the process
        leaves what was there before. It ends with a checksum, which `sdv_wgangp.load` compares;
        SDV's `load_synthesizer` reads the file, too, and does not.

        Args:
            filepath: File to write, by custom ``*.pkl``.

        Raises:
            OSError: It cannot be written.
        """
        if not sdv_versions.replaceable(filepath):
            super().save(str(filepath))
            return
        with partial_file(filepath) as partial:
            super().save(str(partial))
            pickles.sign(partial)

    # Parameters that came after the first release, and their defaults.
    _later_parameters: ClassVar[dict[str, Any]] = {}

    def _complete(self) -> None:
        """Give what an earlier release saved the parameters that it did not have."""
        for name, default in self._later_parameters.items():
            self.__dict__.setdefault(name, default)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, _VERSION: __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        check_plugin_version(state.pop(_VERSION, __version__), "this synthesizer")
        self.__dict__.update(state)
        self._complete()


def _check_column(encoder: Encoder, column: pd.Series, kept: bool) -> None:
    """Refuse a column of which a model file cannot hold the dtype or, if kept, the values."""
    try:
        what = f"values of dtype {column.dtype}"
        encoder.encode(column.dtype, "dtype")
        if kept and not isinstance(column.dtype, pd.CategoricalDtype):
            for value in pd.unique(column.dropna()):
                what = f"values like {value!r} of {type(value).__name__}"
                encoder.encode(value, "value")
    except TypeError:  # unhashable values: SDV refuses them
        return
    except ModelFileError as error:
        raise ModelFileError(
            f"column {column.name!r} holds {what}, which a model file cannot hold: turn them into "
            "text or numbers, or save a pickle"
        ) from error


def read_model(path: str | Path) -> Any:
    """The synthesizer in a model file, of whichever class has registered itself.

    Raises:
        FileNotFoundError, ModelFileError, VersionError: As `Saved.load_model`.
    """
    file = ModelFile.read(path)
    _check_versions(file.about, str(path))
    try:
        loaded = Decoder(kinds(), file.tensors).decode(file.state)
        if not isinstance(loaded, Saved):
            raise ValueError(f"a {type(loaded).__name__} where a synthesizer should be")
        loaded._complete()
        loaded._check_parameters()
        loaded.reset_sampling()
    except Exception as error:  # content that no encoder wrote can fail anywhere
        raise ModelFile.malformed(path, error) from error
    return loaded


def check_plugin_version(version: str, what: str) -> None:
    """Refuse what a later plugin saved: it may hold what this one does not know.

    Raises:
        VersionError: ``version`` is of a later major or minor release than the installed one.
    """
    if _release(version) > _release(__version__):
        raise VersionError(
            f"{what} was saved with sdv-wgangp {version}, and {__version__} is installed: "
            f"pip install 'sdv-wgangp>={version}'"
        )


def _installed() -> dict[str, str]:
    others = {package: metadata.version(package) for package in ("sdv", "rdt")}
    return {"sdv-wgangp": __version__, **others}


def _check_versions(saved: dict[str, str], what: str) -> None:
    """Refuse files of a later plugin, of a later SDV, and of another major line of SDV."""
    check_plugin_version(saved["sdv-wgangp"], what)
    for package in ("sdv", "rdt"):
        version, installed = saved[package], metadata.version(package)
        (line, _), (own_line, _) = _release(version), _release(installed)
        if line != own_line or _release(version) > _release(installed):
            raise VersionError(
                f"{what} was saved under {package} {version}, and {installed} is installed: "
                f"pip install '{package}>={version},<{line + 1}', or fit and save it again here"
            )


def _release(version: str) -> tuple[int, int]:
    """Major and minor number of a version."""
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None:
        raise ModelFileError(f"{version!r} is not the version of a release")
    return int(found[1]), int(found[2])
