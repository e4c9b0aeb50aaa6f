"""make_link: network links with trouble, for servers in a namespace of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.targets.link import Link

MakeLink = Callable[..., "Link"]


@pytest.fixture
def make_link() -> Iterator[MakeLink]:
    """make_link(delay_ms=0, rate_mbit=0, loss=0, queue_bytes=262144, seed=1): a link for this test only. Give it to
    make_sshd(link=...), make_adbd(link=...) or make_adb_host(link=...), then cut it, heal it, change it."""
    from tests.targets.link import Link, LinkSettings

    links: list[Link] = []

    def make(
        *,
        delay_ms: float = 0.0,
        rate_mbit: float = 0.0,
        loss: float = 0.0,
        queue_bytes: int = 1 << 18,
        seed: int = 1,
    ) -> Link:
        settings = LinkSettings(
            delay_ms=delay_ms, rate_mbit=rate_mbit, loss=loss, queue_bytes=queue_bytes, seed=seed
        )
        links.append(Link(settings))
        return links[-1]

    yield make
    for link in links:
        link.close()
