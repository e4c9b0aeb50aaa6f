"""The disk, kernel and initrd of the virtual arm64 board: Debian 12 with its cloud kernel, without a service
manager, and the arm64 adbd in a folder of its own (/adev). No program of the image is run to make it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.targets import android_tree
from tests.targets.roots import Recipe, debian
from tests.targets.sshd import make_key

_HERE = Path(__file__).parent
SUITE = "bookworm"
DISK_MIB = 1400
"""Leaves about 900 MiB free. The image is sparse."""
_PACKAGES = (
    *(
        "linux-image-cloud-arm64",
        "openssh-server",
        "python3-minimal",
        "libpython3-stdlib",
        "iproute2",
        "procps",
    ),
    *(
        "base-files",
        "base-passwd",
        "dash",
        "bash",
        "coreutils",
        "libc-bin",
        "grep",
        "sed",
        "hostname",
        "mount",
    ),
    *(
        "util-linux",
        "findutils",
        "passwd",
        "login",
        "netbase",
        "zlib1g",
        "libstdc++6",
        "busybox-static",
        "kmod",
    ),
)
# crc32c_generic: ext4 asks for it by a soft dependency, which the modules' own list does not have.
_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "crc32c_generic", "ext4")
_USERS = "sshd:x:106:65534::/run/sshd:/usr/sbin/nologin\npi:x:1000:1000::/home/pi:/bin/bash\n"
KERNEL, INITRD, DISK, CLIENT_KEY, HOST_KEY = "kernel", "initrd", "disk.img", "client_key", "host_key"


def recipe() -> Recipe:
    """Gives a folder with the files named KERNEL, INITRD, DISK, CLIENT_KEY and HOST_KEY."""
    own = sorted((_HERE / "board").iterdir())
    return Recipe(
        name="board-arm64",
        build=_build,
        inputs=tuple(path.name for path in own),
        sources=(Path(__file__), *own),
        needs=(
            debian("debian-board-arm64", SUITE, "arm64", _PACKAGES),
            android_tree.recipe(android_tree.ARM64),
        ),
        tools=("mke2fs", "busybox", "ssh-keygen"),
    )


def _build(target: Path, needed: Sequence[Path]) -> None:
    debian_root, android = needed[0] / "root", needed[1]
    tree = target / "tree"
    # Links instead of copies: nothing below changes a file in its place.
    subprocess.run(["cp", "-al", str(debian_root), str(tree)], check=True, timeout=120)
    try:
        _kernel(target, tree)
        _settings(target, tree)
        _android(tree, android)
        make_disk = ["mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(target / DISK), f"{DISK_MIB}M"]
        subprocess.run(make_disk, check=True, timeout=120, capture_output=True)
    finally:
        shutil.rmtree(tree)


def _kernel(target: Path, tree: Path) -> None:
    kernel = next((tree / "boot").glob("vmlinuz-*"))
    version = kernel.name.removeprefix("vmlinuz-")
    shutil.copy(kernel, target / KERNEL)
    modules = tree / "lib/modules" / version
    # For modprobe on the board (tc's netem, for one).
    subprocess.run(
        ["busybox", "depmod", "-b", str(tree), version], check=True, timeout=60, capture_output=True
    )
    _initrd(target, modules, tree / "bin/busybox")
    shutil.rmtree(tree / "boot")


def _initrd(target: Path, modules: Path, busybox: Path) -> None:
    place = target / "initrd.tree"
    for name in ("bin", "dev", "new", "modules"):
        (place / name).mkdir(parents=True)
    shutil.copy(busybox, place / "bin/busybox")
    shutil.copy(_HERE / "board/initrd-init", place / "init")
    (place / "init").chmod(0o755)
    found = {_module_name(path): path for path in modules.rglob("*.ko")}
    order = _load_order(found, _MODULES)
    for name in order:
        shutil.copy(found[name], place / "modules" / f"{name}.ko")
    (place / "modules/order").write_text("".join(f"{name}.ko\n" for name in order), encoding="ascii")
    names = sorted(str(path.relative_to(place)) for path in place.rglob("*"))
    with open(target / INITRD, "wb") as file:
        listing = "".join(f"{name}\n" for name in names).encode()
        pack = ["busybox", "cpio", "-o", "-H", "newc"]
        subprocess.run(
            pack, input=listing, stdout=file, stderr=subprocess.DEVNULL, cwd=place, check=True, timeout=60
        )
    shutil.rmtree(place)


def _module_name(path: Path) -> str:
    return path.stem.replace("-", "_")


def _load_order(found: dict[str, Path], wanted: Iterable[str]) -> list[str]:
    """Modules after all that they depend on; one that is built into the kernel has no file and is left out."""
    order: list[str] = []
    for name in wanted:
        if name in found and name not in order:
            before = _load_order(found, _depends(found[name]))
            order += [other for other in before if other not in order]
            order.append(name)
    return order


def _depends(module: Path) -> list[str]:
    """The "depends=a,b" that every module carries, zero-terminated."""
    _, _, rest = module.read_bytes().partition(b"\0depends=")
    return [name.replace("-", "_") for name in rest.split(b"\0", 1)[0].decode().split(",") if name]


def _settings(target: Path, tree: Path) -> None:
    etc, ssh = tree / "etc", tree / "etc/ssh"
    for name, extra in (("passwd", _USERS), ("group", "pi:x:1000:\n")):
        master = (tree / f"usr/share/base-passwd/{name}.master").read_text("ascii")
        _write(etc / name, master.replace(":*:", ":x:") + extra)
    names = [line.split(":")[0] for line in (etc / "passwd").read_text("ascii").splitlines()]
    _write(etc / "shadow", "".join(f"{name}:*:19000:0:99999:7:::\n" for name in names), 0o640)
    _write(etc / "hostname", "board\n")
    _write(etc / "hosts", "127.0.0.1 localhost board\n")
    make_key(target / CLIENT_KEY)
    make_key(target / HOST_KEY)
    _write(ssh / "authorized_keys", (target / f"{CLIENT_KEY}.pub").read_text("ascii"))
    _write(ssh / "ssh_host_ed25519_key", (target / HOST_KEY).read_text("ascii"), 0o600)
    _write(ssh / "sshd_config", (_HERE / "board/sshd_config").read_text("ascii"))
    _write(etc / "inittab", (_HERE / "board/inittab").read_text("ascii"))
    for name in ("board-setup", "board-adbd"):
        _write(tree / "sbin" / name, (_HERE / "board" / name).read_text("ascii"), 0o755)
    for name in ("init", "reboot", "poweroff", "modprobe"):
        (tree / "sbin" / name).unlink(missing_ok=True)
        (tree / "sbin" / name).symlink_to("/bin/busybox")
    home = tree / "home/pi"
    home.mkdir(parents=True)
    shutil.chown(home, 1000, 1000)


def _android(tree: Path, android: Path) -> None:
    shutil.copytree(android / "root", tree / "adev", symlinks=True)
    state = tree / "var/lib/adev"
    for name in ("props", "canned"):
        shutil.copytree(android / name, state / name)
        (state / name).chmod(0o777)
    for name, mode, owner in (
        ("data", 0o771, 1000),
        ("data/local", 0o751, 0),
        ("data/local/tmp", 0o771, 2000),
        ("data/settings", 0o777, 2000),
    ):
        (state / name).mkdir()
        (state / name).chmod(mode)
        shutil.chown(state / name, owner, owner)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    """A new file, in the place of a linked one if there is one."""
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="ascii")
    path.chmod(mode)
