"""Numbers beside the points of a figure do not lie on each other. (D3.5)"""

from __future__ import annotations

import random

from edgekit.web.beside import DIGIT_PX, DOT_PX, HEIGHT_PX, Box, numbers_beside

ROOM = Box(0, 0, 400, 300)


def boxes(points: list[tuple[float, float]], found: list[tuple[float, float] | None]) -> list[Box]:
    return [
        Box(x + at[0], y + at[1], x + at[0] + DIGIT_PX * len(str(i + 1)), y + at[1] + HEIGHT_PX)
        for i, ((x, y), at) in enumerate(zip(points, found, strict=False))
        if at is not None
    ]


def test_one_alone_has_it_at_its_right_above() -> None:
    ((across, up),) = [at for at in numbers_beside([(100, 100)], 40, ROOM) if at]
    assert across > DOT_PX
    assert up > 0


def test_none_lies_on_another_or_on_a_point_or_outside() -> None:
    draw = random.Random(3)
    points = [(200 + draw.gauss(0, 25), 150 + draw.gauss(0, 25)) for _ in range(60)]
    found = numbers_beside(points, 40, ROOM)
    assert len(found) == 40
    placed = boxes(points, found)
    assert len(placed) >= 15
    assert not any(a.meets(b) for i, a in enumerate(placed) for b in placed[:i])
    assert all(ROOM.holds(one) for one in placed)
    dots = [Box(x - DOT_PX, y - DOT_PX, x + DOT_PX, y + DOT_PX) for x, y in points]
    assert not any(one.meets(dot) for one in placed for dot in dots)


def test_where_there_is_no_room_there_is_no_number() -> None:
    found = numbers_beside([(50, 50)] * 20, 20, ROOM)
    assert found[0] is not None
    assert None in found
    assert numbers_beside([(395, 150), (5, 290)], 2, ROOM)[0] is not None
