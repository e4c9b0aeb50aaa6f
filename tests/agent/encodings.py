"""What the tests of encodings share: contents, and a put whose every byte is ours."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from edgekit.agent.answers import read_failure
from edgekit.agent.protocol import ENCODING_BYTES, PUT_KEEP, Encoding, Frame, Packer, Type, pack_frame
from tests.agent.raw import Raw

SMALL = b"small weights, " * 40 + bytes(500) + random.Random(6).randbytes(60)


def weights(size: int, seed: int = 1) -> bytes:
    """Half of it compresses."""
    half = random.Random(seed).randbytes(size // 2)
    return half + bytes(range(256)) * ((size - size // 2) // 256) + bytes((size - size // 2) % 256)


def changed(data: bytes, at: int, count: int = 1000) -> bytes:
    return data[:at] + random.Random(at).randbytes(count) + data[at + count :]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Put:
    """One put whose every byte is ours."""

    def __init__(self, folder: Path, to: Raw, data: bytes, encoding: Encoding, **fields: object) -> None:
        self.to = to
        self.target = folder / "new"
        self.part = folder / ".new.ek-tmp"
        size, base = fields.get("size", len(data)), str(fields.get("base", ""))
        head = Packer().text(str(self.target)).u32(0o644).u64(int(str(size))).u64(0)
        head.raw(hashlib.sha256(data).digest()).u8(PUT_KEEP).u8(ENCODING_BYTES[encoding])
        to.stream.send(pack_frame(Type.PUT, 7, head.text(base).u32(0).done()))

    def send(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.to.stream.send(pack_frame(Type.DATA, 7, chunk))

    def answer(self) -> tuple[str, int]:
        """("", 0) where it went well."""
        frames: list[Frame] = []
        while not frames:
            frames = [f for f in self.to.more() if f.id == 7 and f.type in (Type.RESULT, Type.ERROR)]
        if frames[0].type == Type.RESULT:
            return "", 0
        failure = read_failure(frames[0].payload)
        return failure.op, failure.errno
