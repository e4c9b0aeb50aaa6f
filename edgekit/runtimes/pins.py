"""The runtime libraries that edgekit puts on devices, pinned by hash. A new version is a new line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One library inside one wheel of a package index, and what it asks of the device's own libraries."""

    platform: str
    """The wheel's platform tag. Not to be trusted as a promise: LiteRT's aarch64 wheel is tagged glibc 2.27 and
    needs 2.34."""
    wheel: str
    wheel_sha256: str
    library_sha256: str
    glibc: tuple[int, ...]
    libstdcxx: tuple[int, ...]
    loader: str
    """Name of the dynamic loader in the libc set of this ABI."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package of the index in one version, and where in its wheels the runtime's library is."""

    runtime: str
    """The name of the runtime that it is for, also in the cache."""
    name: str
    version: str
    python: str
    """The wheels are those for this CPython: "311". The library in them is the same for every one."""
    module: str
    """What an installed package is imported as."""
    member: str
    """Path of the library in the wheel."""
    license_member: str
    library: str
    """Its name on a device."""
    pins: Mapping[str, Pin]
    """By ABI."""


LITERT = Package(
    runtime="litert",
    name="ai-edge-litert",
    version="2.3.0",
    python="311",
    module="ai_edge_litert",
    member="ai_edge_litert/libLiteRt.so",
    license_member="ai_edge_litert-2.3.0.dist-info/licenses/LICENSE",
    library="libLiteRt.so",
    pins={
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
    },
)

# what it needs: the highest GLIBC_* and GLIBCXX_* that `objdump -T` lists of the libraries, 2.28 and 3.4.22 in both
ONNXRUNTIME = Package(
    runtime="onnxruntime",
    name="onnxruntime",
    version="1.32.0",
    python="311",
    module="onnxruntime",
    member="onnxruntime/capi/libonnxruntime.so.1.32.0",
    license_member="onnxruntime/LICENSE",
    library="libonnxruntime.so",
    pins={
        "x86_64": Pin(
            platform="manylinux_2_28_x86_64",
            wheel="onnxruntime-1.32.0-cp311-cp311-manylinux_2_28_x86_64.whl",
            wheel_sha256="5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
            library_sha256="6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f",
            glibc=(2, 28),
            libstdcxx=(6, 0, 22),
            loader="ld-linux-x86-64.so.2",
        ),
        "arm64-v8a": Pin(
            platform="manylinux_2_28_aarch64",
            wheel="onnxruntime-1.32.0-cp311-cp311-manylinux_2_28_aarch64.whl",
            wheel_sha256="2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c",
            library_sha256="49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a",
            glibc=(2, 28),
            libstdcxx=(6, 0, 22),
            loader="ld-linux-aarch64.so.1",
        ),
    },
)
