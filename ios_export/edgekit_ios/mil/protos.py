"""The protobuf classes of coremltools, without what `import coremltools` brings along.

The package's __init__ imports PyTorch and TensorFlow where they are installed, which takes up to a minute; to read a
file only the generated classes are needed. The message classes are the same objects either way: protobuf keeps one
class for each message type.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from edgekit.errors import HostError, MissingExtra

_ALIAS = "edgekit_ios._coremltools_proto"


def model_pb2() -> Any:
    """The module Model_pb2. Raises MissingExtra, HostError (E_BROKEN_EXTRA)."""
    try:
        return importlib.import_module(f"{_package()}.Model_pb2")
    except (ImportError, TypeError, AttributeError) as error:
        raise HostError(
            f"coremltools is installed but its protobuf classes do not load: {error}",
            code="E_BROKEN_EXTRA",
            hint="pip install --force-reinstall 'edgekit-sdk[coreml]'",
        ) from error


def protobuf_damage() -> type[Exception]:
    """What protobuf raises for bytes that are no message."""
    damage: type[Exception] = importlib.import_module("google.protobuf.message").DecodeError
    return damage


def _package() -> str:
    if "coremltools.proto" in sys.modules:
        return "coremltools.proto"
    if _ALIAS not in sys.modules:
        found = importlib.util.find_spec("coremltools")
        if found is None or not found.submodule_search_locations:
            raise MissingExtra("reading Core ML models", "coreml")
        package = ModuleType(_ALIAS)
        package.__path__ = [str(Path(place) / "proto") for place in found.submodule_search_locations]
        sys.modules[_ALIAS] = package
    return _ALIAS
