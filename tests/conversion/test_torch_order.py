"""B1.2: PyTorch programs that were exported with tensors in another order in memory than that of their axes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from edgekit.conversion.sources.handles import TorchModel
from edgekit.conversion.targets.torch_layout import in_plain_order
from tests.conversion.convert import convert

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.heavy
NOTE = "exported anew: an example input, or weights, lay in memory in another order than that of their axes"


def net(channels: int) -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(channels, 4, 3), torch.nn.ReLU()).eval()


def exported(path: Path, module: Any, given: Any) -> Path:
    torch.export.save(torch.export.export(module, (given,)), path)
    return path


def view_of_one_channel(path: Path) -> Path:
    """Torch calls it contiguous."""
    given = torch.randn(1, 8, 8, 1).permute(0, 3, 1, 2)
    assert given.is_contiguous()
    return exported(path, net(1), given)


def channels_last(path: Path) -> Path:
    last = torch.channels_last
    return exported(path, net(3).to(memory_format=last), torch.randn(1, 3, 8, 8).to(memory_format=last))


def weights_in_channels_last(path: Path) -> Path:
    return exported(path, net(3).to(memory_format=torch.channels_last), torch.randn(1, 3, 8, 8))


@pytest.mark.skipif(find_spec("executorch") is None, reason="executorch is not installed")
@pytest.mark.parametrize("make", [view_of_one_channel, channels_last, weights_in_channels_last])
def test_executorch_takes_plain_tensors(tmp_path: Path, make: Any) -> None:
    """Its runtime failed on the first (error 0x1), read the second's input as another one, and its converter fell over the third."""
    artifact = convert(make(tmp_path / "m.pt2"), to="executorch", recipe="float32", output=tmp_path / "o.ekm")
    assert artifact.manifest.verification.state == "passed"
    assert NOTE in artifact.manifest.notes


@pytest.mark.skipif(find_spec("coremltools") is None, reason="coremltools is not installed")
def test_core_ml_takes_them_too(tmp_path: Path) -> None:
    """coremltools: "does not have general support for non-contiguous dim order"."""
    model = channels_last(tmp_path / "m.pt2")
    artifact = convert(model, to="coreml", recipe="float32", output=tmp_path / "o.ekm")
    assert artifact.manifest.verification.state == "passed"
    assert NOTE in artifact.manifest.notes


def test_a_plain_program_is_left_as_it_is() -> None:
    """Also where an axis of one has a stride of its own that changes no order."""
    given = torch.randn(2, 1, 8, 8)[:1]
    module = net(1)
    program = torch.export.export(module, (given,))
    model = TorchModel(program.module(), (given,), program)
    found, notes = in_plain_order(model, "m")
    assert found is model
    assert notes == ()
