"""Traces as perfetto writes them, made by hand from the schema's field numbers; tests/parse/test_perfetto_witness.py has
perfetto's own schema read them. Nothing here needs more than the standard library: a device's program of the tests is made of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

UID, SEQUENCE, FLAGS = 3, 10, 13
TIMESTAMP, POWER_RAILS = 8, 40
CLEARED, NEEDS_STATE = 1, 2
Energy = tuple[int, int, int]
"""Of a rail: its number, ms, uWs."""


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, body: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(body)) + body


def packet(body: bytes, sequence: int = 2) -> bytes:
    return message(1, body + number(UID, 9999) + number(SEQUENCE, sequence))


def cleared() -> bytes:
    return packet(number(FLAGS, CLEARED))


def rail(index: int, name: str, subsystem: str | None = "X") -> bytes:
    told = b"" if subsystem is None else message(3, subsystem.encode())
    return message(1, number(1, index) + message(2, name.encode()) + told + number(4, 125))


def energy(index: int, time_ms: int, uws: int) -> bytes:
    return message(2, number(1, index) + number(2, time_ms) + number(3, uws))


def rails_packet(time_ns: int, *parts: bytes, sequence: int = 2) -> bytes:
    body = number(TIMESTAMP, time_ns) + message(POWER_RAILS, b"".join(parts)) + number(FLAGS, NEEDS_STATE)
    return packet(body, sequence)


def recorded(rails: Sequence[str], looks: Sequence[tuple[float, Mapping[str, float]]]) -> bytes:
    """A trace of looks: time in ms, and uWs by rail; what the numbers mean comes with the first."""
    found = cleared()
    for count, (time_ms, energies) in enumerate(looks):
        names = [rail(index, name) for index, name in enumerate(rails)] if count == 0 else []
        told = [energy(rails.index(name), round(time_ms), round(uws)) for name, uws in energies.items()]
        found += rails_packet(round(time_ms * 1e6), *names, *told)
    return found


def sample() -> bytes:
    """tests/data/outputs/perfetto_rails.txt on the wire."""
    clocks = [(6, 16086600000000), (1, 1700000000000000000), (3, 16086500000000)]
    snapshot = b"".join(message(1, number(1, clock) + number(2, at)) for clock, at in clocks) + number(2, 6)
    power = number(1, 250) + number(3, 1)
    source = message(1, message(1, b"android.power") + message(106, power))
    config = message(1, number(1, 16384) + number(4, 2)) + message(2, source) + number(3, 3600000)
    named = (
        rail(0, "PPVAR_VSYS_PWR_DISP", "Display"),
        rail(3, "S2M_VDD_CPUCL2", "CPU(BIG)"),
        rail(4, "S3M_VDD_CPUCL1", "CPU(MID)"),
        rail(9, "S7M_VDD_TPU", None),
    )
    first = (
        energy(0, 16086645, 611687448),
        energy(3, 16086645, 124265856),
        energy(4, 16086645, 170096352),
        energy(9, 16086652, 190000000001),
    )
    second = (
        energy(0, 16086896, 611750198),
        energy(3, 16086896, 124391356),
        energy(4, 16086896, 170121452),
        energy(9, 16086902, 190000050001),
    )
    return b"".join(
        (
            packet(message(6, snapshot), 1),
            packet(message(33, config), 1),
            cleared(),
            rails_packet(16086660120345, *named, *first),
            rails_packet(16086910201117, *second),
            packet(message(35, number(2, 3) + number(7, 1) + number(8, 0)), 1),
        )
    )
