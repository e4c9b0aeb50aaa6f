"""A trace of `perfetto` with power rails (data source android.power, collect_power_rails): counters of Android's HAL.

Format by the field numbers of protos/perfetto/trace: trace.proto, trace_packet.proto and power/power_rails.proto, which
only grew since Android 10. Energies are whole uWs, which are uJ, since boot, each with the HAL's time in ms of
CLOCK_BOOTTIME; a packet's own time is ns of the same clock. An energy names its rail by a number, and what the number
means comes once, with the first energies, and again after a packet that clears the state. So a number without a meaning
is an error, never a guess: rails differ between phones. Other packets (statistics, clocks, what was asked for) are passed
over.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from edgekit.parse import fail
from edgekit.parse.protobuf import BYTES, VARINT, each_field

TOOL: Final = "perfetto"
MAX_BYTES: Final = 64 << 20
MAX_NAME: Final = 64
MAX_RAILS: Final = 256
"""perfetto itself asks for 32."""
MOST: Final = 1 << 62
"""Of a time or an energy: more is no number of this world."""
PACKET: Final = 1
TIMESTAMP, SEQUENCE, SEQUENCE_FLAGS, POWER_RAILS = 8, 10, 13, 40
STATE_CLEARED, COMPRESSED, CLOCK = 41, 50, 58
WANTED: Final = frozenset(
    {TIMESTAMP, SEQUENCE, SEQUENCE_FLAGS, POWER_RAILS, STATE_CLEARED, COMPRESSED, CLOCK}
)
CLEARED_FLAG: Final = 1
BOOTTIME: Final = 6
"""Its number among perfetto's clocks, and what a packet has that names none."""
DESCRIPTOR, ENERGY, SESSION = 1, 2, 3
INDEX, NAME, SUBSYSTEM = 1, 2, 3
TIME_MS, ENERGY_UWS = 2, 3


class Rail(Struct, frozen=True, kw_only=True):
    name: str
    subsystem: str | None = None


class Count(Struct, frozen=True, kw_only=True):
    time_ms: int
    """When the chip was read: CLOCK_BOOTTIME."""
    energy_uj: int
    """Since boot."""


class RailsLook(Struct, frozen=True, kw_only=True):
    time_ns: int
    """When the HAL was asked: CLOCK_BOOTTIME."""
    counts: dict[str, Count]
    """By the rail's name."""


class PowerRails(Struct, frozen=True, kw_only=True):
    """Both empty where the phone has no such rails."""

    rails: tuple[Rail, ...] = ()
    looks: tuple[RailsLook, ...] = ()


Value = int | bytes
Fields = dict[int, Value]


def parse_power_rails(data: bytes) -> PowerRails:
    """Raises ParseError where it is no whole trace, or one whose rails cannot be told."""
    if not data:
        fail(TOOL, "it is empty")
    if len(data) > MAX_BYTES:
        fail(TOOL, f"a trace of {len(data)} bytes")
    reading = _Reading()
    for number, kind, value in each_field(TOOL, data):
        if number != PACKET or kind != BYTES or not isinstance(value, bytes):
            fail(TOOL, f"field {number} is no packet")
        packet = _only(value, WANTED, "packet")
        if COMPRESSED in packet:
            fail(TOOL, "its packets are compressed")
        reading.take(packet)
    return PowerRails(rails=tuple(reading.rails.values()), looks=tuple(reading.looks))


