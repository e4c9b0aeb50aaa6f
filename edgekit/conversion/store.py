"""Conversions kept by content: the same source, options, tools and data give the same artifact without the work."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import msgspec

from edgekit._version import __version__
from edgekit.cache import cache_dir, host_errors, sha256_file
from edgekit.conversion.extras import is_function
from edgekit.conversion.options import ConvertOptions
from edgekit.conversion.recipes import ProfileLike, load_recipe
from edgekit.conversion.recipes.choose import DEFAULT_PREFER
from edgekit.conversion.targets.base import Target
from edgekit.errors import EdgekitError, HostError
from edgekit.models.artifact import Artifact, is_artifact
from edgekit.models.inspect import hash_folder, open_model
from edgekit.models.manifest import MANIFEST
from edgekit.registry import plugins

CACHE_PART = "conversions"
_TOOLS = (
    "ai-edge-litert", "ai-edge-quantizer", "coremltools", "executorch", "keras", "litert-converter", "litert-torch",
    "numpy", "onnx", "onnxruntime", "onnxscript", "pillow", "tensorflow", "tensorflow-cpu", "torch",
)  # fmt: skip
"""Whatever could take part: a new release of one may convert otherwise."""
_VARIABLES = ("EDGEKIT_ONNX2TF", "KERAS_BACKEND", "KERAS_HOME", "TF_USE_LEGACY_KERAS")
"""Settings that change what a framework or a tool does."""


@dataclass(frozen=True)
class Kept:
    """An artifact in the cache, its hashes checked."""

    artifact: Artifact

    @property
    def name(self) -> str:
        return self.artifact.name

    def copied_to(self, folder: Path) -> Artifact:
        """The same artifact at the user's place."""
        return self.artifact.copied_to(folder)


def key_of(
    source: str | Path,
    options: ConvertOptions,
    target: Target,
    profile: ProfileLike | None,
    label: str | None,
) -> str | None:
    """What a conversion is kept under; None for one that must run to be known (code of the user's)."""
    own = any(
        is_function(str(given)) for given in (options.evaluation, options.calibration) if given is not None
    )
    if not options.cache or own or not Path(source).exists():
        return None
    origin = open_model(source)
    parts = {
        "edgekit": __version__,
        "code": _code_digest(),
        "python": sys.version,
        "environment": {name: os.environ.get(name) for name in _VARIABLES},
        "tools": {name: found for name in _TOOLS if (found := _version(name))},
        "source": (Path(source).name, origin.format, origin.sha256),
        "options": msgspec.to_builtins(
            {
                "recipe": options.recipe is not None and str(options.recipe), "recipes": _recipes(options, profile),
                "method": options.calibration_method, "layout": options.layout, "trust": options.trust, "rescue": options.rescue,
                "shapes": sorted((name, list(shape)) for name, shape in options.shapes.items()),
            }
        ),
        "data": [_data(options.calibration), _data(options.evaluation), _data(options.preprocess)],
        "target": target.name,
        "profile": (profile.name, profile.sha256) if profile else None,
        "name": label,
    }  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


def recall(key: str) -> Kept | None:
    """The artifact kept under a key; None where there is none, or where its bytes are not what they were."""
    try:
        folder = cache_dir(CACHE_PART) / key
        return Kept(Artifact.load(folder)) if is_artifact(folder) else None
    except HostError:
        return None
    except EdgekitError:
        shutil.rmtree(folder, ignore_errors=True)
        return None


def remember(key: str, artifact: Artifact) -> None:
    """Keep a copy under the key, which was asked for again after the work: another key means that a file changed
    meanwhile. A cache that cannot be written costs the next conversion its time, nothing else."""
    try:
        parent = cache_dir(CACHE_PART)
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    except (OSError, HostError):
        return
    try:
        # Files first, then the manifest, then the rename: half a copy is no artifact.
        shutil.copytree(artifact.path, scratch / key, ignore=shutil.ignore_patterns(MANIFEST), symlinks=True)
        shutil.copyfile(artifact.path / MANIFEST, scratch / key / MANIFEST)
        if not (parent / key).exists():
            (scratch / key).rename(parent / key)
    except OSError:
        return
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _recipes(options: ConvertOptions, profile: ProfileLike | None) -> list[str]:
    """Hashes of what the recipes say that may be taken: a file of the user's can say something else tomorrow."""
    wished = tuple(profile.recipe.prefer) if profile else ()
    names = (options.recipe,) if options.recipe is not None else wished or DEFAULT_PREFER
    return [load_recipe(name).sha256 for name in names]


def _data(path: str | Path | None) -> str | None:
    if path is None:
        return None
    with host_errors(path):
        if Path(path).is_dir():
            return f"{Path(path).name}\t{hash_folder(Path(path))[0]}"
        return f"{Path(path).name}\t{sha256_file(Path(path))}" if Path(path).is_file() else str(path)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def _code_digest() -> str:
    """sha256 over what converts, plug-ins of others included: a change in the code is a change of the tool."""
    root = Path(__file__).parents[1]
    files = [path for part in ("conversion", "models", "profiles") for path in (root / part).rglob("*")]
    for group in ("sources", "targets"):
        for point in plugins(group).values():
            package = point.module.partition(".")[0]
            if package != "edgekit" and (spec := find_spec(package)) is not None:
                places = [Path(place) for place in spec.submodule_search_locations or ()]
                files += [path for place in places for path in place.rglob("*.py")]
                files += [Path(spec.origin)] if spec.origin else []
    digest = hashlib.sha256()
    for path in sorted({path for path in files if path.suffix in (".py", ".yaml")}):
        digest.update(f"{path.name}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
