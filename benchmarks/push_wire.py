#!/usr/bin/env python3
"""What a link really does, for benchmarks/push.py: a plain TCP stream, connection time, lost datagrams.

Run as a program (`push_wire.py HOST`) it is the far end: it prints a port and answers until its input ends. A TCP
connection is read to its end and answered with the bytes and datagrams counted so far.
"""

from __future__ import annotations

import select
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

_ANSWER = struct.Struct("<QQ")
_CHUNK_BYTES = 1 << 18
_DATAGRAMS, _DATAGRAM_BYTES, _DATAGRAM_GAP_S = 2000, 200, 0.0005
_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class WireFacts:
    """`lost`: share of datagrams towards the device that did not arrive."""

    tcp_bytes_per_s: float
    connect_ms: float
    lost: float


def measure_wire(start: Callable[[list[str]], subprocess.Popen[bytes]], host: str, size: int) -> WireFacts:
    """`start` runs an argv at the far end with pipes. The stream's time is from connecting until its end was confirmed."""
    far = start([sys.executable, "-S", __file__, host])
    try:
        assert far.stdout is not None
        port = int(far.stdout.readline())
        connects, seconds = [], []
        for _ in range(3):
            begin = time.perf_counter()
            with socket.create_connection((host, port), _TIMEOUT_S) as stream:
                connects.append(time.perf_counter() - begin)
                _send(stream, size)
                _confirmed(stream)
            seconds.append(time.perf_counter() - begin)
        return WireFacts(
            size / statistics.median(seconds), statistics.median(connects) * 1e3, _lost(host, port)
        )
    finally:
        assert far.stdin is not None
        far.stdin.close()
        far.wait(timeout=10)


def _send(stream: socket.socket, size: int) -> None:
    chunk = bytes(_CHUNK_BYTES)
    for at in range(0, size, _CHUNK_BYTES):
        stream.sendall(chunk[: min(_CHUNK_BYTES, size - at)])


def _confirmed(stream: socket.socket) -> tuple[int, int]:
    """(bytes, datagrams) that the far end has counted."""
    stream.shutdown(socket.SHUT_WR)
    answer = b""
    while part := stream.recv(_ANSWER.size):
        answer += part
    total, datagrams = _ANSWER.unpack(answer)
    return int(total), int(datagrams)


def _lost(host: str, port: int) -> float:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _ in range(_DATAGRAMS):
            probe.sendto(bytes(_DATAGRAM_BYTES), (host, port))
            time.sleep(_DATAGRAM_GAP_S)
    time.sleep(0.3)
    with socket.create_connection((host, port), _TIMEOUT_S) as stream:
        return 1 - _confirmed(stream)[1] / _DATAGRAMS


def far_end(host: str) -> None:
    """Serve until stdin ends."""
    with (
        socket.create_server((host, 0)) as listener,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        port = listener.getsockname()[1]
        datagrams.bind((host, port))
        print(port, flush=True)
        received = 0
        while True:
            ready, _, _ = select.select([listener, datagrams, sys.stdin], [], [], _TIMEOUT_S)
            if sys.stdin in ready or not ready:
                return
            if datagrams in ready:
                datagrams.recv(1 << 16)
                received += 1
            elif listener in ready:
                _serve(listener, received)


def _serve(listener: socket.socket, received: int) -> None:
    stream, _ = listener.accept()
    with stream:
        stream.settimeout(_TIMEOUT_S)
        total = 0
        while data := stream.recv(_CHUNK_BYTES):
            total += len(data)
        stream.sendall(_ANSWER.pack(total, received))


if __name__ == "__main__":
    far_end(sys.argv[1])
