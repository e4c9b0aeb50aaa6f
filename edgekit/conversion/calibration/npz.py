"""An .npz file read sample by sample: no array of it is ever whole in memory, compressed or not."""

from __future__ import annotations

import contextlib
import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from edgekit.cache import is_special, sha256_file
from edgekit.conversion.datasets import LABELS, ONE_INPUT, TARGETS, not_npz, reshaped
from edgekit.conversion.datasets import checked_names as _checked_names
from edgekit.errors import InputError
from edgekit.models.info import TensorSpec

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_SUFFIX = ".npy"
_DAMAGE = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, RuntimeError, OSError)
"""What damaged bytes surface as."""


@dataclass(frozen=True)
class Member:
    """One array of the file. `shape`: the first axis counts samples."""

    entry: str
    shape: tuple[int, ...]
    dtype: Any


class NpzFeed:
    """The samples of an .npz file whose arrays are named like the inputs."""

    def __init__(self, path: Path, inputs: Sequence[TensorSpec], role: str) -> None:
        """Raises InputError: E_DATA_MISSING, E_DATA (no .npz of plain arrays), E_DATA_NAMES, E_DATA_SHAPE,
        E_DATA_DTYPE."""
        self.name, self._path, self._role = path.name, path, role
        self.where = f"{role} data {path}"
        members = self._members()
        given = {spec.name for spec in inputs}
        for extra in {LABELS, TARGETS} - given:
            members.pop(extra, None)
        if len(inputs) == 1 and ONE_INPUT in members and inputs[0].name not in members:
            members = {inputs[0].name if name == ONE_INPUT else name: m for name, m in members.items()}
        _checked_names(members, inputs, path, role)
        self._in_order = [members[spec.name] for spec in inputs]
        self.count: int | None = self._checked_shapes(inputs)

    @property
    def sha256(self) -> str:
        return sha256_file(self._path)

    def _members(self) -> dict[str, Member]:
        import numpy as np

        try:
            if is_special(self._path):
                raise InputError(
                    f"{self.where} is a pipe or a device, no file", code="E_DATA", hint="give an .npz file"
                )
            with zipfile.ZipFile(self._path) as archive:
                found = {}
                for entry in archive.namelist():
                    with archive.open(entry) as stream:
                        found[entry.removesuffix(_SUFFIX)] = _header(np, stream, entry)
                return found
        except FileNotFoundError as error:
            raise InputError(
                f"{self.where}: {error.strerror}", code="E_DATA_MISSING", hint="check the path"
            ) from error
        except InputError:
            raise
        except _DAMAGE as error:
            raise not_npz(self._path, self._role, error) from error

    def _checked_shapes(self, inputs: Sequence[TensorSpec]) -> int:
        import numpy as np

        count = self._in_order[0].shape[0] if self._in_order and self._in_order[0].shape else 0
        for spec, member in zip(inputs, self._in_order, strict=True):
            where = f"{self.where}, '{spec.name}'"
            if member.shape and member.shape[0] != count:
                raise InputError(
                    f"{where}: {member.shape[0]} samples, the other inputs have {count}", code="E_DATA_SHAPE"
                )
            # An array of this shape and dtype that takes no memory.
            reshaped(np.broadcast_to(np.zeros((), dtype=member.dtype), member.shape), spec, where)
            if count == 0:
                raise InputError(f"{where}: no samples", code="E_DATA_SHAPE")
        return count

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        """Each sample's arrays in model order, as they are in the file. Raises InputError E_DATA where it is damaged."""
        import numpy as np

        try:
            with contextlib.ExitStack() as stack:
                archives = [stack.enter_context(zipfile.ZipFile(self._path)) for _ in self._in_order]
                streams = [
                    stack.enter_context(archive.open(member.entry))
                    for archive, member in zip(archives, self._in_order, strict=True)
                ]
                for stream, member in zip(streams, self._in_order, strict=True):
                    _header(np, stream, member.entry)
                for _ in range(self.count or 0):
                    yield tuple(
                        _one(np, stream, member)
                        for stream, member in zip(streams, self._in_order, strict=True)
                    )
        except InputError:
            raise
        except _DAMAGE as error:
            raise not_npz(self._path, self._role, error) from error


def _header(np: Any, stream: IO[bytes], entry: str) -> Member:
    """Raises ValueError where the entry is no plain array in C order."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"{entry} is in the format {version}")
    if dtype.hasobject:
        raise ValueError(f"{entry} holds objects")
    if fortran and len(shape) > 1:
        raise ValueError(f"{entry} is in Fortran order; save numpy.ascontiguousarray of it")
    if any(not isinstance(size, int) or size < 0 for size in shape):
        raise ValueError(f"{entry} has the shape {shape}")
    return Member(entry, tuple(shape), dtype)


def _one(np: Any, stream: IO[bytes], member: Member) -> Array:
    size = math.prod(member.shape[1:]) * member.dtype.itemsize
    data = stream.read(size)
    if len(data) != size:
        raise ValueError(f"{member.entry} ends too early")
    found: Array = np.frombuffer(data, dtype=member.dtype).reshape(member.shape[1:])
    return found
