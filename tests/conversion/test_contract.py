"""What every source and target plug-in must do, an outsider's as well as ours (B1.1, B1.2)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit import registry
from edgekit.conversion.hosts.base import HostModel, run_real
from edgekit.conversion.layout import pair
from edgekit.conversion.recipes import load_recipe
from edgekit.conversion.samples import generate
from edgekit.conversion.sources.base import LoadedSource, LoadOptions, Source, find_source
from edgekit.conversion.targets.base import Request, Target
from edgekit.models import detect_format
from edgekit.models.artifact import entry_for
from tests.conversion.models import DIGITS
from tests.conversion.nets import build

pytest.importorskip("ai_edge_litert.interpreter")


class SourceContract:
    """Subclass it, name the plug-in and give a model that it reads."""

    name: str

    @pytest.fixture
    def model(self, tmp_path: Path) -> str:
        raise AssertionError("a subclass gives the model")

    def test_is_registered(self) -> None:
        plugin = registry.load("sources", self.name)()
        assert isinstance(plugin, Source)
        assert plugin.name == self.name
        assert plugin.formats
        assert not plugin.accepts("/no/such/file")

    def test_is_found_by_the_model(self, model: str) -> None:
        assert find_source(model).name == self.name
        assert detect_format(model) in find_source(model).formats

    def test_runs_as_its_signature_says(self, model: str) -> None:
        """`run` takes values in the order, dtypes and shapes of the signature and gives its outputs so, repeatably."""
        loaded = find_source(model).load(model, LoadOptions())
        assert isinstance(loaded, LoadedSource)
        for sample in generate(loaded.signature.inputs, 2, token_limits=loaded.token_limits):
            first, second = loaded.run(sample), loaded.run(sample)
            assert [value.dtype.name for value in first] == [spec.dtype for spec in loaded.signature.outputs]
            assert [value.shape for value in first] == [spec.shape for spec in loaded.signature.outputs]
            for a, b in zip(first, second, strict=True):
                np.testing.assert_array_equal(a, b)

    def test_tells_where_it_came_from(self, model: str) -> None:
        first, second = (find_source(model).load(model, LoadOptions()) for _ in range(2))
        assert first.origin == second.origin
        assert first.signature == second.signature
        assert len(first.origin.sha256) == 64
        assert "/" not in first.origin.name
        assert first.tools


class TestTfliteSource(SourceContract):
    name = "tflite"

    @pytest.fixture
    def model(self, tmp_path: Path) -> str:
        return str(DIGITS / "digits.tflite")


@pytest.mark.heavy
class TestKerasSource(SourceContract):
    name = "keras"

    @pytest.fixture
    def model(self, tmp_path: Path) -> str:
        return str(build("lstm", "keras", tmp_path))


@pytest.mark.heavy
class TestTorchSource(SourceContract):
    name = "torch"

    @pytest.fixture
    def model(self, tmp_path: Path) -> str:
        return str(build("lstm", "torch", tmp_path))


@pytest.mark.heavy
class TestOnnxSource(SourceContract):
    name = "onnx"

    @pytest.fixture
    def model(self, tmp_path: Path) -> str:
        return str(build("lstm", "onnx", tmp_path))


class TargetContract:
    """Subclass it, name the plug-in and a source that it takes (the LSTM of the matrix: an input, an output)."""

    name: str
    source = "torch"

    def test_is_registered(self) -> None:
        plugin = registry.load("targets", self.name)()
        assert isinstance(plugin, Target)
        assert plugin.name == self.name
        assert set(plugin.recipes) >= {"float32", "float16"}

    @pytest.mark.parametrize("recipe", ["float32", "float16"])
    def test_makes_what_it_says(self, tmp_path: Path, recipe: str) -> None:
        """The same bytes twice, in its format; names kept; what `open` gives computes what the source computes."""
        target = registry.load("targets", self.name)()
        path = str(build("lstm", self.source, tmp_path))
        loaded = find_source(path).load(path, LoadOptions())
        entries, made = [], None
        for folder in (tmp_path / "first", tmp_path / "second"):
            folder.mkdir()
            prepared = target.prepare(Request(loaded, "keep", folder))
            made = target.make(prepared, load_recipe(recipe), ())
            entries.append(entry_for("model", made.path))
        assert made is not None
        assert entries[0] == entries[1]
        assert detect_format(made.path) == target.format
        assert {s.name for s in made.signature.inputs} == {s.name for s in loaded.signature.inputs}
        assert {s.name for s in made.signature.outputs} == {s.name for s in loaded.signature.outputs}
        host, pairing = (
            target.open(made.path, made.signature, "it"),
            pair(loaded.signature, made.signature, "keep"),
        )
        assert isinstance(host, HostModel)
        for sample in generate(loaded.signature.inputs, 2):
            found = pairing.to_source(run_real(host, pairing.to_result(sample)))
            for a, b in zip(loaded.run(sample), found, strict=True):
                limit = {"float32": 1e-5, "float16": 2e-3}[recipe] * float(np.abs(a).max())
                np.testing.assert_allclose(b, a, atol=limit, rtol=0)


@pytest.mark.heavy
class TestTfliteTarget(TargetContract):
    name = "tflite"


@pytest.mark.heavy
class TestOnnxTarget(TargetContract):
    name = "onnx"


@pytest.mark.heavy
class TestExecutorchTarget(TargetContract):
    name = "executorch"


@pytest.mark.heavy
class TestCoreMlTarget(TargetContract):
    name = "coreml"


OUTSIDER = """
from pathlib import Path
from edgekit.conversion.sources.tflite import TfliteSource

class Renamed:
    name = "renamed"
    formats = frozenset({"onnx"})

    def accepts(self, source):
        return source.startswith("zoo:")

    def load(self, source, options):
        return TfliteSource().load(str(Path(__file__).parent / "kept.tflite"), options)
"""


def test_a_source_of_another_package(tmp_path: Path) -> None:
    """A plug-in that is installed beside edgekit is found by name, without a change to edgekit."""
    (tmp_path / "outsider.py").write_text(OUTSIDER)
    (tmp_path / "kept.tflite").write_bytes((DIGITS / "digits.tflite").read_bytes())
    info = tmp_path / "outsider-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[edgekit.sources]\nrenamed = outsider:Renamed\nbroken = nowhere:Nothing\n"
    )
    program = (
        "from edgekit.api import convert\n"
        "print(convert('zoo:digits', recipe='int8-dynamic', output='o.ekm').manifest.verification.state)\n"
        f"print(convert({str(DIGITS / 'digits.tflite')!r}, recipe='float32', output='p.ekm').manifest.recipe)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["passed", "float32"], done.stderr
