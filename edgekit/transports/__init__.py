"""Ways to reach a device: bytes, deadlines, and how each connection fails. The seam is in base.py."""

from __future__ import annotations

from typing import Any, cast

from edgekit.addresses import Address, parse
from edgekit.errors import InputError
from edgekit.registry import load
from edgekit.transports.base import Completed, OwnTime, Progress, Stream, Transport

__all__ = ["Completed", "OwnTime", "Progress", "Stream", "Transport", "connect"]


def connect(address: Address | str, *, timeout: float) -> Transport:
    """Open the transport that `address` names, within `timeout` seconds.

    Loads only the one transport in use. Raises InputError for an address that cannot be connected to
    (a name of edgekit.yaml has to be looked up first), else what the transport raises.
    """
    if isinstance(address, str):
        address = parse(address)
    if address.kind == "name":
        raise InputError(
            f"no device is called '{address.name}'",
            code="E_ADDRESS",
            hint="add it under `devices:` in edgekit.yaml, or write an address such as ssh://USER@HOST",
        )
    transport_class: Any = load("transports", address.kind)
    return cast(Transport, transport_class.connect(address, timeout=timeout))