class _Reading:
    """What the packets so far have said."""

    def __init__(self) -> None:
        self.rails: dict[int, Rail] = {}
        self.looks: list[RailsLook] = []
        self._told: set[int] = set()
        """Numbers whose meaning holds now."""
        self._sequence: Value | None = None
        self._session: Value | None = None

    def take(self, packet: Fields) -> None:
        sequence = packet.get(SEQUENCE)
        cleared = _number(packet, SEQUENCE_FLAGS, 0) & CLEARED_FLAG or _number(packet, STATE_CLEARED, 0)
        if cleared and sequence == self._sequence:
            self._told.clear()
        if POWER_RAILS not in packet:
            return
        if self._told and sequence != self._sequence:
            fail(TOOL, "two recordings of rails are in one trace")
        self._sequence = sequence
        counts = self._counts(_bytes(packet, POWER_RAILS))
        if not counts:
            return
        if _number(packet, CLOCK, BOOTTIME) != BOOTTIME:
            fail(TOOL, "its times are not of CLOCK_BOOTTIME")
        self.looks.append(RailsLook(time_ns=_number(packet, TIMESTAMP), counts=counts))

    def _counts(self, message: bytes) -> dict[str, Count]:
        counts: dict[str, Count] = {}
        for number, kind, value in each_field(TOOL, message):
            if number == SESSION:
                if self._session not in (None, value):
                    fail(TOOL, "its counters begin anew")
                self._session = value
            if number not in (DESCRIPTOR, ENERGY):
                continue
            if kind != BYTES or not isinstance(value, bytes):
                fail(TOOL, f"field {number} of the rails is no message")
            if number == DESCRIPTOR:
                self._describe(value)
                continue
            name, count = self._count(value)
            if name in counts:
                fail(TOOL, f"{name} comes twice")
            counts[name] = count
        return counts

    def _describe(self, message: bytes) -> None:
        fields = _only(message, frozenset({INDEX, NAME, SUBSYSTEM}), "rail")
        index, rail = _number(fields, INDEX), Rail(name=_name(fields, NAME), subsystem=_subsystem(fields))
        if self.rails.get(index, rail) != rail:
            fail(TOOL, f"rail {index} is {self.rails[index].name}, then {rail.name}")
        if any(other.name == rail.name for at, other in self.rails.items() if at != index):
            fail(TOOL, f"two rails have one name: {rail.name}")
        if index not in self.rails and len(self.rails) >= MAX_RAILS:
            fail(TOOL, f"more than {MAX_RAILS} rails")
        self.rails[index] = rail
        self._told.add(index)

    def _count(self, message: bytes) -> tuple[str, Count]:
        fields = _only(message, frozenset({INDEX, TIME_MS, ENERGY_UWS}), "rail's energy")
        index = _number(fields, INDEX)
        if index not in self._told:
            fail(TOOL, f"nothing says which rail {index} is")
        count = Count(time_ms=_number(fields, TIME_MS), energy_uj=_number(fields, ENERGY_UWS))
        return self.rails[index].name, count


def _only(message: bytes, wanted: frozenset[int], what: str) -> Fields:
    """Those fields, each once at most."""
    found: Fields = {}
    for number, kind, value in each_field(TOOL, message):
        if number not in wanted:
            continue
        if number in found or kind not in (VARINT, BYTES):
            fail(TOOL, f"field {number} of a {what} comes twice, or is of another kind")
        found[number] = value
    return found


def _number(fields: Fields, number: int, default: int | None = None) -> int:
    value = fields.get(number, default)
    if not isinstance(value, int) or value >= MOST:
        fail(TOOL, f"field {number} is missing or no number")
    return value


def _bytes(fields: Fields, number: int) -> bytes:
    value = fields.get(number)
    if not isinstance(value, bytes):
        fail(TOOL, f"field {number} is missing or no message")
    return value


def _name(fields: Fields, number: int) -> str:
    """A name without spaces: rails are named in profiles."""
    text = _bytes(fields, number).decode(errors="replace")
    if not 1 <= len(text) <= MAX_NAME or not text.isprintable() or " " in text or "\ufffd" in text:
        fail(TOOL, f"'{text[:MAX_NAME]}' is no rail's name")
    return text


def _subsystem(fields: Fields) -> str | None:
    return _name(fields, SUBSYSTEM) if fields.get(SUBSYSTEM) else None
