"""Device profiles: the strict schema, `extends`, and which profile fits a device. Pure data; no device is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.profiles.facts import FACT_COMMANDS, FACT_FILES, AndroidFacts, CpuFacts, DeviceFacts, ThermalZone
from edgekit.profiles.load import check_profile, load_profile
from edgekit.profiles.rules import cpu_numbers
from edgekit.profiles.schema import SCHEMA, Profile

if TYPE_CHECKING:
    from edgekit.profiles.facts_read import facts_from_texts
    from edgekit.profiles.listing import Listed, list_profiles, profile_json
    from edgekit.profiles.match import Candidate, Head, MatchResult, match_profile, profile_heads

__all__ = [
    "FACT_COMMANDS",
    "FACT_FILES",
    "SCHEMA",
    "AndroidFacts",
    "Candidate",
    "CpuFacts",
    "DeviceFacts",
    "Head",
    "Listed",
    "MatchResult",
    "Profile",
    "ThermalZone",
    "check_profile",
    "cpu_numbers",
    "facts_from_texts",
    "list_profiles",
    "load_profile",
    "match_profile",
    "profile_heads",
    "profile_json",
]


def __getattr__(name: str) -> object:
    """What loading one profile does not need is imported when it is asked for."""
    from importlib import import_module

    homes = {
        "facts_read": ("facts_from_texts",),
        "match": ("Candidate", "Head", "MatchResult", "match_profile", "profile_heads"),
        "listing": ("Listed", "list_profiles", "profile_json"),
    }
    for home, names in homes.items():
        if name in names:
            return getattr(import_module(f"edgekit.profiles.{home}"), name)
    raise AttributeError(f"module 'edgekit.profiles' has no attribute '{name}'")
