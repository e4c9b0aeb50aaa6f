"""Frames of the agent's protocol as the fuzzer sees them: taken apart by a schema, changed, put together. Pure.

A schema is a word per field: 1, 4, 8 (a number of so many bytes), r32 (so many bytes), s (string or blob), L (list of
strings), N (list of u32), I (items of a batch), * (the rest). Every change is made by a seeded random.Random.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, replace

HEADER = struct.Struct("<IIB")
DATA, CANCEL, PUT, GET, RUN, SAMPLE, BATCH = 0x03, 0x04, 0x10, 0x11, 0x12, 0x13, 0x14
REMOVE, GLOB, OPENED, JOB_START, JOB_STATUS, JOB_KILL = 0x27, 0x2A, 0x2B, 0x35, 0x36, 0x38
SCHEMAS: dict[int, str] = {
    0x01: "*",
    0x02: "*",
    DATA: "*",
    CANCEL: "4",
    PUT: "s 4 8 8 r32 1 1 s 4",
    GET: "s 8 8",
    RUN: "L L s s 1 4 4 s",
    SAMPLE: "4 8 4 L",
    BATCH: "N I",
    0x20: "s 1",
    0x21: "s",
    0x22: "4 L",
    0x23: "s 4 s",
    0x24: "s 4",
    0x25: "s s 1",
    0x26: "s 4",
    REMOVE: "s 1",
    0x28: "s",
    0x29: "s",
    GLOB: "L 4 4",
    OPENED: "L",
    0x30: "s s 1 s",
    0x31: "",
    0x32: "s 4",
    0x33: "",
    0x34: "",
    JOB_START: "s L L s s 1 4 8",
    JOB_STATUS: "s",
    0x37: "",
    JOB_KILL: "s",
}
NUMBERS = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    31,
    32,
    100,
    255,
    256,
    4095,
    4096,
    65535,
    65536,
    1 << 20,
    (1 << 24) - 1,
    1 << 24,
)
LARGE = (1 << 31, (1 << 32) - 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
WORDS = (
    b"",
    b"/",
    b".",
    b"..",
    b"/root",
    b"/root/",
    b"/root/..",
    b"/root/../outside",
    b"/root/link/file",
    b"/outside/file",
    b"/root/models/*/*/manifest.json",
    b"/root/*/.*.ek-tmp",
    b"/root/[",
    b"/root/\\",
    b"/root/" + b"*" * 60,
    b"/root/" + b"a/" * 40,
    b"/root/" + b"n" * 300,
    b"/root/file",
    b"/root/base",
    b"/root/new\nline",
    b"/root/\xff\xfe",
    b"a\0b",
    b"../escape",
    b"/proc/self/maps",
    b"/nowhere",
)
CONFINED = (REMOVE, GLOB, OPENED, JOB_START, JOB_STATUS, JOB_KILL)
"""What stays inside ROOT whatever the host says."""
ESCAPES = (
    *WORDS,
    b"/outside/*",
    b"/outside/folder",
    b"/outside/[a-z]*/file",
    b"/root/link/*",
    b"/root/link/folder",
    b"/root/*/../../outside/*",
    b"/root/l*/file",
    b"../outside/job",
    b"/root/../outside/folder/",
    b"/root/./../outside/file",
    b"//outside//file",
)
HARMLESS = (b"/bin/true", b"/nowhere/at/all")
Field = int | bytes | list["Field"] | list[tuple[int, bytes]]


@dataclass(frozen=True)
class Frame:
    type: int
    id: int
    payload: bytes
    claims: int | None = None
    """The length that the header says, where it is not that of the payload."""

    def pack(self) -> bytes:
        length = len(self.payload) if self.claims is None else self.claims
        return HEADER.pack(length & 0xFFFF_FFFF, self.id & 0xFFFF_FFFF, self.type & 0xFF) + self.payload


def split(stream: bytes) -> list[Frame]:
    """A recorded conversation as frames; a torn end is left out."""
    frames, at = [], 0
    while len(stream) - at >= HEADER.size:
        length, request, kind = HEADER.unpack_from(stream, at)
        at += HEADER.size
        frames.append(Frame(kind, request, stream[at : at + length]))
        at += length
    return frames


class _Cut(Exception):
    """The payload is shorter than its schema."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def raw(self, count: int) -> bytes:
        part = self.data[self.at : self.at + count]
        if len(part) < count:
            raise _Cut
        self.at += count
        return part

    def number(self, size: int) -> int:
        return int.from_bytes(self.raw(size), "little")

    def blob(self) -> bytes:
        return self.raw(self.number(4))

    def count(self) -> int:
        count = self.number(4)
        if count > len(self.data):
            raise _Cut
        return count


