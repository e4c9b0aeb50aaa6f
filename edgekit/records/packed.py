"""Bytes made small and whole: zstd with its checksum. What was kept as zlib, by older programs, is read as well."""

from __future__ import annotations

import sys
import threading
import zlib

LEVEL = 3
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_own = threading.local()
"""A compressor of each thread's own. Making one takes longer than packing the samples of a launch."""


def pack(data: bytes) -> bytes:
    """One zstd frame; `zstd -d` reads it."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    compressor = getattr(_own, "compressor", None)
    if compressor is None:
        parameter = zstd.CompressionParameter
        options: dict[int, int] = {parameter.compression_level: LEVEL, parameter.checksum_flag: 1}
        compressor = _own.compressor = zstd.ZstdCompressor(options=options)
    packed: bytes = compressor.compress(data, compressor.FLUSH_FRAME)
    return packed


def unpack(blob: bytes, max_bytes: int) -> bytes:
    """The inverse of `pack`. Raises ValueError for damaged bytes, and for more than `max_bytes` of them."""
    return (_unpacked_zstd if blob.startswith(_ZSTD_MAGIC) else _unpacked_zlib)(blob, max_bytes)


def _unpacked_zstd(blob: bytes, max_bytes: int) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    inflate = zstd.ZstdDecompressor()
    try:
        raw = inflate.decompress(blob, max_bytes)
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from error
    if not inflate.eof or inflate.unused_data:
        raise ValueError("wrong length")
    return raw


def _unpacked_zlib(blob: bytes, max_bytes: int) -> bytes:
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(blob, max_bytes)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not inflate.eof or inflate.unused_data:
        raise ValueError("wrong length")
    return raw
