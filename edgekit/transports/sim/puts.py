"""One put on a simulated device: raw, zstd, patch or copy; whole under its name, or not at all."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

from edgekit.agent.failures import EBADMSG, EFBIG, EINVAL, ESTALE
from edgekit.agent.protocol import PUT_KEEP, Packer, Unpacker
from edgekit.transports.sim.device import SimDevice
from edgekit.transports.sim.files import File, FileError

_RAW, _ZSTD, _PATCH, _COPY = range(4)
_WINDOW_LOG_MAX = 28
_HEXDIGEST_BYTES = 32


class Put:
    """Made from a request's fields; raises FileError at once where it cannot be done. `complete` once all is there."""

    def __init__(self, device: SimDevice, u: Unpacker) -> None:
        self.path, self._mode = u.text(), u.u32()
        self._size, offset = u.u64(), u.u64()
        self._wanted, self._flags = u.raw(_HEXDIGEST_BYTES), u.u8()
        self._encoding, self._base = u.u8(), u.text()
        self.after = u.u32()
        self.complete = False
        self._files = device.files
        self._data = bytearray()
        self._decoder: Any = None
        self._offset = offset
        self._touched = False

    @property
    def size_bytes(self) -> int:
        return self._size

    def begin(self) -> None:
        if self._offset > self._size or self._encoding > _COPY or (self._base and self._encoding < _PATCH):
            raise FileError(EINVAL, "put", self.path)
        base = self._read_base()
        self._files.can_hold(self.path, "put")
        self._take_up()
        self._files.reserve(self._size - self._offset, self.path, "put")
        if self._encoding == _COPY:
            self._data += base[self._offset : self._size]
        elif self._encoding != _RAW:
            self._decoder = _decompressor(base)
        self.complete = self._decoder is None and len(self._data) == self._size

    def _read_base(self) -> bytes:
        if self._encoding < _PATCH:
            return b""
        try:
            base = self._files.read(self._base)
        except FileError as error:
            raise FileError(error.errno, "base", self._base) from error
        if self._encoding == _COPY and len(base) < self._size:
            raise FileError(ESTALE, "base", self._base)
        return base

    def _take_up(self) -> None:
        """What a put that was cut off has left; without an offset it is begun anew."""
        self._touched = True
        part = self._files.look(self._files.part_of(self.path))
        there = part.blob.data if isinstance(part, File) else b""
        if len(there) < self._offset:
            raise FileError(ESTALE, "put", self.path)
        self._data += there[: self._offset]
        if not self._offset:
            self._files.drop_part(self.path)

    def take(self, data: bytes) -> None:
        """A data frame. Raises FileError where the put has failed by it."""
        if self._decoder is None:
            self._add(data, "put")
            self.complete = len(self._data) == self._size
        elif data:
            self._decode(data)
        elif self._decoder.eof and len(self._data) == self._size:
            self.complete = True
        else:
            raise FileError(EBADMSG, "decode", self.path)

    def _decode(self, data: bytes) -> None:
        if self._decoder.eof:
            raise FileError(EBADMSG, "decode", self.path)
        try:
            self._add(self._decoder.decompress(data), "decode")
        except _zstd().ZstdError as error:
            raise FileError(EBADMSG, "decode", self.path) from error
        if self._decoder.unused_data:
            raise FileError(EBADMSG, "decode", self.path)

    def _add(self, data: bytes, op: str) -> None:
        if len(self._data) + len(data) > self._size:
            raise FileError(EFBIG, op, self.path)
        self._data += data

    def commit(self) -> bytes:
        """Check the hash and give the file its name; the answer's payload."""
        data = bytes(self._data)
        if hashlib.sha256(data).digest() != self._wanted:
            raise FileError(EBADMSG, "sha256", self.path)
        self._files.write(self.path, data, self._mode, "rename")
        self._files.drop_part(self.path)
        return Packer().u64(self._size).done()

    def give_up(self, op: str) -> None:
        """What has come is kept where that is wanted, and is the file's beginning for certain."""
        if not self._touched:
            return
        keep = self._flags & PUT_KEEP and self._data and op not in ("sha256", "decode")
        try:
            if keep:
                self._files.write(self._files.part_of(self.path), bytes(self._data), self._mode, "put")
            else:
                self._files.drop_part(self.path)
        except FileError:
            return  # a full or read-only device keeps nothing


def _zstd() -> Any:
    """Only where something is decoded."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _decompressor(base: bytes) -> Any:
    zstd = _zstd()
    options = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX}
    prefix = zstd.ZstdDict(base, is_raw=True).as_prefix if len(base) >= 8 else None
    return zstd.ZstdDecompressor(zstd_dict=prefix, options=options)
