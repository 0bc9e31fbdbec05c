"""Tensor files: safetensors, with JSON beside the tensors and a checksum over every byte.

The file's ``__metadata__`` says what it is (``format``, ``format_version``), what its writer says
about it and what it hashes to; ``state.json`` among the tensors is the JSON, as UTF-8 bytes.
Reading it parses JSON and copies numbers, and does nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from sdv_wgangp.persistence.durable import write_durably

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

STATE = "state.json"
# What the checksum field holds while the checksum is taken.
UNSIGNED = "0" * 64
_SIGNATURE = b'"sha256":"'
# What JSON can make of brackets within brackets, and of an infinite number.
_DEEP_OR_ENDLESS = (RecursionError, OverflowError)
DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


class ModelFileError(ValueError):
    """A model cannot be written to a model file, or a file is none; the message says why."""


@dataclass(frozen=True)
class TensorFile:
    """What a file of one format holds; each format is a subclass.

    Attributes:
        state: Anything that JSON can express.
        tensors: By name; of any shape and of the dtypes of safetensors.
        about: Of its writer, in JSON; beside the checksum, so that other tools can read it.
    """

    state: Any
    tensors: dict[str, torch.Tensor]
    about: dict[str, Any]

    FORMAT: ClassVar[str]
    FORMAT_VERSION: ClassVar[int]
    ABOUT: ClassVar[str]  # name of the field
    ERROR: ClassVar[type[ValueError]]
    VERSION_ERROR: ClassVar[type[ValueError]]  # a whole file of another format version
    # For messages: what the file is called, what it holds, who makes it, and the remedies for a
    # file of an earlier version and for one that was changed.
    NAME: ClassVar[str]
    CONTENT: ClassVar[str]
    ORIGIN: ClassVar[str]
    EARLIER: ClassVar[str]
    CHANGED: ClassVar[str]

    def write(self, path: str | Path) -> None:
        """Write the file; it appears under its name when it is complete and on the disk.

        Raises:
            OSError: As `write_durably`.
        """
        text = json.dumps(self.state, separators=(",", ":"), allow_nan=False).encode()
        metadata = {
            "format": self.FORMAT,
            "format_version": str(self.FORMAT_VERSION),
            self.ABOUT: json.dumps(self.about, allow_nan=False),
            "sha256": UNSIGNED,
        }
        state = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        header, *rest = safetensors_parts(self.tensors | {STATE: state}, metadata)
        digest = hashlib.sha256(header)
        for part in rest:
            digest.update(part)
        # In the JSON of any text the quotes would be escaped.
        unsigned, signed = (_SIGNATURE + each.encode() for each in (UNSIGNED, digest.hexdigest()))
        write_durably(path, header.replace(unsigned, signed, 1), *rest)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a file that `write` made.

        Raises:
            FileNotFoundError: There is none at ``path``.
            ERROR: It is of another kind, or not as it was written.
            VERSION_ERROR: It is of an earlier or later format version.
        """
        data = Path(path).read_bytes()
        try:
            header = _header(data)
            metadata = json.loads(header)["__metadata__"]
            foreign = metadata["format"] != cls.FORMAT
            digest, version = metadata["sha256"], int(metadata["format_version"])
            start = header.find(_SIGNATURE + digest.encode()) + 8 + len(_SIGNATURE)
        except (ValueError, KeyError, TypeError, AttributeError, *_DEEP_OR_ENDLESS):
            foreign = True
        if foreign:
            raise cls.ERROR(
                f"{path}: is not a {cls.NAME} of sdv_wgangp, or only the beginning of one; "
                f"{cls.ORIGIN}"
            )
        view = memoryview(data)
        signed = hashlib.sha256(view[:start])
        signed.update(UNSIGNED.encode())
        signed.update(view[start + len(digest) :])
        whole = signed.hexdigest() == digest
        if version != cls.FORMAT_VERSION:
            later = version > cls.FORMAT_VERSION
            raise (cls.VERSION_ERROR if whole else cls.ERROR)(
                f"{path}: has format version {version}, this sdv_wgangp reads "
                f"{cls.FORMAT_VERSION}: {'upgrade sdv-wgangp' if later else cls.EARLIER}"
            )
        if not whole:
            raise cls.ERROR(
                f"{path}: was changed or cut short after it was saved (its SHA-256 checksum does "
                f"not match): {cls.CHANGED}"
            )
        try:
            tensors = load(data)
            state = json.loads(tensors.pop(STATE).numpy().tobytes())
            about = json.loads(metadata[cls.ABOUT])
        except (SafetensorError, ValueError, KeyError, TypeError, *_DEEP_OR_ENDLESS) as error:
            raise cls.malformed(path, error) from error
        return cls(state, tensors, about)

    @classmethod
    def malformed(cls, path: str | Path, error: Exception) -> ValueError:
        """The error for a file whose checksum is right and whose content is not."""
        return cls.ERROR(
            f"{path}: does not hold a {cls.CONTENT} ({type(error).__name__}: {error}); it was not "
            "written by sdv_wgangp, or was tampered with"
        )


class ModelFile(TensorFile):
    """A model; `about` is the releases that wrote it, by package."""

    FORMAT, FORMAT_VERSION, ABOUT = "sdv_wgangp", 4, "versions"
    ERROR = VERSION_ERROR = ModelFileError
    NAME, CONTENT = "model file", "model"
    ORIGIN = (
        "model files are made by save_model (a pickle made by save is loaded with SDV's "
        "load_synthesizer)"
    )
    EARLIER = "fit the model again"
    CHANGED = "copy it again or save the model again"


def is_tensor_file(path: str | Path) -> bool:
    """Whether a file begins as those of safetensors do."""
    with open(path, "rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < 2**40


def safetensors_parts(
    tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> tuple[bytes, Unpack[tuple[memoryview, ...]]]:
    """A file that safetensors reads, in parts: a header, and the memory of the tensors itself.

    `safetensors.torch.save` would hold the tensors three times, and refuses those that share
    memory.

    Args:
        tensors: Of any shape and of `DTYPES`; on the CPU they are not copied unless they are not
            contiguous.
        metadata: Of the file.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    parts, end = [], 0
    # Wide numbers first: each then begins where its kind may begin in memory.
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].element_size()):
        flat = bytes_of(tensor.detach().cpu())
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [end, end + len(flat)],
        }
        end += len(flat)
        parts.append(flat.numpy().data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, *parts


def bytes_of(tensor: torch.Tensor) -> torch.Tensor:
    """The memory of a tensor in the order of its elements, ``[bytes]`` of uint8; a view if it can.

    Example:
        >>> bytes_of(torch.tensor([1, 256], dtype=torch.int16)).tolist()
        [1, 0, 0, 1]
    """
    # A contiguous tensor of one element can have any stride; `view` wants 1.
    flat = tensor.contiguous().as_strided((tensor.numel(),), (1,))
    return flat.view(torch.uint8)


def _header(data: bytes) -> bytes:
    """The JSON at the beginning of a safetensors file, after its length in 8 bytes."""
    return data[8 : 8 + int.from_bytes(data[:8], "little")]
