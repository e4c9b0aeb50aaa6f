"""The runtime libraries that edgekit puts on devices, pinned by hash. A new version is a new line here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One library inside one wheel of a package index, and what it asks of the device's own libraries."""

    platform: str
    """The wheel's platform tag. Not to be trusted as a promise: the aarch64 wheel is tagged glibc 2.27 and
    needs 2.34."""
    wheel: str
    wheel_sha256: str
    library_sha256: str
    glibc: tuple[int, ...]
    libstdcxx: tuple[int, ...]
    loader: str
    """Name of the dynamic loader in the libc set of this ABI."""


LITERT_PACKAGE = "ai-edge-litert"
LITERT_VERSION = "2.3.0"
LITERT_PYTHON = "311"
LITERT_MEMBER = "ai_edge_litert/libLiteRt.so"
LITERT_LICENSE_MEMBER = f"ai_edge_litert-{LITERT_VERSION}.dist-info/licenses/LICENSE"

LITERT: dict[str, Pin] = {
    "x86_64": Pin(
        platform="manylinux_2_27_x86_64",
        wheel="ai_edge_litert-2.3.0-cp311-cp311-manylinux_2_27_x86_64.whl",
        wheel_sha256="1f15078a6725d2357d9de9221664c29afa0545d807559c5f7199ce5e40b96b23",
        library_sha256="eec47eb35e2924b3166015887e652a58edc9af823ae38e02bf83bef2548300bb",
        glibc=(2, 27),
        libstdcxx=(6, 0, 22),
        loader="ld-linux-x86-64.so.2",
    ),
    "arm64-v8a": Pin(
        platform="manylinux_2_27_aarch64",
        wheel="ai_edge_litert-2.3.0-cp311-cp311-manylinux_2_27_aarch64.whl",
        wheel_sha256="853fc608f96da87bd5f3458465dfb9abbf18d5ae6b94eceacead407146f175ae",
        library_sha256="b57687dc234d2b8b0598aef5a9c961ed24263df8f8b3f56adbee1cff618e544b",
        glibc=(2, 34),
        libstdcxx=(6, 0, 30),
        loader="ld-linux-aarch64.so.1",
    ),
}
