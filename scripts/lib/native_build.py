"""How the native programs are built: one compiler (PyPI's ziglang), flags that give the same bytes everywhere.

Agent: static musl, for every ABI, with libzstd's decoder (zstd_source.py). Runners: one for each runtime, of shared
sources and those of its own folder, against glibc 2.17's symbols, for the ABIs that have a runtime library.
A build is kept in the cache under a hash of its sources, its flags and the compiler's version.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import zstd_source

ZIG_VERSION = "0.17.1"
REPOSITORY = Path(__file__).resolve().parents[2]
OUTPUT = REPOSITORY / "edgekit" / "agent" / "bin"
STEP_TIMEOUT_S = 900
WARNINGS = ("-Wall", "-Wextra", "-Werror")
COMMON = ("-std=c11", "-D_GNU_SOURCE=", "-g0", "-s", "-Wl,--build-id=none", *WARNINGS)
ABIS = ("x86_64", "arm64-v8a", "armeabi-v7a")
ABI_NAMES = {
    **{abi: abi for abi in ABIS},
    "aarch64": "arm64-v8a",
    "arm64": "arm64-v8a",
    "armv7": "armeabi-v7a",
    "amd64": "x86_64",
}


class BuildError(Exception):
    """A step failed; the message is meant for the user."""


@dataclass(frozen=True)
class Product:
    """One file to build."""

    folder: str
    name: str
    abi: str
    target: str
    flags: tuple[str, ...]
    link: tuple[str, ...] = ()
    zig_cpus: tuple[str, ...] = field(default=())
    """sha256.zig is compiled once for each of these (`zig build-obj -mcpu`)."""
    zstd: bool = False
    """libzstd's decoder is part of it."""
    part: str = ""
    """The subfolder whose sources are in this product only, where several share a folder."""

    @property
    def sources(self) -> Path:
        return REPOSITORY / "native" / self.folder


def _agent(abi: str, target: str, cpu: str, *zig_cpus: str) -> Product:
    flags = (*COMMON, "-static", "-Os", f"-mcpu={cpu}")
    return Product("agent", "edgekit-agent", abi, target, flags, zig_cpus=(cpu, *zig_cpus), zstd=True)


def _runner(runtime: str, abi: str, target: str) -> Product:
    link = ("-ldl", "-lpthread", "-lm")
    return Product(
        "runner", f"edgekit-runner-{runtime}", abi, target, (*COMMON, "-O2", "-I."), link, part=runtime
    )


PRODUCTS = (
    _agent("x86_64", "x86_64-linux-musl", "x86_64", "x86_64+sha+avx2"),
    _agent("arm64-v8a", "aarch64-linux-musl", "generic", "generic+sha2"),
    _agent("armeabi-v7a", "arm-linux-musleabihf", "generic+v7a+vfp3d16"),
    _runner("litert", "x86_64", "x86_64-linux-gnu.2.17"),
    _runner("litert", "arm64-v8a", "aarch64-linux-gnu.2.17"),
    _runner("onnxruntime", "x86_64", "x86_64-linux-gnu.2.17"),
    _runner("onnxruntime", "arm64-v8a", "aarch64-linux-gnu.2.17"),
)


def cache_root() -> Path:
    """The same folder that edgekit.cache uses; this script must run without edgekit's dependencies."""
    if own := os.environ.get("EDGEKIT_CACHE_DIR"):
        return Path(own).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser() / "edgekit"
    return Path.home() / ".cache" / "edgekit"


def products(abis: list[str]) -> list[Product]:
    """What is to be built for these ABIs. A folder without sources is left out."""
    return [p for p in PRODUCTS if p.abi in abis and any(p.sources.glob("*.c"))]


def source_files(product: Product) -> list[Path]:
    of_others = {p.part for p in PRODUCTS if p.folder == product.folder} - {product.part}
    files = [
        f
        for f in product.sources.rglob("*")
        if f.suffix in (".c", ".h", ".zig") and f.relative_to(product.sources).parts[0] not in of_others
    ]
    return sorted(files, key=lambda f: f.relative_to(product.sources).as_posix())


def source_hash(product: Product) -> str:
    """Of what both sides of the protocol are built from; the agent calls it its build id."""
    digest = hashlib.sha256()
    for file in source_files(product):
        data = file.read_bytes()
        digest.update(f"{file.relative_to(product.sources)}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()


def build_hash(product: Product) -> str:
    """Names one build in the cache."""
    words = [ZIG_VERSION, product.target, *product.flags, *product.link, "zig", *product.zig_cpus]
    words += [zstd_source.SHA256, *zstd_source.FLAGS] if product.zstd else []
    digest = hashlib.sha256("\0".join(words).encode())
    digest.update(Path(__file__).read_bytes())
    digest.update(source_hash(product).encode())
    return digest.hexdigest()


def run(argv: list[str], *, env: dict[str, str], cwd: Path, what: str) -> None:
    try:
        done = subprocess.run(
            argv, env=env, cwd=cwd, timeout=STEP_TIMEOUT_S, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{what}: no end after {STEP_TIMEOUT_S} s") from error
    except OSError as error:
        raise BuildError(f"{what}: {error}") from error
    if done.returncode:
        output = (done.stdout + done.stderr).strip()
        raise BuildError(f"{what} failed (exit {done.returncode}): {' '.join(argv)}\n{output}")


def _has_zig(python: str) -> bool:
    code = f"import importlib.metadata as m; raise SystemExit(m.version('ziglang') != '{ZIG_VERSION}')"
    done = subprocess.run([python, "-c", code], capture_output=True, timeout=60, check=False)
    return done.returncode == 0


def zig_python() -> str:
    """A Python that has ziglang in the pinned version: this one, or a small venv in the cache."""
    if _has_zig(sys.executable):
        return sys.executable
    venv = cache_root() / f"ziglang-{ZIG_VERSION}"
    python = str(venv / "bin" / "python")
    if venv.is_dir() and _has_zig(python):
        return python
    print(f"installing ziglang {ZIG_VERSION} into {venv}", file=sys.stderr)
    shutil.rmtree(venv, ignore_errors=True)
    venv.parent.mkdir(parents=True, exist_ok=True)
    env = dict(os.environ)
    run([sys.executable, "-m", "venv", str(venv)], env=env, cwd=venv.parent, what="python -m venv")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*install, f"ziglang=={ZIG_VERSION}"], env=env, cwd=venv.parent, what="pip install ziglang")
    return python


