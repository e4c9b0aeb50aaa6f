"""What `edgekit profile list` and `show` tell."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from edgekit.errors import Finding
from edgekit.profiles.load import resolve
from edgekit.profiles.schema import Profile
from edgekit.profiles.search import profile_files, user_folder


class Listed(Struct, frozen=True, kw_only=True):
    """A profile that has a name. `profile` is None where the file has errors: they are in `findings`."""

    name: str
    path: str
    origin: str
    """"user" or "shipped"."""
    profile: Profile | None
    findings: tuple[Finding, ...] = ()


def list_profiles() -> list[Listed]:
    """Every profile that a name can mean, by name."""
    own = user_folder()
    listed = []
    for name, path in sorted(profile_files().items()):
        resolved = resolve(path)
        listed.append(
            Listed(
                name=name,
                path=str(path),
                origin="user" if path.parent == own else "shipped",
                profile=resolved.profile,
                findings=resolved.findings,
            )
        )
    return listed


def profile_json(profile: Profile) -> dict[str, Any]:
    """A resolved profile for machines: keys are the attributes' names, so each number's unit is in its key."""
    plain = {name: _plain(getattr(profile, name)) for name in profile.__struct_fields__}
    return {**plain, "sha256": profile.sha256}


def _plain(value: Any) -> Any:
    if isinstance(value, Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value
