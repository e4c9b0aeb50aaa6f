"""A small device-side ADB daemon, only for what a real adbd does not do on demand.

Faults: death (or silence) at byte N of what is sent or received, in the middle of a packet; a device that takes
connections and never answers, at all or once it is connected; one that never accepts the host's key; garbage.
Old dialect (no features): `shell:` runs in a terminal (both outputs in one, CRLF, no exit code) and `exec:` is
closed, as before Android 5.

Protocol: AOSP's docs/dev/protocol.md, docs/dev/sync.md and shell_protocol.h (packages/modules/adb). Usage:
python -m tests.targets.faultd SETTINGS-JSON; then a JSON object a line on stdin changes settings (counters begin anew), "ok" answers.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from tests.targets.faultd_wire import Daemon, Ended, Settings, Stream

_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
_CHUNK = 64 * 1024
_STAT = "stat -c '%f %s %Y' -- {}"
_LIST = "cd {} || exit 1; for name in .* *; do stat -c '%f %s %Y %n' -- \"$name\"; done 2>/dev/null; true"


async def run_service(stream: Stream, service: str) -> None:
    """Serve one stream to its end, and tell the host that it ended."""
    try:
        await _serve(stream, service)
    except Ended:
        pass
    except OSError as error:
        print(f"{service}: {error}", file=sys.stderr)
    finally:
        with suppress(Ended, OSError):
            await stream.close()
        stream.end()


async def _serve(stream: Stream, service: str) -> None:
    settings = stream.connection.settings
    name, _, argument = service.partition(":")
    words = name.split(",")
    run: Callable[[Stream, str], Coroutine[Any, Any, None]]
    if words[0] == "shell" and "v2" in words and "shell_v2" in settings.features:
        run = shell_v2
    elif name == "exec" and settings.exec_service:
        run = raw
    elif name in ("shell", "sync"):
        run = {"shell": terminal, "sync": sync}[name]
    else:
        return await stream.refuse()
    await stream.accept()
    await run(stream, argument)


async def start(stream: Stream, command: str, **pipes: Any) -> asyncio.subprocess.Process:
    argv = [*stream.connection.settings.shell, command]
    return await asyncio.create_subprocess_exec(*argv, start_new_session=True, **pipes)


def hang_up(process: asyncio.subprocess.Process) -> None:
    """What a command gets when its stream ends, also while it prints nothing; not those of `exec:`."""
    if process.returncode is None:
        with suppress(ProcessLookupError):  # it ended just now
            os.killpg(process.pid, signal.SIGHUP)


async def shell_v2(stream: Stream, command: str) -> None:
    pipe = asyncio.subprocess.PIPE
    process = await start(stream, command, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdin
    stream.at_end = partial(hang_up, process)
    feeder = asyncio.create_task(_feed_v2(stream, process.stdin))
    try:
        outputs = ((_STDOUT, process.stdout), (_STDERR, process.stderr))
        await asyncio.gather(*(_tell_v2(stream, kind, output) for kind, output in outputs if output))
        code = await process.wait()
        await stream.write(struct.pack("<BIB", _EXIT, 1, code if code >= 0 else 128 - code))
    finally:
        feeder.cancel()
        hang_up(process)


async def _tell_v2(stream: Stream, kind: int, output: asyncio.StreamReader) -> None:
    while data := await output.read(_CHUNK):
        await stream.write(struct.pack("<BI", kind, len(data)) + data)


async def _feed_v2(stream: Stream, stdin: asyncio.StreamWriter) -> None:
    try:
        while True:
            kind, size = struct.unpack("<BI", await stream.read_exactly(5))
            data = await stream.read_exactly(size)
            if kind == _STDIN:
                stdin.write(data)
                await stdin.drain()
            elif kind == _CLOSE_STDIN:
                stdin.close()
    except (Ended, OSError):
        stdin.close()


async def raw(stream: Stream, command: str) -> None:
    """`exec:`: bytes as they are, both outputs in one; no exit code."""
    pipe = asyncio.subprocess.PIPE
    process = await start(stream, command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    assert process.stdin
    assert process.stdout
    feeder = asyncio.create_task(_feed_raw(stream, process.stdin.write))
    try:
        while data := await process.stdout.read(_CHUNK):
            await stream.write(data)
    finally:
        feeder.cancel()
        hang_up(process)


async def _feed_raw(stream: Stream, write: Any) -> None:
    try:
        while True:
            write(await stream.read())
    except (Ended, OSError):
        return


async def terminal(stream: Stream, command: str) -> None:
    """The old `shell:`: a terminal that echoes, ends lines with CRLF and knows no exit code."""
    master, slave = os.openpty()
    os.set_blocking(master, False)
    try:
        process = await start(stream, command or "sh", stdin=slave, stdout=slave, stderr=slave)
    finally:
        os.close(slave)
    stream.at_end = partial(hang_up, process)
    feeder = asyncio.create_task(_feed_terminal(stream, master))
    try:
        while data := await _terminal_output(master):
            await stream.write(data)
    finally:
        feeder.cancel()
        await asyncio.wait([feeder])  # it lets go of the terminal before that is closed
        hang_up(process)
        os.close(master)


async def _terminal_output(master: int) -> bytes:
    """Read here, not by asyncio: a terminal ends with an error (EIO: the last program that held it has ended),
    and a StreamReader that is told of an error drops what it has not handed on yet."""
    loop = asyncio.get_running_loop()
    while True:
        await _ready(master, loop.add_reader, loop.remove_reader)
        try:
            return os.read(master, _CHUNK)
        except BlockingIOError:
            continue
        except OSError:
            return b""


async def _feed_terminal(stream: Stream, master: int) -> None:
    loop = asyncio.get_running_loop()
    with suppress(Ended, OSError):
        while data := await stream.read():
            while data:
                await _ready(master, loop.add_writer, loop.remove_writer)
                with suppress(BlockingIOError):
                    data = data[os.write(master, data) :]


async def _ready(file: int, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
    """Until the event loop's `add` tells that `file` can be read (or written)."""
    told = asyncio.Event()
    add(file, told.set)
    try:
        await told.wait()
    finally:
        remove(file)


