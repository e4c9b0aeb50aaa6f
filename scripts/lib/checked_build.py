"""The agent for this machine with sanitizers: what the tests and the fuzzer run to find what a release would not show.

Built by the system's C compiler, as zig's comes without the sanitizers' libraries. Never part of a package.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import native_build as nb
import zstd_source

NAME = "edgekit-agent-checked"
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
FLAGS = ("-std=c11", "-D_GNU_SOURCE=", "-O1", "-g", "-fno-omit-frame-pointer", "-no-pie", "-Wall", "-Wextra")
STEP = "install gcc (Debian: apt-get install gcc libc6-dev), or name another compiler in CC"


def compiler() -> str:
    """Raises BuildError where there is none."""
    wanted = [os.environ["CC"]] if os.environ.get("CC") else ["gcc", "clang", "cc"]
    for name in wanted:
        if path := shutil.which(name):
            return path
    raise nb.BuildError(f"no C compiler for the checked build ({', '.join(wanted)}): {STEP}")


def checked_build() -> Path:
    """The built file, in the cache. Raises BuildError."""
    abi = nb.ABI_NAMES.get(platform.machine(), "armeabi-v7a")
    product = next(p for p in nb.products([abi]) if p.zstd)
    cc = compiler()
    kept = nb.cache_root() / "native" / _hash(product, cc) / NAME
    if kept.is_file():
        return kept
    python = nb.zig_python()
    lib = nb.zstd(python)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=kept.parent) as scratch:
        made = Path(scratch) / NAME
        env = nb.zig_env(nb.cache_root() / "zig-local")
        objects = nb.sha256_objects(product, made, python=python, env=env, sources=product.sources)
        zstd = f"{made}.zstd.o"
        # Not "undefined" here: libzstd reads unaligned where that is fast, and says so.
        build = [cc, *zstd_source.FLAGS, "-O1", "-g", "-w", "-fsanitize=address", f"-I{lib}"]
        nb.run(
            [*build, "-c", "libzstd/decoder.c", "-o", zstd],
            env=env,
            cwd=product.sources,
            what="libzstd, checked",
        )
        files = sorted(f.name for f in product.sources.glob("*.c"))
        argv = [cc, *FLAGS, *SANITIZERS, f"-I{lib}", '-DEK_BUILD_ID="checked"', *files, zstd, *objects]
        nb.run([*argv, "-o", str(made)], env=env, cwd=product.sources, what=NAME)
        made.replace(kept)
    return kept


def _hash(product: nb.Product, cc: str) -> str:
    done = subprocess.run([cc, "--version"], capture_output=True, timeout=60, check=False)
    digest = hashlib.sha256(b"\0".join([done.stdout, *(f.encode() for f in (*FLAGS, *SANITIZERS))]))
    digest.update(nb.build_hash(product).encode())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()
