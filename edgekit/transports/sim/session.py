"""The other side of the agent's protocol: one agent of a simulated device, with the requests of one connection.

Every request is done when it comes, in the thread that sends it; answers go to `send`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from edgekit.agent.failures import ECANCELED, EINVAL, ESRCH
from edgekit.agent.protocol import KEPT, MAGIC, Frame, FrameDecoder, Packer, Type, Unpacker, pack_frame
from edgekit.errors import BugError
from edgekit.transports.sim.device import SimDevice, Ticking
from edgekit.transports.sim.file_requests import FILE_REQUESTS, content_of, read_whole
from edgekit.transports.sim.files import File, FileError, Folder
from edgekit.transports.sim.machine import KERNEL
from edgekit.transports.sim.other_requests import OTHER_REQUESTS, Agent
from edgekit.transports.sim.processes import SIGTERM, Ended, Launch, barrier_of, read_launch
from edgekit.transports.sim.programs import Vanished, run_there, run_together
from edgekit.transports.sim.puts import Put

CHUNK_BYTES = 1 << 20
EXIT_MALFORMED = 3
BUILD_ID = "sim"
_READING_NS = 50_000
_PID = 4242


class Malformed(Exception):
    """A frame that is none, or whose fields and length disagree."""


@dataclass
class _Series:
    """A series of samples that goes on; `left` None: until it is cancelled."""

    ticking: Ticking
    paths: tuple[str, ...]
    max_bytes: int
    left: int | None
    taken: int = 0


class Session:
    """From the agent's start to its end."""

    def __init__(self, device: SimDevice, root: str, send: Callable[[bytes], None]) -> None:
        self.device = device
        self.root = device.files.absolute(root)
        self._agent = Agent(device, self.root, secrets.token_hex(8))
        self._send = send
        self._decoder = FrameDecoder()
        self._outcomes: dict[int, bool] = {}
        self._puts: dict[int, Put] = {}
        self._series: dict[int, _Series] = {}
        self._hanging: dict[int, Ended] = {}
        self._gathering: dict[str, list[tuple[int, Launch]]] = {}
        """Runners that wait for others, by the file at which they do."""
        self._ended = False

    def start(self) -> None:
        device = self.device
        device.agent_started(self._agent.token)
        machine, clock = device.machine, device.clock
        packer = Packer().text(BUILD_ID).text("Linux").text("sim").text(KERNEL).text("#1 simulated")
        packer.text(machine.machine).text(machine.abi).u32(1000).u32(_PID).text(device.boot_id)
        packer.u64(clock.boottime_ns).u64(clock.realtime_ns).text(self.root).u32(4096).u32(machine.cpu_count)
        packer.text("").text("" if machine.is_android else "2.36").u8(machine.is_android).u32(0)
        errno, _, layout = content_of(device, f"{self.root}/layout", 64)
        packer.u32(errno).blob(layout).u8(self._kept())
        self._send(MAGIC + pack_frame(Type.HELLO, 0, packer.done()))

    def _kept(self) -> int:
        """The hello's last byte: folders, and a file, that are in ROOT."""
        found = [self.device.files.look(f"{self.root}/{name}") for name in KEPT]
        kinds = [File if name == "journal" else Folder for name in KEPT]
        pairs = zip(found, kinds, strict=True)
        return sum(isinstance(entry, kind) << place for place, (entry, kind) in enumerate(pairs))

    def feed(self, data: bytes) -> None:
        """Raises Vanished, Malformed."""
        try:
            for frame in self._decoder.feed(data):
                self._take(frame)
        except (ValueError, BugError) as error:
            raise Malformed(str(error)) from error

    def end(self) -> None:
        """However the connection ended. May be called again."""
        if self._ended:
            return
        self._ended = True
        for put in self._puts.values():
            put.give_up("put")
        for series in self._series.values():
            if series.ticking in self.device.tickers:
                self.device.tickers.remove(series.ticking)
        self.device.agent_ended(self._agent.token)

    def _take(self, frame: Frame) -> None:
        if frame.type == Type.PING:
            self._answer(Type.PONG, frame.id, frame.payload[:64])
            return
        if frame.type in (Type.PONG, Type.CANCEL):
            if frame.type == Type.CANCEL:
                self._cancel(frame)
            return
        if self.device.vanishes_now():
            raise Vanished
        kind = Type(frame.type)
        if kind == Type.DATA:
            self._put_step(frame.id, lambda put: put.take(frame.payload))
        elif (stream := _STREAMS.get(kind)) is not None:
            self._guarded(frame.id, lambda: stream(self, frame.id, Unpacker(frame.payload)))
        else:
            self._guarded(
                frame.id, lambda: self._answer(Type.RESULT, frame.id, self._simple(kind, frame.payload))
            )

    def _answer(self, kind: Type, request_id: int, payload: bytes = b"") -> None:
        self._send(pack_frame(kind, request_id, payload))

    def _guarded(self, request_id: int, work: Callable[[], None]) -> None:
        try:
            work()
        except FileError as error:
            self._refuse(request_id, error)

    def _refuse(self, request_id: int, error: FileError) -> None:
        self._outcomes[request_id] = False
        self._answer(Type.ERROR, request_id, _failure(error))

    def _simple(self, kind: Type, payload: bytes) -> bytes:
        """One request that may be an item of a batch."""
        u = Unpacker(payload)
        if (handler := FILE_REQUESTS.get(kind)) is not None:
            answer = handler(self.device, self.root, u)
        elif (request := OTHER_REQUESTS.get(kind)) is not None:
            answer = request(self._agent, u)
        else:
            raise ValueError(f"an unknown type: {kind:#x}")
        if u.left():
            raise ValueError("a payload that is longer than its fields")
        return answer

    def _batch(self, request_id: int, u: Unpacker) -> None:
        after = [u.u32() for _ in range(u.u32())]
        items = [(Type(u.u8()), u.blob()) for _ in range(u.u32())]
        if not all(self._outcomes.get(each) for each in after):
            raise FileError(ECANCELED, "batch", "")
        packer, done, ok = Packer(), 0, True
        for kind, payload in items:
            done += 1
            try:
                answer = self._simple(kind, payload)
                packer.u8(1).blob(answer)
            except FileError as error:
                packer.u8(0).blob(_failure(error))
                ok = False
                break
        self._outcomes[request_id] = ok
        self._answer(Type.RESULT, request_id, Packer().u32(done).raw(packer.done()).done())

    def _put(self, request_id: int, u: Unpacker) -> None:
        put = Put(self.device, u)
        if put.after and not self._outcomes.get(put.after):
            raise FileError(ECANCELED, "put", put.path)
        self._puts[request_id] = put
        self._put_step(request_id, lambda put: put.begin())

    def _put_step(self, request_id: int, step: Callable[[Put], None]) -> None:
        put = self._puts.get(request_id)
        if put is None:
            return  # it has failed already, and was answered
        try:
            step(put)
            if put.complete:
                answer = put.commit()
                del self._puts[request_id]
                self._outcomes[request_id] = True
                self._answer(Type.RESULT, request_id, answer)
        except FileError as error:
            del self._puts[request_id]
            put.give_up(error.op)
            self._refuse(request_id, error)

    def _get(self, request_id: int, u: Unpacker) -> None:
        path, offset, length = u.text(), u.u64(), u.u64()
        data = read_whole(self.device, path)[offset:][:length]
        for at in range(0, len(data), CHUNK_BYTES):
            self._answer(Type.CHUNK, request_id, data[at : at + CHUNK_BYTES])
        self._answer(Type.RESULT, request_id, Packer().u64(len(data)).done())

    def _run(self, request_id: int, u: Unpacker) -> None:
        launch = replace(read_launch(u), deadline_us=u.u32() * 1000.0)
        launch = replace(launch, stdin=u.blob())
        barrier = barrier_of(launch.argv)
        if barrier is not None:
            self._gather(request_id, launch, *barrier)
            return
        ended = run_there(self.device, launch)
        self._answer(Type.STARTED, request_id, Packer().u32(_PID + self.device.launches).done())
        self._tell_end(request_id, ended)

    def _gather(self, request_id: int, launch: Launch, barrier: str, streams: int) -> None:
        """Nothing happens until the last of them is there: device time passes by what is done."""
        together = self._gathering.setdefault(barrier, [])
        together.append((request_id, launch))
        if len(together) < streams:
            return
        del self._gathering[barrier]
        try:
            ended = run_together(self.device, [each for _, each in together])
        except FileError as error:
            for waiting, _ in together:
                self._refuse(waiting, error)
            return
        for (waiting, _), one in zip(together, ended, strict=True):
            self._answer(Type.STARTED, waiting, Packer().u32(_PID + self.device.launches).done())
            self._tell_end(waiting, one)

    def _tell_end(self, request_id: int, ended: Ended) -> None:
        if ended.hangs:
            self._hanging[request_id] = ended
            return
        for kind, data in ((Type.STDOUT, ended.stdout), (Type.STDERR, ended.stderr)):
            for at in range(0, len(data), CHUNK_BYTES):
                self._answer(kind, request_id, data[at : at + CHUNK_BYTES])
        self._answer(Type.RESULT, request_id, ended.payload())

    def _sample(self, request_id: int, u: Unpacker) -> None:
        period_ms, count, max_bytes = u.u32(), u.u64(), u.u32()
        paths = tuple(u.text() for _ in range(u.u32()))
        if not period_ms:
            raise FileError(EINVAL, "sample", "period")
        period_ns = period_ms * 1_000_000
        due_ns = self.device.clock.raw_ns + period_ns
        ticking = Ticking(period_ns, due_ns, lambda: self._reading(request_id))
        self._series[request_id] = _Series(ticking, paths, max_bytes, count or None)
        self.device.tickers.append(ticking)
        self._reading(request_id)
        if count:  # nobody has to run anything for these: the device waits for them
            self.device.advance((count - 1) * period_ns + 1)

    def _reading(self, request_id: int) -> None:
        series = self._series.get(request_id)
        if series is None:
            return
        clock = self.device.clock
        packer = Packer().u64(clock.boottime_ns).u64(clock.raw_ns).u64(_READING_NS).u64(0)
        packer.u32(len(series.paths))
        for path in series.paths:
            errno, _, data = content_of(self.device, path, series.max_bytes)
            packer.u32(errno).blob(data)
        self._answer(Type.READING, request_id, packer.done())
        series.taken += 1
        if series.left is not None and series.taken == series.left:
            self._end_series(request_id)

    def _end_series(self, request_id: int) -> None:
        series = self._series.pop(request_id)
        if series.ticking in self.device.tickers:
            self.device.tickers.remove(series.ticking)
        self._answer(Type.RESULT, request_id, Packer().u64(series.taken).u64(0).done())

    def _cancel(self, frame: Frame) -> None:
        target = Unpacker(frame.payload).u32()
        if target in self._series:
            self._end_series(target)
        elif target in self._hanging:
            ended = replace(self._hanging.pop(target), signal=SIGTERM, cancelled=True, stdout=b"")
            self._answer(Type.RESULT, target, ended.payload())
        elif waiting := [group for group in self._gathering.values() if target in dict(group)]:
            waiting[0][:] = [each for each in waiting[0] if each[0] != target]
            self._answer(Type.RESULT, target, Ended(signal=SIGTERM, cancelled=True).payload())
        elif target in self._puts:
            put = self._puts.pop(target)
            put.give_up("put")
            self._refuse(target, FileError(ECANCELED, "put", put.path))
        else:
            self._answer(Type.ERROR, frame.id, _failure(FileError(ESRCH, "cancel", "")))
            return
        self._answer(Type.RESULT, frame.id)


def _failure(error: FileError) -> bytes:
    return Packer().u32(error.errno).text(error.op).text(error.text).u64(error.extra).done()


_STREAMS: Mapping[Type, Callable[[Session, int, Unpacker], None]] = {
    Type.PUT: Session._put,
    Type.GET: Session._get,
    Type.RUN: Session._run,
    Type.SAMPLE: Session._sample,
    Type.BATCH: Session._batch,
}
