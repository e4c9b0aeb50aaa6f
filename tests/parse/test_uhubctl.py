"""What uhubctl says after it acted (forms as its users pasted them), and that anything else is no status."""

from __future__ import annotations

import pytest

from edgekit.parse import ParseError
from edgekit.parse.uhubctl import parse_new_status
from tests.parse.outputs import output

pytestmark = pytest.mark.base
OFF = output("uhubctl_off")
BOTH = output("uhubctl_usb3")


def test_the_new_status_counts_not_the_current_one() -> None:
    assert parse_new_status(OFF) == {"1-2:1": False}
    assert parse_new_status(BOTH) == {"4-1:3": False, "3-1:3": True}
    assert parse_new_status(OFF.replace("0000 off", "0000 off [04e8:6860 power bank]")) == {"1-2:1": False}


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
