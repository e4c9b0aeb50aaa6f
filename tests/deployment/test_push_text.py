"""What `edgekit push` says."""

from __future__ import annotations

import pytest

from edgekit.cli.commands.push import render_push
from edgekit.deployment import PushResult

pytestmark = pytest.mark.base


def test_the_way_back_is_the_version_that_was_active(capsys: pytest.CaptureFixture[str]) -> None:
    """C1.2: after a push of an older version again, plain `rollback` goes to one before that, or finds none."""
    result = PushResult(
        **{"device": "local:", "name": "m", "version": "1", "sha256": "a" * 64, "method": "unchanged"},
        **{"bytes_total": 1, "bytes_sent": 0, "round_trips": 3, "seconds": 0.1, "smoke": "passed"},
        **{"activated": True, "previous": "2", "named": "it"},
    )
    render_push(result)
    assert "edgekit rollback m --to 2 -d it" in capsys.readouterr().out
