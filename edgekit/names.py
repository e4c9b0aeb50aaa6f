"""Names that become one component of a path, on a device and on this host: models, releases, versions. Pure."""

from __future__ import annotations

import re

from edgekit.errors import InputError

TEMPORARY_SUFFIX = ".ek-tmp"
GONE_SUFFIX = ".ek-gone"
"""Of what is deleted: renamed so at once, then removed. What a cut leaves of it is nobody's."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}")


def checked_name(text: str, what: str) -> str:
    """`text` if it is safe as one path component, else InputError E_NAME.

    Names begin with a letter or digit, so that no name is hidden, an option, or a way out of the folder.
    """
    if (
        not _NAME.fullmatch(text)
        or text.endswith((TEMPORARY_SUFFIX, GONE_SUFFIX))
        or text in ("current", "current.log")
    ):
        raise InputError(
            f"'{text}' cannot be a {what}",
            code="E_NAME",
            hint="letters, digits and . _ + - only, beginning with a letter or digit, at most 80",
        )
    return text


def is_name(text: str) -> bool:
    """Whether `checked_name` would take it: what a device says is a name goes into paths and onto terminals."""
    try:
        checked_name(text, "name")
    except InputError:
        return False
    return True
