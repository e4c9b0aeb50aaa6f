"""weight.bin: the blobs of a Core ML package (MIL blob storage, version 2), read without coremltools.

    header, 64 bytes:    uint32 number of blobs, uint32 version (2), reserved
    metadata, 64 bytes:  uint32 0xDEADBEEF, uint32 data type, uint64 size in bytes, uint64 offset of the data,
                         uint64 bits of padding at its end, reserved
    data, at its offset

A program points at the metadata. Everything is little-endian; metadata and data begin at multiples of 64. Every
number is checked against the length of the file before bytes are read.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit_ios.mil.dtypes import Kind, decode
from edgekit_ios.mil.errors import damaged

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_HEADER = struct.Struct("<II")
_METADATA = struct.Struct("<IIQQQ")
_SENTINEL = 0xDEADBEEF
_VERSION = 2
_HEADER_BYTES = 64
_METADATA_BYTES = 64


class BlobFile:
    """One file of weights."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError E_MODEL_LOAD."""
        self._path = path
        self._size_bytes = 0
        head = self._bytes(0, _HEADER_BYTES, "its header", size_bytes=_length(path))
        count, version = _HEADER.unpack_from(head)
        self._size_bytes = _length(path)
        if version != _VERSION:
            raise damaged(f"{path.name} is of version {version}, known is {_VERSION}")
        if count * _METADATA_BYTES > self._size_bytes:
            raise damaged(f"{path.name} claims {count} blobs and has {self._size_bytes} bytes")

    def read(self, offset: int, kind: Kind, count: int) -> Array:
        """`count` elements whose metadata is at `offset`. Raises ModelError E_MODEL_LOAD."""
        what = f"the blob at {offset}"
        if offset < _HEADER_BYTES or offset % 64:
            raise damaged(f"{self._path.name}: {what} begins where none can")
        sentinel, dtype, size_bytes, start, padding_bits = _METADATA.unpack_from(
            self._bytes(offset, _METADATA_BYTES, what)
        )
        if sentinel != _SENTINEL:
            raise damaged(f"{self._path.name}: there is no blob at {offset}")
        if kind.blob is None or dtype != kind.blob:
            raise damaged(
                f"{self._path.name}: {what} is of type {dtype}, the program says {kind.name} ({kind.blob})"
            )
        if size_bytes != kind.bytes_of(count) or padding_bits not in (0, size_bytes * 8 - count * kind.bits):
            raise damaged(
                f"{self._path.name}: {what} has {size_bytes} bytes ({padding_bits} bits unused), the program wants "
                f"{count} elements of {kind.name}"
            )
        return decode(self._bytes(start, size_bytes, what), kind, count)

    def _bytes(self, start: int, length: int, what: str, size_bytes: int | None = None) -> bytes:
        end = self._size_bytes if size_bytes is None else size_bytes
        if start + length > end:
            raise damaged(f"{self._path.name} ends at {end}, {what} would end at {start + length}")
        try:
            with open(self._path, "rb") as file:
                file.seek(start)
                data = file.read(length)
        except OSError as error:
            raise damaged(f"{self._path.name} cannot be read: {error.strerror or error}") from error
        if len(data) != length:
            raise damaged(f"{self._path.name} ended while {what} was read")
        return data


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise damaged(f"{path.name} cannot be read: {error.strerror or error}") from error
