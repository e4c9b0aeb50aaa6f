"""Whether what was made can run on the profile's device, asked before anything is verified or written."""

from __future__ import annotations

from edgekit.conversion.recipes import ProfileLike
from edgekit.conversion.targets.base import Target
from edgekit.models.info import ModelInfo


def require_runnable(
    profile: ProfileLike | None, target: Target, info: ModelInfo | None, recipe: str
) -> tuple[str, ...]:
    """What the profile's runtimes say of a model in the target's format (None: of any), as notes. Raises InputError E_UNSUPPORTED_*,
    E_MODEL_TOO_LARGE where none of them can run it."""
    from edgekit.profiles.capabilities import require_runnable as ask
    from edgekit.profiles.schema import Profile

    if not isinstance(profile, Profile):
        return ()
    return tuple(ask(profile, info, target.name, recipe))