async def sync(stream: Stream, _: str) -> None:
    """The first version of the sync service: STAT, LIST, SEND, RECV. Files are reached by shell commands."""
    while True:
        name, size = struct.unpack("<4sI", await stream.read_exactly(8))
        argument = (await stream.read_exactly(size)).decode()
        if name == b"QUIT":
            return
        handler = {b"STAT": _sync_stat, b"LIST": _sync_list, b"SEND": _sync_send, b"RECV": _sync_receive}[
            name
        ]
        await handler(stream, argument)


async def _said(stream: Stream, command: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    pipe = asyncio.subprocess.PIPE
    process = await start(stream, command, stdin=pipe, stdout=pipe, stderr=pipe)
    out, err = await process.communicate(stdin)
    return process.returncode or 0, out, err


def quoted(path: str) -> str:
    return "'" + path.replace("'", "'\\''") + "'"


def _numbers(words: Sequence[str]) -> tuple[int, int, int]:
    return int(words[0], 16), int(words[1]) & 0xFFFFFFFF, int(words[2])


async def _sync_stat(stream: Stream, path: str) -> None:
    code, out, _ = await _said(stream, _STAT.format(quoted(path)))
    facts = _numbers(out.decode().split()) if code == 0 else (0, 0, 0)
    await stream.write(struct.pack("<4s3I", b"STAT", *facts))


async def _sync_list(stream: Stream, path: str) -> None:
    _, out, _ = await _said(stream, _LIST.format(quoted(path)))
    entries = b""
    for line in out.decode().splitlines():
        *facts, name = line.split(" ", 3)
        encoded = name.encode()
        entries += struct.pack("<4s4I", b"DENT", *_numbers(facts), len(encoded)) + encoded
    await stream.write(entries + struct.pack("<4s4I", b"DONE", 0, 0, 0, 0))


async def _sync_send(stream: Stream, argument: str) -> None:
    path, _, mode = argument.rpartition(",")
    content = bytearray()
    while True:
        name, size = struct.unpack("<4sI", await stream.read_exactly(8))
        if name == b"DONE":
            break
        content += await stream.read_exactly(size)
    store = f"cat > {quoted(path)} && chmod {int(mode) & 0o777:o} {quoted(path)}"
    code, _, err = await _said(stream, store, bytes(content))
    answer = struct.pack("<4sI", b"OKAY", 0) if code == 0 else struct.pack("<4sI", b"FAIL", len(err)) + err
    await stream.write(answer)


async def _sync_receive(stream: Stream, path: str) -> None:
    code, out, err = await _said(stream, f"cat {quoted(path)}")
    if code != 0:
        await stream.write(struct.pack("<4sI", b"FAIL", len(err)) + err)
        return
    parts = [out[start : start + _CHUNK] for start in range(0, len(out), _CHUNK)]
    for part in parts:
        await stream.write(struct.pack("<4sI", b"DATA", len(part)) + part)
    await stream.write(struct.pack("<4sI", b"DONE", 0))


async def main() -> None:
    daemon = Daemon(Settings(**json.loads(sys.argv[1])), run_service)
    server = await asyncio.start_server(daemon.serve, daemon.settings.host, daemon.settings.port)
    commands = asyncio.StreamReader()
    make = lambda: asyncio.StreamReaderProtocol(commands)  # noqa: E731
    await asyncio.get_running_loop().connect_read_pipe(make, sys.stdin)
    print("ok", flush=True)
    async with server:
        while line := await commands.readline():
            daemon.change(json.loads(line))
            print("ok", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
