"""A small Android-like tree around Debian's adbd: a phone's layout, with nothing of Debian's in sight.

/system/bin has adbd, mksh as sh, toybox, the commands of tests/targets/android/bin and a few that toybox lacks.
The C library lies in /system/lib64/hostlib, where only these programs look for it (their loader's name and its
search path are rewritten). So a program linked with glibc does not start here, as on a phone: what is pushed must be
static or bring its own loader.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.targets.roots import Recipe, debian

_HERE = Path(__file__).parent
SUITE = "trixie"
_PACKAGES = ("adbd", "toybox", "mksh", "coreutils", "busybox-static", "base-passwd", "libc6", "libstdc++6")
_FROM_COREUTILS = ("dd", "tr", "expr")
_FROM_BUSYBOX = ("awk", "diff", "more", "vi")
_LOADER = "/system/lib64/ld.so"
_USERS = (
    "root:x:0:0::/:/system/bin/sh\n"
    "system:x:1000:1000::/:/system/bin/sh\n"
    "shell:x:2000:2000::/:/system/bin/sh\n"
    "nobody:x:9999:9999::/:/system/bin/sh\n"
)
_GROUPS = (
    "root:x:0:\nsystem:x:1000:\ninput:x:1004:\nlog:x:1007:\nadb:x:1011:\nsdcard_rw:x:1015:\n"
    "shell:x:2000:\ninet:x:3003:\nreadproc:x:3009:\nnobody:x:9999:\n"
)
_FOLDERS = (
    "data",
    "dev",
    "proc",
    "sys",
    "props",
    "canned",
    "sdcard",
    "system/etc",
    "system/bin",
    "apex",
    "vendor",
)

AUTH_SHA256 = "12e6493107d4c51ccc595efde96acae75838584bd1cf4d451a50e679f1498d1a"
"""adbd 34.0.5-12 amd64, whose `auth_required = false` (a patch of Debian's) lies at AUTH_OFFSET."""
AUTH_OFFSET = 0x3ADAD
_AUTH_OFF, _AUTH_ON = b"\xc6\x00\x00", b"\xc6\x00\x01"


@dataclass(frozen=True)
class Arch:
    """Names of one architecture: Debian's, the compiler's, Android's. `libraries` is as long as /lib/TRIPLET."""

    debian: str
    triplet: str
    interpreter: str
    libraries: str
    abi: str
    product: str

    @property
    def loader(self) -> str:
        return Path(self.interpreter).name


AMD64 = Arch(
    "amd64", "x86_64-linux-gnu", "/lib64/ld-linux-x86-64.so.2", "/system/lib64/hostlib", "x86_64", "x86_64"
)
ARM64 = Arch(
    "arm64", "aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1", "/system/lib64/hostlibs", "arm64-v8a", "arm64"
)


def recipe(arch: Arch) -> Recipe:
    """The tree for one architecture; only amd64 has the shim (it takes this machine's compiler)."""
    own = sorted(path for path in (_HERE / "android").rglob("*") if path.is_file())
    source = debian(f"debian-adbd-{arch.debian}", SUITE, arch.debian, _PACKAGES)
    return Recipe(
        name=f"android-{arch.debian}",
        build=lambda target, needed: _build(arch, target, needed[0] / "root"),
        inputs=tuple(str(path.relative_to(_HERE)) for path in own),
        sources=(Path(__file__), _HERE / "shim/adbd_shim.c", *own),
        needs=(source,),
        tools=("readelf", "gcc", "qemu-aarch64-static"),
    )


def _build(arch: Arch, target: Path, debian_root: Path) -> None:
    root = target / "root"
    for name in (*_FOLDERS, arch.libraries.lstrip("/")):
        (root / name).mkdir(parents=True, exist_ok=True)
    for link, to in {"bin": "system/bin", "etc": "system/etc"}.items():
        (root / link).symlink_to(to)
    (root / "system/etc/passwd").write_text(_USERS, encoding="ascii")
    (root / "system/etc/group").write_text(_GROUPS, encoding="ascii")
    _programs(arch, root, debian_root)
    shutil.copytree(_HERE / "android/bin", root / "system/bin", dirs_exist_ok=True)
    shutil.copytree(_HERE / "android/canned", target / "canned")
    _properties(arch, target / "props")
    if arch is AMD64:
        _shim(root / "system/lib64/adbd_shim.so")


def _programs(arch: Arch, root: Path, debian_root: Path) -> None:
    bin_folder, usr = root / "system/bin", debian_root / "usr"
    adbd = usr / "lib/android-sdk/platform-tools/adbd"
    programs = {"adbd": adbd, "toybox": usr / "bin/toybox", "sh": usr / "bin/mksh"}
    programs |= {name: usr / "bin" / name for name in _FROM_COREUTILS}
    for name, source in programs.items():
        shutil.copy2(source.resolve(), bin_folder / name)
    if arch is AMD64:
        _with_authentication(adbd.read_bytes(), bin_folder / "adbd-auth")
        programs["adbd-auth"] = adbd
    shutil.copy2(usr / "bin/busybox", bin_folder / "busybox")
    _libraries(
        arch, root, debian_root, [bin_folder / name for name in programs if (bin_folder / name).exists()]
    )
    for name in _FROM_BUSYBOX:
        (bin_folder / name).symlink_to("busybox")
    for name in _toybox_commands(debian_root, arch):
        if not (bin_folder / name).exists():
            (bin_folder / name).symlink_to("toybox")


def _with_authentication(program: bytes, target: Path) -> None:
    """A copy of adbd that asks for a key. Left out, with the reason beside it, where the binary is another one."""
    found = hashlib.sha256(program).hexdigest()
    end = AUTH_OFFSET + len(_AUTH_OFF)
    if found != AUTH_SHA256 or program[AUTH_OFFSET:end] != _AUTH_OFF:
        reason = (
            f"this adbd has sha256 {found}; the place to turn authentication on is known for {AUTH_SHA256}"
        )
        target.with_name("adbd-auth.missing").write_text(reason, encoding="ascii")
        return
    target.write_bytes(program[:AUTH_OFFSET] + _AUTH_ON + program[end:])
    target.chmod(0o755)


def _libraries(arch: Arch, root: Path, debian_root: Path, programs: Sequence[Path]) -> None:
    """Copy what the programs are linked with, and make them look there and nowhere else."""
    place = root / arch.libraries.lstrip("/")
    base = debian_root / "usr/lib" / arch.triplet
    waiting = list(programs)
    while waiting:
        for name in _needed(waiting.pop()):
            if name == arch.loader or (place / name).exists():
                continue
            found = next(path for path in (base / name, base / "android" / name) if path.exists())
            shutil.copy2(found.resolve(), place / name)
            waiting.append(place / name)
    loader = (base / arch.loader).read_bytes()
    _write_program(
        root / _LOADER.lstrip("/"), _replaced(loader, f"/lib/{arch.triplet}/", f"{arch.libraries}/")
    )
    for path in programs:
        _write_program(path, _replaced(path.read_bytes(), arch.interpreter, _LOADER))


def _replaced(program: bytes, old: str, new: str) -> bytes:
    """A zero-terminated path in a program, replaced in its place by one that is no longer. (patchelf, which would
    move things, makes arm64 programs that neither the kernel nor the loader takes.)"""
    before, after = old.encode() + b"\0", new.encode() + b"\0"
    if before not in program or len(after) > len(before):
        raise RuntimeError(f"'{old}' cannot be replaced by '{new}' in this program")
    return program.replace(before, after.ljust(len(before), b"\0"))


def _write_program(path: Path, program: bytes) -> None:
    path.write_bytes(program)
    path.chmod(0o755)


def _needed(program: Path) -> list[str]:
    command = ["readelf", "-d", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return [line.split("[")[1].rstrip("]") for line in done.stdout.splitlines() if "(NEEDED)" in line]


def _toybox_commands(debian_root: Path, arch: Arch) -> list[str]:
    """The names that toybox answers to. Asked of the program, by qemu where it is for another processor."""
    inside = [f"{debian_root}/usr/bin/toybox"]
    loader = [f"{debian_root}/usr/lib/{arch.triplet}/{arch.loader}"]
    paths = ["--library-path", f"{debian_root}/usr/lib/{arch.triplet}"]
    emulator = [] if arch is AMD64 else ["qemu-aarch64-static"]
    command = [*emulator, *loader, *paths, *inside]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return [name for name in done.stdout.split() if name not in ("[", "sh", "adbd")] + ["["]


def _properties(arch: Arch, place: Path) -> None:
    place.mkdir()
    text = (_HERE / "android/properties.txt").read_text("utf-8").format(abi=arch.abi, arch=arch.product)
    for line in text.splitlines():
        name, _, value = line.partition("=")
        (place / name).write_text(value, encoding="utf-8")


def _shim(target: Path) -> None:
    source = str(_HERE / "shim/adbd_shim.c")
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(target), source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the shim does not compile:\n{done.stderr}")