def take_apart(kind: int, payload: bytes) -> list[Field] | None:
    """The fields, or None where the payload is not of its schema."""
    r = _Reader(payload)
    fields: list[Field] = []
    try:
        for word in SCHEMAS.get(kind, "*").split():
            if word in "148":
                fields.append(r.number(int(word)))
            elif word == "r32":
                fields.append(r.raw(32))
            elif word == "s":
                fields.append(r.blob())
            elif word == "L":
                fields.append([r.blob() for _ in range(r.count())])
            elif word == "N":
                fields.append([r.number(4) for _ in range(r.count())])
            elif word == "I":
                fields.append([(r.number(1), r.blob()) for _ in range(r.count())])
            else:
                fields.append(r.raw(len(payload) - r.at))
    except _Cut:
        return None
    return fields if r.at == len(payload) else None


def _text(value: bytes) -> bytes:
    return len(value).to_bytes(4, "little") + value


def put_together(kind: int, fields: list[Field]) -> bytes:
    parts: list[bytes] = []
    for word, value in zip(SCHEMAS.get(kind, "*").split(), fields, strict=True):
        if isinstance(value, int):
            size = int(word)
            parts.append((value & ((1 << 8 * size) - 1)).to_bytes(size, "little"))
        elif isinstance(value, bytes):
            parts.append(_text(value) if word == "s" else value)
        else:
            parts.append(len(value).to_bytes(4, "little"))
            for item in value:
                parts.append(_item(item))
    return b"".join(parts)


def _item(item: object) -> bytes:
    if isinstance(item, tuple):
        return bytes([item[0] & 0xFF]) + _text(item[1])
    if isinstance(item, int):
        return (item & 0xFFFF_FFFF).to_bytes(4, "little")
    assert isinstance(item, bytes)
    return _text(item)


def bytes_changed(rng: random.Random, data: bytes) -> bytes:
    """Somewhere a bit, a byte, a piece."""
    if not data:
        return rng.randbytes(rng.randrange(1, 9))
    at = rng.randrange(len(data))
    match rng.randrange(6):
        case 0:
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        case 1:
            return data[:at] + bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF))]) + data[at + 1 :]
        case 2:
            return data[:at]
        case 3:
            return data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at:]
        case 4:
            return data[:at] + data[at + rng.randrange(1, 9) :]
        case _:
            end = at + rng.randrange(1, 33)
            return data[:end] + data[at:end] * rng.randrange(1, 4) + data[end:]


def _value(rng: random.Random, value: Field, words: tuple[bytes, ...] = WORDS) -> Field:
    if isinstance(value, int):
        wide = rng.choice(NUMBERS if rng.random() < 0.7 else LARGE)
        return rng.choice((wide, value + 1, max(0, value - 1), value ^ 1 << rng.randrange(8)))
    if isinstance(value, bytes):
        return rng.choice(words) if rng.random() < 0.6 else bytes_changed(rng, value)
    items = list(value)
    if items and rng.random() < 0.6:
        at = rng.randrange(len(items))
        item = items[at]
        if isinstance(item, tuple):
            items[at] = (item[0], changed_payload(rng, item[0], item[1]))
        else:
            items[at] = _value(rng, item, words)  # type: ignore[arg-type]
    elif items and rng.random() < 0.5:
        items += items[: rng.randrange(1, 4)] * rng.choice((1, 1, 2, 50))
    else:
        items = items[: rng.randrange(len(items) + 1)]
    return items  # type: ignore[return-value]


def changed_payload(rng: random.Random, kind: int, payload: bytes) -> bytes:
    """One field by its schema or, now and then, any byte: that is mostly malformed, and ends the agent."""
    fields = take_apart(kind, payload) if rng.random() < 0.97 else None
    if not fields or SCHEMAS.get(kind, "*") == "*":
        return bytes_changed(rng, payload)
    at = rng.randrange(len(fields))
    fixed = SCHEMAS[kind].split()[at].startswith("r")
    fields[at] = (
        rng.randbytes(32) if fixed else _value(rng, fields[at], ESCAPES if kind in CONFINED else WORDS)
    )
    return put_together(kind, fields)


def changed_frame(rng: random.Random, frame: Frame) -> Frame:
    roll = rng.random()
    if roll < 0.92:
        return replace(frame, payload=changed_payload(rng, frame.type, frame.payload))
    if roll < 0.97:
        return replace(frame, id=rng.choice((0, 1, 2, 3, frame.id + 1, (1 << 32) - 1)))
    if roll < 0.985:
        return replace(frame, type=rng.choice(tuple(SCHEMAS)))
    if roll < 0.993:
        return replace(frame, type=rng.randrange(256))
    return replace(
        frame, claims=rng.choice((0, 1, len(frame.payload) + 1, 1 << 24, (1 << 24) + 1, (1 << 32) - 1))
    )


def mutated(rng: random.Random, frames: list[Frame], other: list[Frame]) -> list[Frame]:
    """A few changes of one conversation; `other`: one to take frames from."""
    frames = list(frames)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        if not frames:
            return list(other)
        at = rng.randrange(len(frames))
        roll = rng.random()
        if roll < 0.7:
            frames[at] = changed_frame(rng, frames[at])
        elif roll < 0.76:
            del frames[at]
        elif roll < 0.82:
            frames.insert(rng.randrange(len(frames) + 1), frames[at])
        elif roll < 0.88:
            to = rng.randrange(len(frames))
            frames[at], frames[to] = frames[to], frames[at]
        elif roll < 0.94 and other:
            cut = rng.randrange(len(other))
            frames[at:at] = other[cut : cut + rng.randrange(1, 5)]
        else:
            target = (rng.choice(frames).id & 0xFFFF_FFFF).to_bytes(4, "little")
            frames.insert(at, Frame(CANCEL, rng.randrange(50, 60), target))
    return [defanged(frame) for frame in frames[:64]]


def defanged(frame: Frame) -> Frame:
    """What a frame starts is always harmless, also where it is an item of a batch."""
    fields = take_apart(frame.type, frame.payload)
    if fields is None:
        return frame  # it is refused as malformed
    if frame.type == BATCH:
        items = [(kind, defanged(Frame(kind, 0, data)).payload) for kind, data in fields[1]]  # type: ignore
        return replace(frame, payload=put_together(BATCH, [fields[0], items]))
    if frame.type in (RUN, JOB_START):
        place = 0 if frame.type == RUN else 1
        argv = fields[place]
        assert isinstance(argv, list)
        if argv and argv[0] not in HARMLESS:
            fields[place] = [HARMLESS[0], *argv[1:]]  # type: ignore[list-item]
            return replace(frame, payload=put_together(frame.type, fields))
    return frame


def may_leave_root(frames: list[Frame]) -> bool:
    """Whether what these frames ask for may rightly change files outside of ROOT: only a few requests stay inside by
    themselves, the others do what the host says."""
    for frame in frames:
        fields = take_apart(frame.type, frame.payload)
        if frame.type == BATCH and fields is not None:
            items = [Frame(kind, 0, data) for kind, data in fields[1]]  # type: ignore[misc]
            if may_leave_root(items):
                return True
        elif frame.type == REMOVE and fields is not None and isinstance(fields[1], int):
            if not fields[1] & 4:
                return True
        elif frame.type not in (*CONFINED, DATA) and (
            b"outside" in frame.payload or b".." in frame.payload or b"link" in frame.payload
        ):
            return True
    return False
