"""A checksum behind a pickle.

Readers of pickles stop where the pickle ends: whoever does not know of the checksum reads the file
as ever.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

_MARK = b"sdv_wgangp sha256 "
_LENGTH = len(_MARK) + 64
# Protocols 2 to 5 begin with it.
_BEGINNING = b"\x80"
_BLOCK = 2**20


class DamagedPickleError(ValueError):
    """A pickle is not as it was written."""


def is_pickle(path: str | Path) -> bool:
    """Whether a file begins as pickles do."""
    with open(path, "rb") as file:
        start = file.read(2)
    return start[:1] == _BEGINNING and start[1:] in (b"\2", b"\3", b"\4", b"\5")


def sign(path: str | Path) -> None:
    """Add the checksum of a pickle to its file.

    Example:
        >>> import pickle, tempfile
        >>> path = Path(tempfile.mkdtemp()) / "list.pkl"
        >>> _ = path.write_bytes(pickle.dumps([1, 2]))
        >>> sign(path)
        >>> check(path)
        >>> pickle.loads(path.read_bytes())
        [1, 2]
    """
    digest = _digest(path, Path(path).stat().st_size)
    with open(path, "ab") as file:
        file.write(_MARK + digest.encode())


def check(path: str | Path) -> None:
    """Compare the checksum; without one there is nothing to compare.

    Raises:
        DamagedPickleError: It is another one.
    """
    size = Path(path).stat().st_size - _LENGTH
    if size < 0:
        return
    with open(path, "rb") as file:
        file.seek(size)
        end = file.read()
    if end.startswith(_MARK) and end[len(_MARK) :] != _digest(path, size).encode():
        raise DamagedPickleError(
            f"{path}: was changed after it was saved (its SHA-256 checksum does not match): copy "
            "it again or save the model again"
        )


def _digest(path: str | Path, size: int) -> str:
    """Of the first so many bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while size > 0 and (block := file.read(min(size, _BLOCK))):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()
