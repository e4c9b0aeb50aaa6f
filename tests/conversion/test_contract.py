"""What every source and target plug-in must do, an outsider's as well as ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit import events, registry
from edgekit.conversion.interpreter import HostModel
from edgekit.conversion.samples import generate
from edgekit.conversion.sources.base import LoadedSource, Source, find_source
from edgekit.conversion.targets.base import Target
from edgekit.models import detect_format
from edgekit.models.inspect import inspect_tflite
from tests.conversion.models import DIGITS

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

    def test_result_and_reference_agree(self, model: str) -> None:
        """`run` takes real values in the order of the TFLite model and gives its outputs in order."""
        loaded = find_source(model).load(model, events.ignore)
        assert isinstance(loaded, LoadedSource)
        info = inspect_tflite(loaded.tflite, "result")
        assert info.signature is not None
        host = HostModel(loaded.tflite, "result")
        for sample in generate(info.signature.inputs, 3):
            expected, found = loaded.run(sample), host.run_real(sample)
            assert [value.shape for value in found] == [value.shape for value in expected]
            for a, b in zip(expected, found, strict=True):
                np.testing.assert_allclose(b, a, atol=1e-5 * float(np.abs(a).max()))

    def test_tells_where_it_came_from(self, model: str) -> None:
        first, second = (find_source(model).load(model, events.ignore) for _ in range(2))
        assert first.origin == second.origin
        assert len(first.origin.sha256) == 64
        assert "/" not in first.origin.name
        assert first.tools
        assert first.tflite == second.tflite  # the same source gives the same bytes


class TestTflite(SourceContract):
    name = "tflite"

    @pytest.fixture
    def model(self, tmp_path: Path) -> str:
        return str(DIGITS / "digits.tflite")


@pytest.mark.heavy
class TestKeras(SourceContract):
    name = "keras"

    @pytest.fixture
    def model(self, tmp_path: Path) -> str:
        keras = pytest.importorskip("keras")
        keras.utils.set_random_seed(3)
        layers = [keras.Input((9,)), keras.layers.Dense(20, activation="relu"), keras.layers.Dense(4)]
        path = tmp_path / "net.keras"
        keras.Sequential(layers).save(path)
        return str(path)


@pytest.mark.heavy
class TestTorch(SourceContract):
    name = "torch"

    @pytest.fixture
    def model(self, tmp_path: Path) -> str:
        torch = pytest.importorskip("torch")
        pytest.importorskip("litert_torch")
        torch.manual_seed(3)
        net = torch.nn.Sequential(torch.nn.Linear(9, 20), torch.nn.ReLU(), torch.nn.Linear(20, 4)).eval()
        path = tmp_path / "net.pt2"
        torch.export.save(torch.export.export(net, (torch.rand(1, 9),)), path)
        return str(path)


class TestTfliteTarget:
    """Also the contract of targets: the same bytes for the same inputs, the suffix and format it says."""

    @pytest.mark.parametrize("recipe", ["float32", "float16", "int8-dynamic"])
    def test_makes_what_it_says(self, recipe: str) -> None:
        target = registry.load("targets", "tflite")()
        assert isinstance(target, Target)
        data = (DIGITS / "digits.tflite").read_bytes()
        info = inspect_tflite(data, "digits")
        made = [target.make(data, info, recipe, (), events.ignore) for _ in range(2)]
        assert made[0].data == made[1].data
        assert inspect_tflite(made[0].data, "result").format == target.format == target.suffix.lstrip(".")


OUTSIDER = """
from pathlib import Path
from edgekit.conversion.sources.tflite import TfliteSource

class Renamed:
    name = "renamed"
    formats = frozenset({"onnx"})

    def accepts(self, source):
        return source.startswith("zoo:")

    def load(self, source, sink):
        return TfliteSource().load(str(Path(__file__).parent / "kept.tflite"), sink)
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
        "from edgekit.conversion import convert\n"
        "print(convert('zoo:digits', recipe='int8-dynamic', output='o.ekm').manifest.verification.state)\n"
        f"print(convert({str(DIGITS / 'digits.tflite')!r}, recipe='float32', output='p.ekm').manifest.recipe)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["passed", "float32"], done.stderr
