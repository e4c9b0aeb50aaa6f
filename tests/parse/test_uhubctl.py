"""What uhubctl says after it acted (forms as its users pasted them), and that anything else is no status."""

from __future__ import annotations

import pytest

from edgekit.parse import ParseError
from edgekit.parse.uhubctl import parse_new_status

pytestmark = pytest.mark.base
OFF = """Current status for hub 1-2 [05e3:0608 USB2.0 Hub, USB 2.10, 4 ports]
  Port 1: 0100 power
Sent power off request
New status for hub 1-2 [05e3:0608 USB2.0 Hub, USB 2.10, 4 ports]
  Port 1: 0000 off
"""
BOTH = """Current status for hub 4-1 [14b0:0438 StarTech.com USB3.0 4 Port HUB 000000000, USB 3.20, 4 ports, ppps]
  Port 3: 02a0 power 5gbps Rx.Detect
Sent power off request
New status for hub 4-1 [14b0:0438 StarTech.com USB3.0 4 Port HUB 000000000, USB 3.20, 4 ports, ppps]
  Port 3: 00a0 off
Current status for hub 3-1 [14b0:0439 StarTech.com USB2.0 4 Port HUB 000000000, USB 2.10, 4 ports, ppps]
  Port 3: 0503 power highspeed enable connect [04e8:6860 SAMSUNG power bank]
Sent power off request
New status for hub 3-1 [14b0:0439 StarTech.com USB2.0 4 Port HUB 000000000, USB 2.10, 4 ports, ppps]
  Port 3: 0503 power highspeed enable connect [04e8:6860 SAMSUNG power bank]
"""


def test_the_new_status_counts_not_the_current_one() -> None:
    assert parse_new_status(OFF) == {("1-2", 1): False}
    assert parse_new_status(BOTH) == {("4-1", 3): False, ("3-1", 3): True}
    assert parse_new_status(OFF.replace("0000 off", "0000 off [04e8:6860 power bank]")) == {("1-2", 1): False}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No compatible devices detected!\n",
        OFF.partition("New")[0],
        OFF[:-1],
        OFF.replace("  Port 1: 0000 off", "  Port 1: zz"),
        OFF.replace("  Port 1: 0000 off", "  Port x: 0000 off"),
    ],
)
def test_anything_else_is_a_parse_error(text: str) -> None:
    with pytest.raises(ParseError):
        parse_new_status(text)
