"""Traces of perfetto (D2.1, D2-b1): what its packets may do, and every refusal. Values of a whole trace: tests/data/parsed.json."""

from __future__ import annotations

import pytest

from edgekit.parse import ParseError
from edgekit.parse.perfetto import MAX_BYTES, MAX_NAME, MAX_RAILS, MOST, PowerRails, parse_power_rails
from tests.parse.perfetto_trace import (
    cleared,
    energy,
    message,
    number,
    packet,
    rail,
    rails_packet,
    sample,
    varint,
)

pytestmark = pytest.mark.base
AT = 5_000_000_000
A, B = rail(0, "A"), rail(1, "B")
ONE = energy(0, 5000, 17)


def energies(data: bytes) -> list[dict[str, int]]:
    return [
        {name: count.energy_uj for name, count in look.counts.items()}
        for look in parse_power_rails(data).looks
    ]


def test_names_hold_until_the_state_is_cleared_and_are_told_again() -> None:
    """As perfetto does with incremental_state_config; by either field, in a packet of its own or not."""
    old = packet(number(41, 1))
    first = rails_packet(AT, A, B, ONE, energy(1, 5000, 3))
    later = rails_packet(2 * AT, energy(1, 9000, 4))
    for clear in (cleared(), old, b""):
        data = first + later + clear + rails_packet(3 * AT, A, B, energy(0, 9500, 20))
        assert energies(data) == [{"A": 17, "B": 3}, {"B": 4}, {"A": 20}]


def test_names_may_come_in_a_packet_of_their_own_and_after_the_energies_of_others() -> None:
    assert energies(rails_packet(AT, A) + rails_packet(AT, ONE)) == [{"A": 17}]
    assert energies(rails_packet(AT, A, ONE, B)) == [{"A": 17}]
    assert [one.name for one in parse_power_rails(rails_packet(AT, A, ONE, B)).rails] == ["A", "B"]


def test_a_phone_without_rails_is_no_error() -> None:
    """It opens one packet of rails, and leaves it empty."""
    assert parse_power_rails(cleared() + rails_packet(AT)) == PowerRails()
    assert parse_power_rails(packet(b"")) == PowerRails()


def test_other_sequences_are_not_ours() -> None:
    """What another one clears is its own, and its packets are passed over."""
    first = rails_packet(AT, A, ONE)
    others = (
        packet(number(13, 1), 9) + packet(number(41, 1), 9) + packet(number(8, 3) + message(38, b"\1"), 9)
    )
    assert energies(first + others + rails_packet(AT, ONE)) == [{"A": 17}, {"A": 17}]


def test_after_its_state_was_cleared_another_sequence_may_go_on() -> None:
    data = rails_packet(AT, A, ONE) + cleared() + rails_packet(AT, A, ONE, sequence=3)
    assert energies(data) == [{"A": 17}, {"A": 17}]


def test_the_last_packet_may_have_no_number_of_its_sequence() -> None:
    bare = message(1, number(8, AT) + message(40, A + ONE))
    assert energies(bare) == [{"A": 17}]


def test_flags_are_bits() -> None:
    """3: cleared, and needs it. 2: needs it only."""
    body = number(8, AT) + message(40, ONE)
    with pytest.raises(ParseError, match="nothing says which rail 0 is"):
        parse_power_rails(rails_packet(AT, A, ONE) + packet(body + number(13, 3)))
    assert energies(rails_packet(AT, A, ONE) + packet(body + number(13, 2))) == [{"A": 17}, {"A": 17}]
    assert energies(rails_packet(AT, A, ONE) + packet(body + number(41, 0))) == [{"A": 17}, {"A": 17}]


def test_a_time_may_name_its_clock() -> None:
    body = number(8, AT) + message(40, A + ONE)
    assert energies(packet(body + number(58, 6))) == [{"A": 17}]
    with pytest.raises(ParseError, match="its times are not of CLOCK_BOOTTIME"):
        parse_power_rails(packet(body + number(58, 3)))


def test_one_session_goes_on_another_is_another_counter() -> None:
    """session_uuid, of newer releases: all 64 bits of it."""
    here, there = number(3, 2**64 - 1), number(3, 2**64 - 2)
    assert energies(rails_packet(AT, A, ONE, here) + rails_packet(AT, ONE, here)) == [{"A": 17}, {"A": 17}]
    assert energies(rails_packet(AT, here, A, ONE)) == [{"A": 17}]
    with pytest.raises(ParseError) as caught:
        parse_power_rails(rails_packet(AT, A, ONE, here) + rails_packet(AT, ONE, there))
    assert (caught.value.tool, caught.value.problem) == ("perfetto", "its counters begin anew")


def test_names_are_as_long_as_a_profile_takes() -> None:
    longest = "N" * MAX_NAME
    found = parse_power_rails(rails_packet(AT, rail(0, longest, "(BIG)"), ONE)).rails[0]
    assert (found.name, found.subsystem) == (longest, "(BIG)")
    assert parse_power_rails(rails_packet(AT, rail(0, "Ä", ""), ONE)).rails[0].subsystem is None
    for name in ("N" * (MAX_NAME + 1), "", "A B", "A\n"):
        with pytest.raises(ParseError, match="is no rail's name") as caught:
            parse_power_rails(rails_packet(AT, rail(0, name), ONE))
        assert caught.value.problem == f"'{name[:MAX_NAME]}' is no rail's name"
    with pytest.raises(ParseError, match="is no rail's name"):
        parse_power_rails(rails_packet(AT, message(1, number(1, 0) + message(2, b"\xff")), ONE))
    with pytest.raises(ParseError, match="'B C' is no rail's name"):
        parse_power_rails(rails_packet(AT, rail(0, "A", "B C"), ONE))


