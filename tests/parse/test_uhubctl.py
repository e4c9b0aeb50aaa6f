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


CURRENT = "Current status for hub {} [x]\n  Port 1: 0503 power\n  Port 2: 0100 power\n"
SENT = "Sent power off request\n"
NEW = "New status for hub {} [x]\n  Port 1: 0000 off\n  Port 2: 0100 power\n"


def test_hubs_one_after_the_other() -> None:
    """Each request may be repeated (`-r`)."""
    text = "".join((CURRENT + SENT * 2 + NEW).replace("{}", str(hub)) for hub in (1, 2, 3))
    off, on = {f"{hub}:1": False for hub in (1, 2, 3)}, {f"{hub}:2": True for hub in (1, 2, 3)}
    assert parse_new_status(text) == off | on


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("  Port 1: 0000 off\n", 1, "'Port 1: 0000 off' in its place"),
        (CURRENT + "what is this\n" + SENT + NEW, 4, "'what is this' in its place"),
        (CURRENT + NEW, 4, "'New status for hub {} [x]' in its place"),
        (CURRENT + SENT + NEW.replace("{}", "other"), 5, "'New status for hub other [x]' in its place"),
        (SENT + CURRENT + NEW, 1, "'Sent power off request' in its place"),
        (CURRENT + "  Port 2: 0100 power\n" + SENT + NEW, 4, "port {}:2 comes twice"),
        (CURRENT + SENT + NEW + "  Port 2: 0100 power\n", 8, "port {}:2 comes twice"),
        (CURRENT + SENT + NEW + CURRENT + SENT + NEW, 9, "port {}:1 comes twice"),
        (CURRENT + SENT + NEW + "  Port 3: 0000 off\n", None, "it tells no new status"),
        (
            CURRENT + SENT + NEW.replace("  Port 2: 0100 power\n", "") + CURRENT,
            7,
            "the new status of hub {} is not of the same ports",
        ),
        (CURRENT + SENT, None, "it tells no new status"),
    ],
)
def test_what_is_not_in_its_place(text: str, line: int | None, problem: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_new_status(text)
    assert (caught.value.tool, caught.value.line, caught.value.problem) == ("uhubctl", line, problem)
