"""C1.2: what gc deletes, decided without a device."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.deployment.victims import CUT_OFF_SECONDS, Item, Kind, Now, Rules, age_s, choose_victims
from edgekit.devices.layout import candidates_name

pytestmark = pytest.mark.base

DAY = 86_400.0
NOW = Now(host_s=1000 * DAY, device_s=1000 * DAY)


def release(
    version: str, days_old: float, *, name: str = "m", kind: Kind = "release", size: int = 10
) -> Item:
    at = NOW.host_s - days_old * DAY
    rank = f"{at:020.6f}"
    return Item(kind, name, version, f"/{kind}/{name}/{version}", at, size, pushed_at_s=at, rank=rank)


def five() -> list[Item]:
    return [release(f"v{5 - days}", days) for days in range(5)]


def kept(items: list[Item], *reasons: str) -> list[Item]:
    return [replace(item, kept_as="in use") if item.version in reasons else item for item in items]


@pytest.mark.parametrize(
    ("items", "rules", "gone"),
    [
        (five(), Rules(), ["v1", "v2", "v3"]),
        (five(), Rules(keep=0), ["v1", "v2", "v3", "v4", "v5"]),
        (five(), Rules(keep=9), []),
        (five(), Rules(keep=0, older_than_s=2.5 * DAY), ["v1", "v2"]),
        (five(), Rules(keep=4, older_than_s=2.5 * DAY), ["v1"]),
        (five(), Rules(keep=9, max_bytes=35), ["v1", "v2"]),
        (five(), Rules(keep=9, max_bytes=30), ["v1", "v2"]),
        (five(), Rules(keep=9, older_than_s=9 * DAY, max_bytes=0), ["v1", "v2", "v3", "v4", "v5"]),
        (kept(five(), "v1", "v2"), Rules(), ["v3"]),
        (kept(five(), "v5"), Rules(keep=9, max_bytes=15), ["v1", "v2", "v3", "v4"]),
        ([*five(), release("w1", 9, name="other")], Rules(), ["v1", "v2", "v3"]),
        ([*five(), release("w1", 2.5, name="other")], Rules(keep=9, max_bytes=30), ["v1", "v2", "w1"]),
        ([release(f"f{days}", days, kind="failed") for days in range(3)], Rules(), ["f2"]),
        (
            [release("f0", 0, kind="failed"), *five()],  # of no use, so the first where space is short
            Rules(keep=9, max_bytes=40),
            ["f0", "v1"],
        ),
    ],
)
def test_releases(items: list[Item], rules: Rules, gone: list[str]) -> None:
    victims = choose_victims(items, rules, NOW)
    assert [victim.item.version for victim in victims] == gone
    assert choose_victims(items[::-1], rules, NOW) == victims


def test_a_damaged_release_is_not_counted_and_goes() -> None:
    items = five()
    items[0] = replace(items[0], damaged=True, rank="")
    assert [v.item.version for v in choose_victims(items, Rules(older_than_s=99 * DAY), NOW)] == ["v5"]
    assert {v.item.version for v in choose_victims(items, Rules(), NOW)} == {"v5", "v1", "v2"}
    items[0] = replace(items[0], kept_as="active")
    assert [v.item.version for v in choose_victims(items, Rules(keep=0, max_bytes=0), NOW)] == [
        "v1",
        "v2",
        "v3",
        "v4",
    ]


@pytest.mark.parametrize(
    ("kind", "ages_s", "gone"),
    [
        ("garbage", [0.0], 1),
        ("staging", [CUT_OFF_SECONDS - 1], 0),
        ("staging", [CUT_OFF_SECONDS + 1], 1),
        ("staging", [-CUT_OFF_SECONDS * 9], 0),
        ("agent", [0.0], 1),
        ("runtime", [9 * DAY, 8 * DAY], 0),
        ("runtime", [9 * DAY, 8 * DAY, 7 * DAY, 6 * DAY], 2),
    ],
)
def test_what_is_no_release(kind: Kind, ages_s: list[float], gone: int) -> None:
    items = [
        Item(kind, "r", str(i), f"/{i}", NOW.device_s - age, rank=f"{NOW.device_s - age:020.6f}")
        for i, age in enumerate(ages_s)
    ]
    victims = choose_victims(items, Rules(max_bytes=0), NOW)
    assert [victim.item for victim in victims] == items[:gone][::-1]
    assert not choose_victims([replace(i, kept_as="in use") for i in items], Rules(max_bytes=0), NOW)


@pytest.mark.parametrize(
    ("host_days", "device_days", "age_days"),
    [(5, 7, 5), (7, 5, 5), (-3, 7, 0), (7, -3, 0), (20_000, 5, 5), (5, 20_000, 5)],
)
def test_the_younger_of_two_clocks_counts(host_days: float, device_days: float, age_days: float) -> None:
    item = replace(
        release("v", 0), pushed_at_s=NOW.host_s - host_days * DAY, mtime_s=NOW.device_s - device_days * DAY
    )
    assert age_s(item, NOW) == pytest.approx(age_days * DAY)


def test_without_a_date_the_devices_clock_counts() -> None:
    assert age_s(replace(release("v", 3), pushed_at_s=None), NOW) == pytest.approx(3 * DAY)


KINDS: list[Kind] = ["release", "failed", "runtime", "agent", "staging", "garbage"]
any_time = st.floats(-4e9, 4e11, allow_nan=False)


@st.composite
def inventories(draw: st.DrawFn) -> list[Item]:
    """Any clocks, any sizes; a path only once."""
    items = []
    for number in range(draw(st.integers(0, 12))):
        at = draw(any_time)
        items.append(
            Item(
                draw(st.sampled_from(KINDS)),
                draw(st.sampled_from("ab")),
                str(number),
                f"/{number}",
                draw(any_time),
                draw(st.integers(0, 1 << 40)),
                pushed_at_s=draw(st.none() | st.just(at)),
                rank=draw(st.sampled_from(["", f"{at:020.6f}", "9999", "\n"])),
                damaged=draw(st.booleans()),
                kept_as=draw(st.sampled_from([None, None, "active", "in use"])),
            )
        )
    return items


any_rules = st.builds(
    Rules,
    keep=st.integers(0, 5),
    older_than_s=st.none() | st.floats(0, 1e10),
    max_bytes=st.none() | st.integers(0, 1 << 42),
)


@given(inventories(), any_rules, st.builds(Now, any_time, any_time))
def test_whatever_lies_there(items: list[Item], rules: Rules, now: Now) -> None:
    """What is kept is never chosen, nothing twice, and each rule holds afterwards."""
    victims = choose_victims(items, rules, now)
    gone = [victim.item for victim in victims]
    assert len(set(gone)) == len(gone)
    assert not any(item.kept_as for item in gone)
    assert all(victim.why for victim in victims)
    assert all(item in gone for item in items if item.kind == "garbage" and item.kept_as is None)
    left = [item for item in items if item not in gone]
    if rules.max_bytes is not None and sum(item.size_bytes for item in left) > rules.max_bytes:
        assert not any(item.kept_as is None and item.kind in ("release", "failed") for item in left)
    unbounded = {v.item for v in choose_victims(items, replace(rules, max_bytes=None), now)}
    assert unbounded <= set(gone)
    for kind in ("release", "failed"):
        for name in "ab":
            whole = [i for i in items if (i.kind, i.name, i.damaged) == (kind, name, False)]
            stay = [i for i in whole if i not in unbounded]
            assert len(stay) >= min(rules.keep, len(whole))
    ageless = {v.item for v in choose_victims(items, replace(rules, older_than_s=None, max_bytes=None), now)}
    assert unbounded <= ageless


def test_candidates_that_were_left_go_after_a_day_and_no_sooner() -> None:
    """A race that is under way has many releases of one name, and the lease only while it measures."""
    name = candidates_name("0a1b2c3d")
    items = [release(f"v{hours}", hours / 24, name=name) for hours in (1, 2, 3, 25)]
    gone = choose_victims(items, Rules(), NOW)
    assert [(victim.item.version, victim.why) for victim in gone] == [
        ("v25", "a candidate of --recipe auto that was left behind")
    ]
    assert choose_victims([replace(item, kept_as="in use") for item in items], Rules(), NOW) == []
