"""Where numbers stand beside the points of a figure, so that none lies on another. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DIGIT_PX = 7.0
"""The width of a digit of the figures' small text, rather too much than too little: the browser chooses the font."""
HEIGHT_PX = 11.0
DOT_PX = 5.0
"""From the middle of a point to its edge, and a little."""


@dataclass(frozen=True)
class Box:
    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )

    def holds(self, other: Box) -> bool:
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.bottom <= other.bottom
            and other.top <= self.top
        )


def numbers_beside(
    points: Sequence[tuple[float, float]], most: int, room: Box
) -> list[tuple[float, float] | None]:
    """For each of the first `most` points how far from its middle the left lower corner of its number (from 1) stands, in
    pixels, y upwards; None where it would lie on a number before it, on another point or out of the `room`."""
    dots = [Box(x - DOT_PX, y - DOT_PX, x + DOT_PX, y + DOT_PX) for x, y in points]
    taken: list[Box] = []
    found: list[tuple[float, float] | None] = []
    for i, (x, y) in enumerate(points[:most]):
        width = DIGIT_PX * len(str(i + 1))
        found.append(None)
        for across, up in _offsets(width):
            box = Box(x + across, y + up, x + across + width, y + up + HEIGHT_PX)
            others = (dot for k, dot in enumerate(dots) if k != i)
            if room.holds(box) and not any(map(box.meets, taken)) and not any(map(box.meets, others)):
                taken.append(box)
                found[-1] = (across, up)
                break
    return found


def _offsets(width: float) -> list[tuple[float, float]]:
    """Right above first, as people expect it; then around the point."""
    right, left, middle = DOT_PX + 2, -DOT_PX - 2 - width, -width / 2
    above, below = DOT_PX - 1, -DOT_PX + 1 - HEIGHT_PX
    return [
        (right, above),
        (right, -HEIGHT_PX / 2),
        (right, below),
        (left, above),
        (left, -HEIGHT_PX / 2),
        (left, below),
        (middle, DOT_PX + 2),
        (middle, -DOT_PX - 2 - HEIGHT_PX),
    ]
