"""Which rails to add up. Pure.

Rails of one board overlap: some feed others. Adding up a rail and what it feeds counts power twice, so

- VIN (Thor: the carrier board's INA238), VDD_IN and POM_5V_IN are the input of board or module: taken alone;
- AGX Orin's VDDQ_VDD2_1V8AO is a part of VIN_SYS_5V0 (NVIDIA's Jetson Linux Developer Guide r36.4.3, "Software-Based
  Power Consumption Modeling"; forum thread 223111): left out where that is there;
- AGX Xavier's GPU, CPU, SOC, CV and VDDRQ are fed by SYS_VIN_HV and SYS5V by SYS_VIN_MV, the two inputs of the module
  (design guide DG-09840-001, figure 5-14): none is a part of another;
- of a Pixel's channels it is known that LDOs (L...) are fed by bucks (S...), not which by which: all are added up, so a
  channel that feeds another counts twice. Whoever knows the phone names the rails in the profile (power: rails).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgekit.meters.base import Missing, Rails
from edgekit.profiles.schema import Boundary, Power
from edgekit.stats.traces import Refused

MODULE: tuple[Boundary, str] = ("module-input", "the carrier board and what is plugged into it")
INPUTS: Mapping[str, tuple[Boundary, str]] = {
    "VIN": ("board-input", "nothing of the board"),
    "VDD_IN": MODULE,
    "POM_5V_IN": MODULE,
}
"""Of a rail with all others in it: the boundary, and what is not in it."""
INPUT_RAILS = ("VDD_IN", "POM_5V_IN")
PARTS: Mapping[str, str] = {"VDDQ_VDD2_1V8AO": "VIN_SYS_5V0"}
"""A rail to the one that feeds it."""
CHANNELS_EXCLUDED = (
    "rails without a channel, and losses of regulators; a rail that feeds another counts twice, unless the profile "
    "names the rails"
)
NO_INPUT = "the carrier board, and rails of the module that have no sensor"


@dataclass(frozen=True)
class Chosen:
    """`excluded`: what is in none of `rails`, in words."""

    rails: tuple[str, ...]
    boundary: Boundary
    excluded: str


def chosen(meter: str, names: Sequence[str], power: Power) -> Chosen | Missing:
    """Of a Jetson's rails: those that the profile names, else those that do not overlap."""
    inputs = [name for name in INPUTS if name in names]
    if power.rails and power.rails not in [(name,) for name in inputs]:
        return named(meter, names, power, NO_INPUT)
    if inputs:
        total = power.rails[0] if power.rails else inputs[0]
        boundary, excluded = INPUTS[total]
        return Chosen((total,), (power.boundary if power.rails else None) or boundary, excluded)
    parts = [name for name in names if PARTS.get(name) in names]
    left_out = "".join(f"; {part} is in {PARTS[part]}" for part in parts)
    return Chosen(tuple(name for name in names if name not in parts), "soc-rails", f"{NO_INPUT}{left_out}")


def named(meter: str, names: Sequence[str], power: Power, excluded: str) -> Chosen | Missing:
    """The channels of a phone that the profile names; without a name in it, all."""
    if not power.rails:
        return Chosen(tuple(names), "soc-rails", excluded)
    unknown = [rail for rail in power.rails if rail not in names]
    if unknown:
        return Missing(
            meter,
            f"the profile's rails {', '.join(unknown)} are not there",
            f"power: {{rails: [...]}} with some of {', '.join(names)}",
        )
    rest = [name for name in names if name not in power.rails]
    also = f"; by the profile also {', '.join(rest)}" if rest else ""
    return Chosen(power.rails, power.boundary or "soc-rails", f"{excluded}{also}")


def only(groups: Sequence[Rails], rails: Sequence[str]) -> list[Rails] | Refused:
    """The same readings without the rails that are not taken. Refused where one that is taken is not there any more."""
    there = {name for group in groups for name in group.values}
    if gone := [rail for rail in rails if rail not in there]:
        return Refused(f"other rails are told of now: {', '.join(gone)} is gone")
    return [
        Rails(
            group.t_us,
            {name: values for name, values in group.values.items() if name in rails},
            group.unit,
            group.step_uj,
            group.range_uj,
        )
        for group in groups
        if any(name in rails for name in group.values)
    ]
