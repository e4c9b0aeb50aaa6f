"""A wire between two TUN devices, with trouble on demand. Runs as a program of its own: see link.py.

Usage: link_relay.py FD FD SETTINGS-JSON. Reads commands from stdin, one a line (a mode: open, blackhole, cut, or
new SETTINGS-JSON), answers each with "ok", and ends at the end of stdin.
"""

from __future__ import annotations

import json
import os
import random
import select
import socket
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass, field

MAX_PACKET = 65536
MODES = ("open", "blackhole", "cut")


@dataclass
class Direction:
    """One way of the wire: packets wait for their turn on the line (rate), then for the delay."""

    source: int
    target: int
    chance: random.Random
    delay_s: float = 0.0
    bytes_per_s: float = 0.0
    loss: float = 0.0
    queue_bytes: int = 1 << 18
    line_free_at: float = 0.0
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)

    def take(self, packet: bytes, now: float) -> None:
        """Queue a packet, or lose it: by chance, or because the queue before the line is full."""
        if self.chance.random() < self.loss:
            return
        begins = max(now, self.line_free_at)
        if self.bytes_per_s:
            if (begins - now) * self.bytes_per_s > self.queue_bytes:
                return
            begins += len(packet) / self.bytes_per_s
        self.line_free_at = begins
        self.waiting.append((begins + self.delay_s, packet))

    def deliver(self, now: float) -> None:
        """Hand over what is due. A receiver that cannot take a packet loses it, as a network card does."""
        while self.waiting and self.waiting[0][0] <= now:
            write_packet(self.target, self.waiting.popleft()[1])


def write_packet(fd: int, packet: bytes) -> None:
    """To a TUN device; one that is full or down loses it."""
    try:
        os.write(fd, packet)
    except OSError:
        pass


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071) of an even number of bytes."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


def host_unreachable(packet: bytes) -> bytes | None:
    """What a router answers to an IPv4 packet that it cannot deliver (ICMP type 3, code 1, RFC 792)."""
    if packet[0] >> 4 != 4 or packet[9] == socket.IPPROTO_ICMP:
        return None
    quoted = packet[: (packet[0] & 15) * 4 + 8]
    body = struct.pack("!BBHI", 3, 1, 0, 0) + quoted
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    sender, receiver = packet[12:16], packet[16:20]
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, 1, 0, receiver, sender)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


class Relay:
    """Both directions and the mode they are in."""

    def __init__(self, near: int, far: int, settings: dict[str, float]) -> None:
        chance = random.Random(int(settings["seed"]))
        self.ways = [Direction(near, far, chance), Direction(far, near, chance)]
        self.mode = "open"
        self.configure(settings)

    def configure(self, settings: dict[str, float]) -> None:
        for way in self.ways:
            way.delay_s = settings["delay_ms"] / 1000
            way.bytes_per_s = settings["rate_mbit"] * 1e6 / 8
            way.loss = settings["loss"]
            way.queue_bytes = int(settings["queue_bytes"])

    def command(self, line: str) -> None:
        if line in MODES:
            self.mode = line
            for way in self.ways:
                way.waiting.clear()
        else:
            self.configure(json.loads(line))

    def read(self, way: Direction) -> None:
        """All packets that wait at one end."""
        while True:
            try:
                packet = os.read(way.source, MAX_PACKET)
            except OSError:  # nothing more, or the device is down
                return
            if self.mode == "open":
                way.take(packet, time.monotonic())
            elif self.mode == "cut" and (answer := host_unreachable(packet)):
                write_packet(way.source, answer)

    def turn(self) -> bool:
        """Wait for packets, commands or due deliveries, and serve them. False when the commands have ended."""
        due = [way.waiting[0][0] for way in self.ways if way.waiting]
        patience = max(0.0, min(due) - time.monotonic()) if due else None
        ready, _, _ = select.select([0, *(way.source for way in self.ways)], [], [], patience)
        for way in self.ways:
            if way.source in ready:
                self.read(way)
            way.deliver(time.monotonic())
        if 0 in ready:
            line = sys.stdin.readline()
            if not line:
                return False
            self.command(line.strip())
            print("ok", flush=True)
        return True


def main() -> None:
    near, far = int(sys.argv[1]), int(sys.argv[2])
    for fd in (near, far):
        os.set_blocking(fd, False)
    relay = Relay(near, far, json.loads(sys.argv[3]))
    print("ok", flush=True)
    while relay.turn():
        pass


if __name__ == "__main__":
    main()
