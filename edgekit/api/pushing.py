"""Push and what it would do, on an opened device or at an address: there plain shell where no agent can run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from edgekit.api.models import prepare, require_conclusive
from edgekit.deployment import PushPlan, PushResult, ReleaseInfo, push_payload
from edgekit.devices import Device
from edgekit.errors import EdgekitError, InputError
from edgekit.events import Event, Sink, ignore
from edgekit.models import Artifact, ModelInfo

if TYPE_CHECKING:
    from edgekit.config import Config
    from edgekit.conversion.options import ConvertWishes
    from edgekit.profiles import Profile

CONNECT_SECONDS = 30.0


class PushWishes(TypedDict, total=False):
    """What a push of a model that is ready may be asked for; the defaults are those of `push`."""

    name: str | None
    version: str | None
    activate: bool
    smoke: bool
    accept_inconclusive: bool
    lease_wait_seconds: float
    bandwidth_bytes_per_s: float | None


def push(
    model: str | Path | Artifact | ModelInfo,
    device: Device,
    *,
    profile: Profile | None = None,
    name: str | None = None,
    version: str | None = None,
    activate: bool = True,
    smoke: bool = True,
    accept_inconclusive: bool = False,
    lease_wait_seconds: float = 60.0,
    bandwidth_bytes_per_s: float | None = None,
    sink: Sink = ignore,
    **wishes: Unpack[ConvertWishes],
) -> PushResult:
    """Put a model on a device as a release and make it the active version; `wishes`: how to convert it first.

    Sent is what the device does not have. The hash is checked on the device, the model runs there once
    (`smoke`), and only then `current` names it. Raises DeviceError and its kinds, VerificationError,
    GateError E_LIMIT where a limit of the profile is passed.
    """
    ready = prepare(model, profile=profile, name=name, sink=sink, **wishes)
    if activate:
        require_conclusive(ready, accept_inconclusive=accept_inconclusive)
    return push_payload(
        ready,
        device,
        profile=profile,
        name=name,
        version=version,
        activate=activate,
        smoke=smoke,
        lease_wait_seconds=lease_wait_seconds,
        bandwidth_bytes_per_s=bandwidth_bytes_per_s,
        sink=sink,
    )


def plan_push(
    model: str | Path | Artifact | ModelInfo,
    device: Device,
    *,
    profile: Profile | None = None,
    name: str | None = None,
    version: str | None = None,
    activate: bool = True,
    smoke: bool = True,
    sink: Sink = ignore,
    **wishes: Unpack[ConvertWishes],
) -> PushPlan:
    """What `push` would send, how, and why. Converts where a push would; changes nothing on the device."""
    from edgekit.deployment import plan_push as planned

    ready = prepare(model, profile=profile, name=name, sink=sink, **wishes)
    return planned(ready, device, profile=profile, name=name, version=version, activate=activate, smoke=smoke)


def push_to(
    address: str,
    prepared: Callable[[Profile | None], Artifact | ModelInfo],
    *,
    config: Config | None = None,
    profile: str | None = None,
    sink: Sink = ignore,
    **wishes: Unpack[PushWishes],
) -> PushResult:
    """Connect, and push what `prepared` gives for the device's profile. Where no agent can run there, plain shell does
    it (method "shell", never tried there); `prepared` may be called from several threads.

    Raises what `connect` and `push` raise."""
    from edgekit.api.devices import connect, profile_for

    try:
        device = connect(address, config=config, sink=sink)
    except EdgekitError as error:
        from edgekit.deployment.shell import no_agent_possible

        if not no_agent_possible(error):
            raise
        return _push_by_shell(address, prepared, error, config, profile, wishes, sink)
    with device:
        chosen = profile_for(device, profile, config=config, sink=sink)
        return push(prepared(chosen), device, profile=chosen, sink=sink, **wishes)


def _push_by_shell(
    address: str,
    prepared: Callable[[Profile | None], Artifact | ModelInfo],
    reason: EdgekitError,
    config: Config | None,
    profile: str | None,
    wishes: PushWishes,
    sink: Sink,
) -> PushResult:
    from edgekit.deployment.shell import push_by_shell
    from edgekit.devices.opening import open_transport, resolve

    why = f"no agent can run there ({reason.code})"
    sink(Event("push", f"{why}: {reason.message}; plain shell is used", device=address, level="warning"))
    if wishes.get("bandwidth_bytes_per_s") is not None:
        raise InputError(
            f"{why}, and plain shell cannot keep a bandwidth",
            code="E_BANDWIDTH",
            device=address,
            hint="leave --bandwidth out for this device",
        )
    target = resolve(address, config)
    named = profile or target.profile or (config.profile if config is not None else None)
    chosen = None
    if named is not None:
        from edgekit.api.devices import default_recipe, with_recipe
        from edgekit.profiles import load_profile

        recipe = default_recipe(target.recipe, config) if config is not None else target.recipe
        chosen = with_recipe(load_profile(named), recipe)
    ready = prepared(chosen)
    activate = wishes.get("activate", True)
    if activate:
        require_conclusive(ready, accept_inconclusive=wishes.get("accept_inconclusive", False))
    transport = open_transport(target, CONNECT_SECONDS)
    try:
        return push_by_shell(
            ready,
            transport,
            root=target.root,
            profile=chosen,
            name=wishes.get("name"),
            version=wishes.get("version"),
            activate=activate,
            smoke=wishes.get("smoke", True),
            lease_wait_seconds=wishes.get("lease_wait_seconds", 60.0),
            sink=sink,
            why=why,
            named=target.label,
        )
    finally:
        transport.close()


def releases_at(
    address: str, name: str | None = None, *, config: Config | None = None, sink: Sink = ignore
) -> list[ReleaseInfo]:
    """The releases on the device at an address; by plain shell where no agent can run there."""
    from edgekit.api.devices import connect
    from edgekit.deployment import releases

    try:
        device = connect(address, config=config, sink=sink)
    except EdgekitError as error:
        from edgekit.deployment.shell import no_agent_possible, releases_by_shell
        from edgekit.devices.opening import open_transport, resolve

        if not no_agent_possible(error):
            raise
        target = resolve(address, config)
        transport = open_transport(target, CONNECT_SECONDS)
        try:
            return releases_by_shell(transport, root=target.root, name=name)
        finally:
            transport.close()
    with device:
        return releases(device, name)