def test_so_many_rails() -> None:
    rails = [rail(index, f"R{index}") for index in range(MAX_RAILS + 1)]
    assert len(parse_power_rails(rails_packet(AT, *rails[:-1])).rails) == MAX_RAILS
    assert len(parse_power_rails(rails_packet(AT, *rails[:-1], rails[0])).rails) == MAX_RAILS
    with pytest.raises(ParseError, match=f"^the output of perfetto .* more than {MAX_RAILS} rails$"):
        parse_power_rails(rails_packet(AT, *rails))


def test_numbers_are_of_this_world() -> None:
    assert energies(rails_packet(AT, A, energy(0, 5000, MOST - 1))) == [{"A": MOST - 1}]
    assert energies(rails_packet(0, A, energy(0, 0, 0))) == [{"A": 0}]
    with pytest.raises(ParseError, match="field 3 is missing or no number"):
        parse_power_rails(rails_packet(AT, A, energy(0, 5000, MOST)))


PACKET = number(8, AT)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "it is empty"),
        (sample()[:-1], "field 1 needs 14 bytes and 13 are left"),
        (message(2, b""), "field 2 is no packet"),
        (number(1, 3), "field 1 is no packet"),
        (varint(1 << 3 | 1) + bytes(8), "field 1 is no packet"),
        (packet(message(50, b"x")), "its packets are compressed"),
        (rails_packet(AT, ONE), "nothing says which rail 0 is"),
        (rails_packet(AT, ONE, A), "nothing says which rail 0 is"),
        (rails_packet(AT, A, energy(7, 5000, 1)), "nothing says which rail 7 is"),
        (rails_packet(AT, A, ONE) + cleared() + rails_packet(AT, ONE), "nothing says which rail 0 is"),
        (rails_packet(AT, A, ONE, ONE), "A comes twice"),
        (rails_packet(AT, A, ONE) + rails_packet(AT, rail(0, "C")), "rail 0 is A, then C"),
        (rails_packet(AT, A, ONE) + cleared() + rails_packet(AT, rail(0, "C")), "rail 0 is A, then C"),
        (rails_packet(AT, A, rail(1, "A")), "two rails have one name: A"),
        (rails_packet(AT, A) + rails_packet(AT, ONE, sequence=3), "two recordings of rails are in one trace"),
        (rails_packet(AT, number(1, 5)), "field 1 of the rails is no message"),
        (rails_packet(AT, b"\x0a"), "it is cut short in the middle of a number"),
        (rails_packet(AT, rail(0, "A B")), "'A B' is no rail's name"),
        (rails_packet(AT, A, number(2, 5)), "field 2 of the rails is no message"),
        (rails_packet(AT, A, varint(2 << 3 | 1) + bytes(8)), "field 2 of the rails is no message"),
        (packet(PACKET + number(40, 5)), "field 40 is missing or no message"),
        (packet(PACKET + PACKET + message(40, A)), "field 8 of a packet comes twice, or is of another kind"),
        (
            packet(varint(8 << 3 | 1) + bytes(8) + message(40, A + ONE)),
            "field 8 of a packet comes twice, or is of another kind",
        ),
        (packet(message(8, b"x") + message(40, A + ONE)), "field 8 is missing or no number"),
        (packet(message(40, A + ONE)), "field 8 is missing or no number"),
        (
            rails_packet(AT, A, message(2, number(1, 0) + number(1, 0))),
            "field 1 of a rail's energy comes twice, or is of another kind",
        ),
        (rails_packet(AT, A, message(2, number(2, 5) + number(3, 5))), "field 1 is missing or no number"),
        (rails_packet(AT, A, message(2, number(1, 0) + number(3, 5))), "field 2 is missing or no number"),
        (rails_packet(AT, A, message(2, number(1, 0) + number(2, 5))), "field 3 is missing or no number"),
        (rails_packet(AT, message(1, message(2, b"A"))), "field 1 is missing or no number"),
        (rails_packet(AT, message(1, number(1, 0))), "field 2 is missing or no message"),
        (
            rails_packet(AT, message(1, number(1, 0) + message(2, b"A") + message(2, b"A"))),
            "field 2 of a rail comes twice, or is of another kind",
        ),
        (
            rails_packet(AT, message(1, number(1, 0) + message(2, b"A") + number(3, 4))),
            "field 3 is missing or no message",
        ),
    ],
)
def test_what_is_no_trace_of_rails(data: bytes, problem: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_power_rails(data)
    assert (caught.value.tool, caught.value.line, caught.value.problem) == ("perfetto", None, problem)


def test_a_trace_has_a_largest_size() -> None:
    most = b"\x0a\x00" * (MAX_BYTES // 2)
    with pytest.raises(ParseError, match=f"a trace of {MAX_BYTES + 2} bytes"):
        parse_power_rails(most + b"\x0a\x00")
