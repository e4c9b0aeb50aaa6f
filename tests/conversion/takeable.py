"""What becomes of MediaPipe's 14 TFLite files in each recipe: run by scripts/takeable_models, kept in takeable.json."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edgekit.conversion.samples import generate
from edgekit.errors import EdgekitError
from edgekit.models.inspect import open_model
from tests.conversion.convert import convert
from tests.conversion.models import real_models

TABLE = Path(__file__).with_name("takeable.json")
PACKAGE = "mediapipe"
RECIPES = ("float16", "int8-weight-only", "int8-dynamic", "int8-static")
CALIBRATION_SAMPLES = 16


@dataclass(frozen=True)
class Outcome:
    """`state` as a verification's, or "refused"; `notes`: what was done to the file, and the proof."""

    state: str
    code: str = ""
    why: str = ""
    size_bytes: int = 0
    snr_db: float | None = None
    notes: tuple[str, ...] = ()


def names() -> list[str]:
    """Downloads the package where it is not there yet."""
    return sorted(name.partition("/")[2] for name in real_models() if name.startswith(f"{PACKAGE}/"))


def run(name: str, recipe: str) -> Outcome:
    """Convert one file. Calibrated and compared on noise, as MediaPipe's pictures are not in the package."""
    source = real_models()[f"{PACKAGE}/{name}"]
    signature = open_model(source).signature
    assert signature is not None
    with tempfile.TemporaryDirectory() as folder:
        samples = generate(signature.inputs, CALIBRATION_SAMPLES, seed=3)
        values = {
            spec.name: np.concatenate([s[k] for s in samples]) for k, spec in enumerate(signature.inputs)
        }
        np.savez(Path(folder) / "calibration.npz", **values)  # type: ignore[arg-type]
        try:
            made = convert(
                source,
                recipe=recipe,
                calibration=Path(folder) / "calibration.npz",
                output=Path(folder) / "o.ekm",
            )
        except EdgekitError as error:
            state = "failed" if error.exit_code == 7 else "refused"
            return Outcome(state, error.code, error.message)
        found = made.manifest.verification
        return Outcome(
            found.state,
            why="; ".join(found.reasons),
            size_bytes=made.manifest.model.size_bytes,
            snr_db=None if found.snr_db is None else round(found.snr_db, 1),
            notes=made.manifest.notes,
        )


def expected() -> dict[str, dict[str, Outcome]]:
    """By model and recipe, as the last run of the script found it."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))["models"]
    return {
        name: {recipe: Outcome(**{**one, "notes": tuple(one["notes"])}) for recipe, one in recipes.items()}
        for name, recipes in table.items()
    }


def write(found: dict[str, dict[str, Outcome]], made: dict[str, str]) -> None:
    models = {
        name: {recipe: asdict(one) for recipe, one in recipes.items()} for name, recipes in found.items()
    }
    TABLE.write_text(
        json.dumps({"made": made, "models": models}, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
