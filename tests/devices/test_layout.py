"""Names become paths; no name leaves its folder (A8)."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.devices.layout import Layout, gone_path, name_from_file, split_release
from edgekit.errors import InputError
from edgekit.names import checked_name

pytestmark = pytest.mark.base


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a b",
        "-rf",
        ".hidden",
        "a\0b",
        "a\nb",
        "x" * 81,
        "current",
        "v.ek-tmp",
        "v.ek-gone",
        "ä",
        "$(id)",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(InputError) as error:
        checked_name(text, "release name")
    assert error.value.code == "E_NAME"


@given(st.text(max_size=100))
def test_any_text_is_refused_or_stays_one_component(text: str) -> None:
    try:
        name = checked_name(text, "version")
    except InputError:
        return
    assert "/" not in name
    assert not name.startswith((".", "-"))


@given(st.text(max_size=100))
def test_any_file_name_gives_a_name(stem: str) -> None:
    try:
        assert checked_name(name_from_file(stem), "release name")
    except InputError:
        assert stem.strip("-._+ ") in ("current", "current.log")


def test_split_release() -> None:
    assert split_release("det") == ("det", None)
    assert split_release("det@1.2") == ("det", "1.2")
    with pytest.raises(InputError):
        split_release("det@")


def test_paths() -> None:
    layout = Layout("/data/local/tmp/edgekit/")
    assert layout.release("det", "1") == "/data/local/tmp/edgekit/models/det/1"
    assert layout.staging("det", "1", "0123456789ab").endswith("/models/det/.1.0123456789ab.ek-tmp")
    assert layout.failed_release("det", "1").endswith("/failed/det/1")
    assert f"{layout.failed()}" in layout.kept()


def test_what_a_deletion_leaves_is_found_by_its_pattern() -> None:
    """C1.3: whatever is renamed on its way out, the next holder of the lease finds it."""
    layout = Layout("/opt/edgekit")
    for path in (layout.gone("det", "1"), layout.gone_name("det"), gone_path(layout.runtime("r", "00"))):
        assert any(fnmatchcase(path, pattern) for pattern in layout.gone_patterns()), path
    assert not any(fnmatchcase(layout.release("det", "1"), pattern) for pattern in layout.gone_patterns())


def test_a_pattern_for_one_path() -> None:
    layout = Layout("/opt/e[k]")
    assert layout.pattern("/opt/e[k]/models/a*[b]?\\") == "/opt/e[k]/models/a\\*\\[b]\\?\\\\"
