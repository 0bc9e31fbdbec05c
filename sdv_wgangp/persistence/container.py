"""The model file: safetensors, with JSON beside the tensors and a checksum over every byte.

The file's ``__metadata__`` says what it is (``format``, ``format_version``), which releases wrote
it and what it hashes to; ``state.json`` among the tensors is the JSON, as UTF-8 bytes. Reading it
parses JSON and copies numbers, and does nothing else.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

FORMAT = "sdv_wgangp"
FORMAT_VERSION = 4
STATE = "state.json"
# What the checksum field holds while the checksum is taken.
UNSIGNED = "0" * 64


class ModelFileError(ValueError):
    """A model cannot be written to a model file, or a file is none; the message says why."""


@dataclass(frozen=True)
class ModelFile:
    """What a model file holds.

    Attributes:
        state: Anything that JSON can express.
        tensors: By name; of any shape and of the dtypes of safetensors.
        versions: Releases that wrote it, by package.
    """

    state: Any
    tensors: dict[str, torch.Tensor]
    versions: dict[str, str]

    def write(self, path: str | Path) -> None:
        """Write the file; it appears under its name when it is complete."""
        path = Path(path)
        text = json.dumps(self.state, separators=(",", ":"), allow_nan=False).encode()
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
        metadata = {
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
            "versions": json.dumps(self.versions),
            "sha256": UNSIGNED,
        }
        data = save(
            tensors | {STATE: torch.frombuffer(bytearray(text), dtype=torch.uint8)}, metadata
        )
        digest = hashlib.sha256(data).hexdigest()
        start = _header(data).index(UNSIGNED.encode()) + 8
        partial = path.with_name("." + path.name)
        try:
            partial.write_bytes(data[:start] + digest.encode() + data[start + len(digest) :])
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: str | Path) -> ModelFile:
        """Read a file that `write` made.

        Raises:
            FileNotFoundError: There is none at ``path``.
            ModelFileError: It is of another kind, of a later format, or not as it was written.
        """
        data = Path(path).read_bytes()
        try:
            metadata = json.loads(_header(data))["__metadata__"]
            foreign = metadata["format"] != FORMAT
            digest, version = metadata["sha256"], int(metadata["format_version"])
        except (ValueError, KeyError, TypeError, RecursionError):
            foreign = True
        if foreign:
            raise ModelFileError(
                f"{path}: is not a model file of sdv_wgangp, or only the beginning of one; model "
                "files are made by save_model (a pickle made by save is loaded with SDV's "
                "load_synthesizer)"
            )
        if version > FORMAT_VERSION:
            raise ModelFileError(
                f"{path}: has format version {version}, this sdv_wgangp reads "
                f"{FORMAT_VERSION}: upgrade sdv-wgangp"
            )
        if version < FORMAT_VERSION:
            raise ModelFileError(
                f"{path}: has format version {version}, this sdv_wgangp reads {FORMAT_VERSION}: "
                "fit the model again"
            )
        unsigned = data.replace(f'"{digest}"'.encode(), f'"{UNSIGNED}"'.encode(), 1)
        if hashlib.sha256(unsigned).hexdigest() != digest:
            raise ModelFileError(
                f"{path}: was changed or cut short after it was saved (its SHA-256 checksum does "
                "not match): copy it again or save the model again"
            )
        try:
            tensors = load(data)
            state = json.loads(tensors.pop(STATE).numpy().tobytes())
            versions = json.loads(metadata["versions"])
        except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise malformed(path, error) from error
        return cls(state, tensors, versions)


def malformed(path: str | Path, error: Exception) -> ModelFileError:
    """A file whose checksum is right and whose content is not."""
    return ModelFileError(
        f"{path}: does not hold a model ({type(error).__name__}: {error}); it was not written by "
        "save_model, or was tampered with"
    )


def _header(data: bytes) -> bytes:
    """The JSON at the beginning of a safetensors file, after its length in 8 bytes."""
    return data[8 : 8 + int.from_bytes(data[:8], "little")]
