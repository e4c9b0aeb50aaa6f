"""Makes one net's file: `python -m tests.conversion.nets.make NET FORMAT PATH`, in a process of its own so that the tests' process
does not hold every framework."""

from __future__ import annotations

import sys
from pathlib import Path


def as_torch(net: str, path: Path) -> None:
    import torch

    from tests.conversion.nets import torch_nets

    module, inputs = getattr(torch_nets, net)()
    torch.export.save(torch.export.export(module, inputs), path)


def as_onnx(net: str, path: Path) -> None:
    import torch

    from tests.conversion.nets import torch_nets

    module, inputs = getattr(torch_nets, net)()
    torch.onnx.export(
        module, inputs, path, dynamo=True, external_data=False, input_names=["input"], output_names=["scores"]
    )


def as_tflite(net: str, path: Path) -> None:
    import litert_torch

    from tests.conversion.nets import torch_nets

    module, inputs = getattr(torch_nets, net)()
    litert_torch.convert(module, inputs).export(str(path))


def as_keras(net: str, path: Path) -> None:
    from tests.conversion.nets import keras_nets

    keras_nets.NETS[net]().save(path)


MAKERS = {"torch": as_torch, "keras": as_keras, "onnx": as_onnx, "tflite": as_tflite}

if __name__ == "__main__":
    MAKERS[sys.argv[2]](sys.argv[1], Path(sys.argv[3]))
