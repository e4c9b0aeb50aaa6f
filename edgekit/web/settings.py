"""How a dashboard is served. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekit.api.tokens import HOW_TO_MAKE, TOKEN_VARIABLE, is_loopback
from edgekit.errors import InputError


@dataclass(frozen=True)
class Settings:
    """`token`: None where everyone who reaches the socket may look and push; only on loopback. It is in no `repr`."""

    host: str = "127.0.0.1"
    port: int = 8750
    token: str | None = field(default=None, repr=False)

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)


def settings(host: str, port: int, token: str | None) -> Settings:
    """Raises InputError E_TOKEN where others can reach the server and there is no token."""
    made = Settings(host, port, token)
    if token is None and not made.is_loopback:
        raise InputError(
            f"a dashboard on {host} can be reached by others and needs a token",
            code="E_TOKEN",
            hint=f"{HOW_TO_MAKE}; then --token-file FILE, or the token in {TOKEN_VARIABLE}",
        )
    return made
