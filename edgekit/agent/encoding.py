"""The bytes of a put that do not travel as they are: zstd frames, and patches against a file of the device.

A patch is a zstd frame made with the base file as its prefix (what `zstd --patch-from` does). A dictionary of raw
content is not the same: it finds far less.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.agent.protocol import DATA_BYTES
from edgekit.cache import host_errors
from edgekit.errors import BugError, VerificationError

if TYPE_CHECKING:
    from backports.zstd import ZstdCompressor

WINDOW_LOG_MAX = 28
"""The agent's decoder takes windows of up to 256 MiB."""
PATCH_MAX_BYTES = 1 << WINDOW_LOG_MAX
"""Base and file of a patch are held in memory here, and the window of a patch there."""
_SAMPLE_BYTES = 64 << 10
_SAMPLES = 3
_PATCH_SAMPLE_BYTES = 32 << 10
_PATCH_SAMPLES = 16
_AROUND_BYTES = 128 << 10
"""How much of a base, on both sides of a sample's place, a sample is compared with."""

Source = Path | bytes


def _zstd() -> Any:
    """The same library under two names; imported only where something is compressed."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def source_size(source: Source) -> int:
    if isinstance(source, bytes):
        return len(source)
    with host_errors(source):
        return source.stat().st_size


def source_chunks(source: Source, offset: int, size: int) -> Iterator[bytes]:
    """The bytes of a source from `offset` to `size`. Raises VerificationError (E_SOURCE_CHANGED) where it ends
    before."""
    if isinstance(source, bytes):
        for at in range(offset, size, DATA_BYTES):
            yield source[at : min(at + DATA_BYTES, size)]
        return
    left = size - offset
    with host_errors(source), open(source, "rb", buffering=0) as file:
        file.seek(offset)
        while left and (chunk := file.read(min(DATA_BYTES, left))):
            left -= len(chunk)
            yield chunk
    if left:
        raise VerificationError(f"{source} became shorter while it was sent", code="E_SOURCE_CHANGED")


def zstd_chunks(source: Source, offset: int, size: int, level: int = 1) -> Iterator[tuple[bytes, int]]:
    """A zstd frame of the bytes from `offset` on, in pieces, each with how many bytes of the source are in the
    pieces so far. A few MB of memory, however long the source is."""
    zstd = _zstd()
    parameter = zstd.CompressionParameter
    compressor = zstd.ZstdCompressor(options={parameter.compression_level: level, parameter.checksum_flag: 0})
    yield from _compressed(compressor, source_chunks(source, offset, size), size - offset)


def patch_chunks(
    source: Source, base: Source, offset: int, size: int, level: int = 1
) -> Iterator[tuple[bytes, int]]:
    """As `zstd_chunks`, with the whole of `base` as prefix. Both are at most PATCH_MAX_BYTES (BugError)."""
    with _content(base) as prefix:
        if max(len(prefix), size) > PATCH_MAX_BYTES:
            raise BugError(f"a patch of {size} bytes against {len(prefix)}: more than {PATCH_MAX_BYTES}")
        compressor = _with_prefix(prefix, size, level)  # it holds a copy of the base, so the mapping may go
    yield from _compressed(compressor, source_chunks(source, offset, size), size - offset)


def _with_prefix(prefix: bytes | mmap.mmap, size: int, level: int) -> ZstdCompressor:
    zstd = _zstd()
    parameter = zstd.CompressionParameter
    options = {
        parameter.compression_level: level,
        parameter.window_log: min(WINDOW_LOG_MAX, max(10, (len(prefix) + size).bit_length())),
        parameter.enable_long_distance_matching: 1,
        parameter.checksum_flag: 0,
    }
    # the empty prefix is none
    made_with = zstd.ZstdDict(prefix, is_raw=True).as_prefix if len(prefix) >= 8 else None
    compressor: ZstdCompressor = zstd.ZstdCompressor(options=options, zstd_dict=made_with)
    return compressor


def _compressed(
    compressor: ZstdCompressor, chunks: Iterator[bytes], total: int
) -> Iterator[tuple[bytes, int]]:
    compressor.set_pledged_input_size(total)
    taken = 0
    for chunk in chunks:
        taken += len(chunk)
        if piece := compressor.compress(chunk):
            yield piece, taken
    yield compressor.flush(compressor.FLUSH_FRAME), taken


def patch_file(source: Source, base_source: Source, target: Path, *, offset: int = 0, level: int = 1) -> int:
    """Write a whole patch to `target`, so that its size is known before one decides to send it (`PutSpec.wire`).
    Returns that size in bytes.

    Raises BugError beyond PATCH_MAX_BYTES, VerificationError where the source changes meanwhile, HostError."""
    written = 0
    with host_errors(target), open(target, "wb") as file:
        for piece, _ in patch_chunks(source, base_source, offset, source_size(source), level):
            written += file.write(piece)
    return written


def sample_ratio(source: Source) -> float:
    """Plain over compressed size, of three samples of 64 KiB at level 1; 1.0 for an empty source."""
    zstd = _zstd()
    with _content(source) as data:
        places = _places(len(data), _SAMPLES, _SAMPLE_BYTES)
        samples = [bytes(data[at : at + _SAMPLE_BYTES]) for at in places]
    plain = sum(map(len, samples))
    return plain / sum(len(zstd.compress(sample, level=1)) for sample in samples) if plain else 1.0


def sample_patch_bytes(source: Source, base: Source) -> int:
    """How large a patch may be, by samples, each against the base around the same place: a guess that costs a few
    milliseconds. Too high where content has moved by more than 128 KiB."""
    with _content(source) as data, _content(base) as old:
        made = plain = 0
        for at in _places(len(data), _PATCH_SAMPLES, _PATCH_SAMPLE_BYTES):
            sample = bytes(data[at : at + _PATCH_SAMPLE_BYTES])
            around = bytes(old[max(0, at - _AROUND_BYTES) : at + len(sample) + _AROUND_BYTES])
            compressor = _with_prefix(around, len(sample), 1)
            made += len(compressor.compress(sample, mode=compressor.FLUSH_FRAME))
            plain += len(sample)
        return len(data) * made // plain if plain else 0


def _places(size: int, count: int, each_bytes: int) -> list[int]:
    """Where samples of a file begin: evenly spread, its beginning and its end among them."""
    last = max(0, size - each_bytes)
    return sorted({last * i // (count - 1) for i in range(count)})


@contextmanager
def _content(source: Source) -> Iterator[bytes | mmap.mmap]:
    if isinstance(source, bytes):
        yield source
        return
    with host_errors(source), open(source, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped
