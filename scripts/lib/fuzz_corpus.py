"""The conversations that the fuzzer starts from, made by edgekit's own requests: tests/agent/corpus/*.bin.

They are kept as files, so that a seed means the same tomorrow, and made anew when the protocol changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fuzz_target import BASE

from edgekit.agent import requests as rq
from edgekit.agent.batches import batch_payload
from edgekit.agent.encoding import patch_chunks, zstd_chunks
from edgekit.agent.protocol import ENCODING_BYTES, Encoding, Packer, Type, pack_frame
from edgekit.agent.requests import Request, launch_fields

TEXT = b"weights and more weights, " * 30 + BASE[:300]
NEW = BASE[:900] + b"changed in the middle" + BASE[921:]


def _ask(number: int, request: Request[Any]) -> bytes:
    return pack_frame(request.type, number, request.payload)


def _put(number: int, data: bytes, encoding: Encoding = "raw", *, offset: int = 0, after: int = 0) -> bytes:
    head = Packer().text(f"/root/new{number}").u32(0o644).u64(len(data)).u64(offset)
    head.raw(hashlib.sha256(data).digest()).u8(number % 2).u8(ENCODING_BYTES[encoding])
    head.text("/root/base" if encoding in ("patch", "copy") else "").u32(after)
    parts = [pack_frame(Type.PUT, number, head.done())]
    if encoding == "raw":
        half = (len(data) + offset) // 2
        parts += [pack_frame(Type.DATA, number, part) for part in (data[offset:half], data[half:]) if part]
    elif encoding != "copy":
        pieces = (
            zstd_chunks(data, offset, len(data))
            if encoding == "zstd"
            else patch_chunks(data, BASE, offset, len(data))
        )
        whole = b"".join(piece for piece, _ in pieces)
        half = len(whole) // 2
        parts += [pack_frame(Type.DATA, number, part) for part in (whole[:half], whole[half:])]
        parts.append(pack_frame(Type.DATA, number))
    return b"".join(parts)


def _launch(argv: list[str], cwd: str | None = None) -> Packer:
    return launch_fields(argv, {"A": "b", "HOME": None}, cwd, [0], 3)


def _resumed() -> bytes:
    part = rq.write("/root/.new6.ek-tmp", TEXT[:200])
    return _ask(1, part) + _put(6, TEXT, "zstd", offset=200) + _ask(2, rq.stat("/root/new6", sha256=True))


def conversations() -> Iterator[tuple[str, bytes]]:
    """(name, frames) of each."""
    yield (
        "files",
        b"".join(
            _ask(n, request)
            for n, request in enumerate(
                (
                    rq.mkdir("/root/a/b"),
                    rq.write("/root/a/b/f", b"1"),
                    rq.stat("/root/a/b/f", sha256=True),
                    rq.stat("/root/link", follow=False),
                    rq.read(["/root/file", "/root/layout", "/proc/uptime"], max_bytes=100),
                    rq.chmod("/root/a", 0o700),
                    rq.rename("/root/a/b/f", "/root/g"),
                    rq.list_dir("/root"),
                    rq.disk_space("/root"),
                    rq.fsync("/root/g"),
                    rq.remove("/root/a", recursive=True, sync=True),
                ),
                1,
            )
        ),
    )
    yield (
        "renames",
        b"".join(
            (
                _ask(1, rq.rename("/root/base", "/root/file", exchange=True)),
                _ask(2, rq.rename("/root/base", "/root/free", replace=False)),
                _ask(3, rq.rename("/root/file", "/root/free", replace=False)),
            )
        ),
    )
    yield ("put-raw", _put(1, TEXT) + _put(2, b""))
    yield ("put-zstd", _put(3, TEXT, "zstd") + _put(4, b"", "zstd"))
    yield ("put-patch", _put(5, NEW, "patch"))
    yield ("put-copy", _put(7, BASE[:1000], "copy") + _put(9, BASE, "copy"))
    yield ("put-resumed", _resumed())
    yield (
        "put-together",
        pack_frame(
            Type.BATCH, 1, batch_payload([rq.mkdir("/root/new"), rq.lease_acquire("fuzz", ttl_s=5)], ())
        )
        + _put(2, TEXT, "zstd", after=1)
        + _put(3, TEXT, after=1)
        + _put(4, NEW, "patch", after=1)
        + pack_frame(
            Type.BATCH,
            5,
            batch_payload([rq.rename("/root/new2", "/root/final"), rq.lease_release()], (1, 2, 3, 4)),
        ),
    )
    get = Packer().text("/root/base").u64(100).u64(1 << 40).done()
    yield ("get", pack_frame(Type.GET, 1, get) + pack_frame(Type.CANCEL, 2, Packer().u32(1).done()))
    yield (
        "run",
        pack_frame(Type.RUN, 1, _launch(["/bin/true", "a"], "/root").u32(1000).blob(b"input").done())
        + pack_frame(Type.RUN, 2, _launch(["/nowhere/at/all"]).u32(0).blob(b"").done())
        + pack_frame(Type.CANCEL, 3, Packer().u32(1).done()),
    )
    sample = Packer().u32(5).u64(3).u32(100).texts(["/proc/uptime", "/root/file", "/nowhere"]).done()
    yield (
        "sample",
        pack_frame(Type.SAMPLE, 1, sample) + pack_frame(Type.CANCEL, 2, Packer().u32(1).done()),
    )
    glob = rq.glob(
        ["/root/models/*/*/manifest.json", "/root/models/*/.*.ek-tmp", "/root/*", "/root/[a-f]*"],
        max_bytes=50,
    )
    yield ("glob", _ask(1, glob) + _ask(2, rq.glob(["/root/*/*/?"], max_bytes=10, max_total_bytes=5)))
    outside = ["/outside/*", "/root/link/*", "/root/../outside/file", "/outside/folder"]
    yield (
        "stays-inside",
        b"".join(
            (
                *(_ask(n, rq.glob([path], max_bytes=9)) for n, path in enumerate(outside, 10)),
                *(_ask(n, rq.remove(path, recursive=True)) for n, path in enumerate(outside, 20)),
                *(_ask(n, rq.opened([path])) for n, path in enumerate(outside, 30)),
                _ask(40, rq.job_start("../outside/job", ["/bin/true"])),
                _ask(41, rq.job_kill("../../outside")),
                _ask(42, rq.remove("/root/link", recursive=True)),
            )
        ),
    )
    yield ("opened", _ask(1, rq.opened(["/root", "/root/models/a", "/root/none"])))
    yield (
        "knobs",
        b"".join(
            _ask(n, request)
            for n, request in enumerate(
                (
                    rq.knob_set("/root/file", b"2"),
                    rq.knob_set("/root/layout", b"3", restore=b"1"),
                    rq.knob_restore(),
                ),
                1,
            )
        ),
    )
    yield (
        "lease",
        b"".join(
            _ask(n, request)
            for n, request in enumerate(
                (
                    rq.lease_acquire("somebody", ttl_s=3),
                    rq.lease_renew(),
                    rq.lease_release(),
                    rq.lease_renew(),
                ),
                1,
            )
        ),
    )
    yield (
        "jobs",
        b"".join(
            _ask(n, request)
            for n, request in enumerate(
                (
                    rq.job_start("job", ["/bin/true"], cwd="/root", deadline_s=5),
                    rq.job_status("job"),
                    rq.job_list(),
                    rq.job_kill("job"),
                ),
                1,
            )
        ),
    )
    yield (
        "batch",
        pack_frame(
            Type.BATCH,
            1,
            batch_payload(
                [
                    rq.mkdir("/root/x"),
                    rq.write("/root/x/current", b"1\n"),
                    rq.stat("/root/x/current", sha256=True),
                    rq.glob(["/root/x/*"], max_bytes=10),
                    rq.read(["/root/x/current"]),
                    rq.opened(["/root/x"]),
                    rq.remove("/root/x", recursive=True),
                    rq.chmod("/root/none", 0o600),
                ],
                (),
            ),
        )
        + pack_frame(Type.PING, 2, b"ping")
        + pack_frame(Type.PONG, 3, b""),
    )


def write_corpus(folder: Path) -> int:
    """Make all of it anew. Returns how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    names = set()
    for name, stream in conversations():
        (folder / f"{name}.bin").write_bytes(stream)
        names.add(f"{name}.bin")
    for path in folder.glob("*.bin"):
        if path.name not in names and not path.name.startswith("found-"):
            path.unlink()
    return len(names)