def compile_product(product: Product, output: Path, *, python: str, local_cache: Path, sources: Path) -> None:
    """Compile into `output`. `sources` may be a copy: the bytes do not depend on where it lies."""
    env = zig_env(local_cache)
    zig = [python, "-m", "ziglang"]
    cc = [*zig, "cc", "-target", product.target, *product.flags]
    cc += [f"-ffile-prefix-map={sources}=.", f"-ffile-prefix-map={output.parent}=."]
    objects: list[str] = []
    if product.zstd:
        lib = zstd(python)  # first of all: it may have to be fetched
        cc += [f"-ffile-prefix-map={lib}=libzstd", f"-I{lib}"]
        objects.append(f"{output}.zstd.o")
        build = [*cc, "-w", *zstd_source.FLAGS, "-c", "libzstd/decoder.c", "-o", objects[0]]
        run(build, env=env, cwd=sources, what=f"libzstd for {product.abi}")
    objects += sha256_objects(product, output, python=python, env=env, sources=sources)
    build_id = f'-DEK_BUILD_ID="{source_hash(product)[:16]}"'
    files = sorted(f.name for f in product.sources.glob("*.c"))
    files += sorted(
        f"{product.part}/{f.name}" for f in (product.sources / product.part).glob("*.c") if product.part
    )
    run(
        [*cc, build_id, *files, *objects, *product.link, "-o", str(output)],
        env=env,
        cwd=sources,
        what=f"{product.name} for {product.abi}",
    )
    for name in map(Path, objects):
        name.unlink()
    output.chmod(0o755)


def zig_env(local_cache: Path) -> dict[str, str]:
    env = dict(os.environ)
    env["ZIG_GLOBAL_CACHE_DIR"] = str(cache_root() / "zig")
    env["ZIG_LOCAL_CACHE_DIR"] = str(local_cache)
    env["SOURCE_DATE_EPOCH"] = "0"
    return env


def sha256_objects(
    product: Product, output: Path, *, python: str, env: dict[str, str], sources: Path
) -> list[str]:
    """sha256.zig for every CPU of the product, beside `output`."""
    objects: list[str] = []
    for number, cpu in enumerate(product.zig_cpus):
        objects.append(f"{output}.{number}.o")
        flags = ["-target", product.target, f"-mcpu={cpu}", "-OReleaseFast", "-fstrip", "-fno-compiler-rt"]
        build = [python, "-m", "ziglang", "build-obj", *flags, f"-femit-bin={objects[-1]}", "sha256.zig"]
        run(build, env=env, cwd=sources, what=f"zig build-obj for {product.abi}")
    return objects


def zstd(python: str) -> Path:
    """The folder of libzstd's sources. Raises BuildError."""
    try:
        return zstd_source.zstd_sources(python, cache_root())
    except zstd_source.SourceError as error:
        raise BuildError(str(error)) from error


def cached_build(product: Product) -> Path:
    """The built file, in the cache."""
    kept = cache_root() / "native" / build_hash(product) / product.name
    if kept.is_file():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    print(f"building {product.name} for {product.abi}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="build-", dir=kept.parent) as scratch:
        made = Path(scratch) / product.name
        local = cache_root() / "zig-local"
        compile_product(product, made, python=zig_python(), local_cache=local, sources=product.sources)
        made.replace(kept)
    return kept


def place(built: Path, product: Product, output: Path) -> Path:
    """Copy a build, and the licence of what is in it, to where the package looks for it."""
    target = output / product.abi / product.name
    if product.zstd:
        _place(zstd(zig_python()) / zstd_source.LICENCE, target.with_name("LICENSE.zstd"), 0o644)
    _place(built, target, 0o755)
    return target


def _place(source: Path, target: Path, mode: int) -> None:
    """Nothing is done where the same bytes are there."""
    if target.is_file() and target.read_bytes() == source.read_bytes():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.ek-tmp")
    shutil.copyfile(source, temporary)
    temporary.chmod(mode)
    temporary.replace(target)


def build_twice(product: Product) -> tuple[str, str]:
    """sha256 of two builds from two copies of the sources, in two folders, with two empty local caches."""
    hashes = []
    for name in ("first", "second-with-a-longer-name"):
        with tempfile.TemporaryDirectory(prefix=f"edgekit-{name}-") as scratch:
            folder = Path(scratch)
            shutil.copytree(product.sources, folder / "sources")
            made = folder / product.name
            compile_product(
                product,
                made,
                python=zig_python(),
                local_cache=folder / "zig",
                sources=folder / "sources",
            )
            hashes.append(hashlib.sha256(made.read_bytes()).hexdigest())
    return hashes[0], hashes[1]
