"""Limits of memory before anything is sent (D1.7)."""

from __future__ import annotations

import pytest

from edgekit.deployment.fits import check_fits
from edgekit.errors import EdgekitError
from edgekit.profiles import Profile
from edgekit.profiles.schema import Limits

pytestmark = pytest.mark.base

MIB = 1 << 20


def profile(**limits: int) -> Profile:
    return Profile(schema="edgekit.profile/1", name="p", sources=("p.yaml",), limits=Limits(**limits))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limits", "memory_bytes", "code"),
    [
        ({"peak_rss_bytes": 10 * MIB - 1}, None, "E_LIMIT"),
        ({"model_delta_bytes": MIB}, None, "E_LIMIT"),
        ({"peak_rss_bytes": 10 * MIB}, 10 * MIB - 1, "E_DEVICE_MEMORY"),
        ({}, MIB, "E_DEVICE_MEMORY"),
    ],
)
def test_what_cannot_fit_is_refused(limits: dict[str, int], memory_bytes: int | None, code: str) -> None:
    with pytest.raises(EdgekitError) as caught:
        check_fits(10 * MIB, profile(**limits), "local:", memory_bytes)
    assert (caught.value.code, caught.value.device) == (code, "local:")
    assert "the model alone" in caught.value.message


@pytest.mark.parametrize("memory_bytes", [None, 10 * MIB])
def test_what_may_fit_is_not(memory_bytes: int | None) -> None:
    """Unknown is no reason to refuse."""
    check_fits(10 * MIB, profile(peak_rss_bytes=10 * MIB), "local:", memory_bytes)
    check_fits(10 * MIB, None, "local:", memory_bytes)
