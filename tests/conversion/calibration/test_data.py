"""B2.2: calibration data is streamed and checked sample by sample: .npz, images, a function of the user's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.conversion.calibration import far_apart, load_calibration
from edgekit.errors import InputError
from edgekit.events import Event
from edgekit.models import TensorSpec
from tests.conversion.models import DIGITS

pytestmark = pytest.mark.base
IMAGE = TensorSpec(name="image", dtype="float32", shape=(1, 4, 4, 1))
STATE = TensorSpec(name="state", dtype="int32", shape=(-1, 3))
RATE = TensorSpec(name="sr", dtype="int64", shape=())
GOOD = np.random.default_rng(5).random((10, 4, 4, 1), dtype=np.float32)


def save(folder: Path, *, packed: bool = True, **arrays: Any) -> Path:
    path = folder / "data.npz"
    (np.savez_compressed if packed else np.savez)(path, **arrays)
    return path


def edited(place: tuple[int, ...], value: float) -> Any:
    bad = GOOD.copy()
    bad[place] = value
    return bad


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    "arrays",
    [
        {"image": GOOD},
        {"inputs": GOOD},
        {"image": GOOD[:, None]},
        {"image": GOOD.astype(np.float64), "labels": np.arange(10)},
        {"image": (GOOD * 255).astype(np.uint8), "targets": GOOD},
    ],
)
def test_npz_is_taken(tmp_path: Path, arrays: dict[str, Any], packed: bool) -> None:
    data = load_calibration(save(tmp_path, packed=packed, **arrays), [IMAGE])
    values = next(iter(arrays.values())).reshape(10, 1, 4, 4, 1).astype(np.float32)
    for _ in range(2):  # as often as it is asked
        samples = list(data)
        assert [(one.dtype, one.shape) for (one,) in samples] == [(np.float32, (1, 4, 4, 1))] * 10
        np.testing.assert_array_equal(np.stack([one for (one,) in samples]), values)
    assert len(data) == 10
    np.testing.assert_array_equal(data.pick([0, 7])[1][0], values[7])
    assert (data.least, data.most) == ((float(values.min()),), (float(values.max()),))


def test_inputs_in_model_order_and_a_setting(tmp_path: Path) -> None:
    path = save(
        tmp_path, state=np.arange(30, dtype=np.int64).reshape(10, 3), sr=np.full(10, 16000), image=GOOD
    )
    data = load_calibration(path, [IMAGE, STATE, RATE])
    image, state, rate = data.pick([9])[0]
    assert (image.shape, state.tolist(), state.dtype, rate.shape, int(rate)) == (
        (1, 4, 4, 1), [[27, 28, 29]], np.int32, (), 16000,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arrays", "code", "said"),
    [
        ({"picture": GOOD}, "E_DATA_NAMES", "image float32 [1, 4, 4, 1]"),
        ({}, "E_DATA_NAMES", "nothing"),
        ({"image": GOOD[:, :3]}, "E_DATA_SHAPE", "expected [N, 4, 4, 1]"),
        ({"image": np.float32(3)}, "E_DATA_SHAPE", "expected"),
        ({"image": GOOD[:0]}, "E_DATA_SHAPE", "no samples"),
        ({"image": GOOD.astype(np.complex64)}, "E_DATA_DTYPE", "complex64, expected float32"),
        ({"image": edited((3, 0, 0, 0), np.nan)}, "E_DATA_VALUES", "sample 3 holds NaN"),
        ({"image": edited((7, 0, 0, 0), np.inf)}, "E_DATA_VALUES", "sample 7 holds NaN or infinite"),
        ({"image": np.zeros_like(GOOD)}, "E_DATA_VALUES", "every value is 0"),
        ({"image": np.repeat(GOOD[:1], 10, axis=0)}, "E_DATA_VALUES", "all 10 samples are the same"),
        ({"image": np.asfortranarray(GOOD)}, "E_DATA", "Fortran order"),
        ({"image": np.array([{"a": 1}], dtype=object)}, "E_DATA", "objects"),
    ],
)
def test_npz_is_refused(tmp_path: Path, arrays: dict[str, Any], code: str, said: str) -> None:
    path = save(tmp_path, **arrays)
    with pytest.raises(InputError) as caught:
        load_calibration(path, [IMAGE])
    assert (caught.value.code, caught.value.exit_code) == (code, 1)
    assert said in caught.value.message
    assert str(path) in caught.value.message


def test_a_value_out_of_range_names_its_sample(tmp_path: Path) -> None:
    values = np.arange(30, dtype=np.int64).reshape(10, 3)
    values[4, 1] = 2**40
    with pytest.raises(InputError, match=r"'state', sample 4: values do not fit into int32"):
        load_calibration(save(tmp_path, state=values), [STATE])


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken"])
def test_no_npz(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_calibration(path, [IMAGE])
    assert caught.value.code == "E_DATA"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_calibration(tmp_path / "absent.npz", [IMAGE])
    assert caught.value.code == "E_DATA_MISSING"


@pytest.mark.parametrize("at", range(0, 4000, 37))
def test_damage_is_an_error_or_data(tmp_path: Path, at: int) -> None:
    data = bytearray((DIGITS / "calibration.npz").read_bytes())
    data[at * len(data) // 4000] ^= 0x55
    path = tmp_path / "damaged.npz"
    path.write_bytes(data)
    spec = TensorSpec(name="image", dtype="float32", shape=(1, 28, 28, 1))
    try:
        assert len(list(load_calibration(path, [spec]))) == 200
    except InputError as error:
        assert error.code.startswith("E_DATA")  # noqa: PT017


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[Event] = []
    load_calibration(save(tmp_path, image=GOOD), [IMAGE], sink=told.append)
    assert (told[-1].done, told[-1].total, told[-1].unit) == (10, 10, "samples")


def test_data_of_another_scale_is_told(tmp_path: Path) -> None:
    data = load_calibration(save(tmp_path, image=GOOD), [IMAGE])
    assert far_apart(data, [GOOD * 1.5]) == ()
    (note,) = far_apart(data, [GOOD * 255])
    assert "input 'image' goes from 0" in note
    assert "are both scaled alike?" in note


MODULE = """
import numpy as np
seen = []
def arrays():
    rng = np.random.default_rng(3)
    for _ in range(12):
        yield rng.random((4, 4, 1), dtype=np.float32)
def by_name():
    for one in arrays():
        yield {"image": one}
def fails():
    yield from list(arrays())[:3]
    raise KeyError("lost")
def exits():
    raise SystemExit(3)
def other():
    seen.append(1)
    for one in arrays():
        print("said by the user's code")
        yield one + len(seen)
def bad():
    for index, one in enumerate(arrays()):
        yield one if index < 5 else one[:2]
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_data_for_edgekit.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "own_data_for_edgekit", raising=False)
    return "own_data_for_edgekit"


@pytest.mark.parametrize("function", ["arrays", "by_name"])
def test_a_function_is_streamed(module: str, function: str) -> None:
    data = load_calibration(f"{module}:{function}", [IMAGE], trust=True)
    again = load_calibration(f"{module}:{function}", [IMAGE], trust=True)
    assert (len(data), len(list(data)), data.sha256) == (12, 12, again.sha256)
    np.testing.assert_array_equal(data.pick([3])[0][0], list(again)[3][0])


@pytest.mark.parametrize(
    ("function", "code", "said"),
    [
        ("fails", "E_CALIBRATION", "KeyError: 'lost'"),
        ("exits", "E_CALIBRATION", "SystemExit"),
        ("absent", "E_CALIBRATION", "cannot be imported"),
        ("bad", "E_DATA_SHAPE", "sample 5: shape [2, 4, 1]"),
    ],
)
def test_a_function_that_fails(module: str, function: str, code: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_calibration(f"{module}:{function}", [IMAGE], trust=True)
    assert caught.value.code == code
    assert said in caught.value.message


def test_a_function_that_is_not_the_same_twice(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = load_calibration(f"{module}:other", [IMAGE], trust=True)
    with pytest.raises(InputError) as caught:
        list(data)
    assert caught.value.code == "E_DATA_CHANGED"
    assert capsys.readouterr().out == ""


def test_a_function_runs_only_with_trust(module: str) -> None:
    with pytest.raises(InputError) as caught:
        load_calibration(f"{module}:arrays", [IMAGE])
    assert caught.value.code == "E_UNTRUSTED"


PIL = pytest.importorskip("PIL.Image")
COLOUR = TensorSpec(name="x", dtype="float32", shape=(1, 4, 6, 3))
FIRST = TensorSpec(name="x", dtype="float32", shape=(1, 3, 4, 6))
SPEC = "schema: edgekit.images/1\n"


def pictures(folder: Path, count: int = 3, size: tuple[int, int] = (6, 4)) -> list[Any]:
    """PNGs, which keep every pixel; their pixels."""
    rng = np.random.default_rng(1)
    made = []
    for index in range(count):
        pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        PIL.fromarray(pixels).save(folder / f"{index:02}.png")
        made.append(pixels)
    return made


def images(folder: Path, spec: TensorSpec, text: str) -> list[Any]:
    (folder / "preprocess.yaml").write_text(SPEC + text)
    return [one for (one,) in load_calibration(folder, [spec])]


def test_images_as_they_are(tmp_path: Path) -> None:
    pixels = pictures(tmp_path)
    for given, wanted in zip(images(tmp_path, COLOUR, ""), pixels, strict=True):
        np.testing.assert_array_equal(given, wanted[None].astype(np.float32))


def test_images_scaled_normalized_turned(tmp_path: Path) -> None:
    """(pixel * scale - mean) / std, blue first, channels first."""
    pixels = pictures(tmp_path)
    text = "scale: 0.01\nmean: [0.1, 0.2, 0.3]\nstd: [1.0, 2.0, 4.0]\ncolour: BGR\n"
    given = images(tmp_path, FIRST, text)
    wanted = (pixels[1][:, :, ::-1] * np.float32(0.01) - np.float32([0.1, 0.2, 0.3])) / np.float32([1, 2, 4])
    np.testing.assert_allclose(given[1], wanted.transpose(2, 0, 1)[None], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("resize: crop\ninterpolation: nearest\n", (2, 5)),
        ("resize: pad\ninterpolation: nearest\nfill: 7\n", None),
    ],
)
def test_images_cropped_and_padded(tmp_path: Path, text: str, columns: tuple[int, int] | None) -> None:
    square = TensorSpec(name="x", dtype="uint8", shape=(1, 4, 4, 3))
    pixels = pictures(tmp_path, size=(8, 4))
    given = images(tmp_path, square, text)[0][0]
    assert given.dtype == np.uint8
    if columns is not None:
        np.testing.assert_array_equal(given, pixels[0][:, 2:6])
    else:
        assert (given[0] == 7).all()
        assert (given[3] == 7).all()
        assert not (given[1:3] == 7).all()


def test_grey_images_and_integers(tmp_path: Path) -> None:
    pictures(tmp_path)
    grey = TensorSpec(name="x", dtype="int8", shape=(1, 4, 6, 1))
    given = images(tmp_path, grey, "colour: L\nmean: [128]\n")
    assert given[0].dtype == np.int8
    assert given[0].min() < 0 < given[0].max()


@pytest.mark.parametrize(
    ("spec", "text", "said"),
    [
        (COLOUR, "skale: 1\n", "preprocess.yaml:2: skale: unknown key 'skale'; did you mean 'scale'?"),
        (COLOUR, "colour: L\n", "has 3 channels, colour L has 1"),
        (COLOUR, "mean: [1, 2]\n", "mean has 2 values"),
        (COLOUR, "std: [1, 0, 1]\n", "std has a zero"),
        (STATE, "", "the model takes no single image"),
    ],
)
def test_a_wrong_specification(tmp_path: Path, spec: TensorSpec, text: str, said: str) -> None:
    pictures(tmp_path)
    with pytest.raises(InputError) as caught:
        images(tmp_path, spec, text)
    assert caught.value.code == "E_DATA_PREPROCESS"
    assert said in caught.value.message


def test_images_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing says how images become tensors"):
        load_calibration(tmp_path, [COLOUR])
    (tmp_path / "preprocess.yaml").write_text(SPEC)
    with pytest.raises(InputError, match="has no images"):
        load_calibration(tmp_path, [COLOUR])
    pictures(tmp_path)
    (tmp_path / "01.png").write_bytes(b"\x89PNG no")
    with pytest.raises(InputError, match=r"sample 1, 01.png, cannot be read"):
        load_calibration(tmp_path, [COLOUR])
    with pytest.raises(InputError, match="--preprocess is for images"):
        load_calibration(save(tmp_path, image=GOOD), [IMAGE], preprocess=tmp_path / "preprocess.yaml")


def test_the_hash_is_of_images_and_specification(tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / "preprocess.yaml").write_text(SPEC)
    before = load_calibration(tmp_path, [COLOUR])
    (tmp_path / "preprocess.yaml").write_text(SPEC + "scale: 0.5\n")
    other = load_calibration(tmp_path, [COLOUR])
    (tmp_path / "00.png").rename(tmp_path / "09.png")
    assert len({before.sha256, other.sha256, load_calibration(tmp_path, [COLOUR]).sha256}) == 3


HOSTILE = """
import numpy as np
class Bad:
    def __array__(self, *args, **more):
        raise RuntimeError("no array")
class Map(dict):
    def __getitem__(self, name):
        raise RuntimeError("gone")
def no_array():
    yield Bad()
def no_item():
    yield Map(image=np.ones((4, 4, 1), np.float32))
def ragged():
    yield np.ones((4, 4, 1), np.float32), [[1.0], [1.0, 2.0]]
"""


@pytest.mark.parametrize("function", ["no_array", "no_item", "ragged"])
def test_what_a_function_yields_may_raise_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    """An object that fails when it is made into an array is the user's error, no bug of edgekit's."""
    (tmp_path / "hostile_data_for_edgekit.py").write_text(HOSTILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "hostile_data_for_edgekit", raising=False)
    with pytest.raises(InputError) as caught:
        load_calibration(f"hostile_data_for_edgekit:{function}", [IMAGE, STATE], trust=True)
    assert caught.value.code in ("E_CALIBRATION", "E_DATA_NAMES")


def test_sixteen_bits_a_pixel_are_refused(tmp_path: Path) -> None:
    """Pillow clips them at 255: all but the darkest 1 of 256 would be white."""
    pictures(tmp_path)
    deep = np.random.default_rng(1).integers(0, 65536, (4, 6)).astype(np.uint16)
    PIL.fromarray(deep).save(tmp_path / "01.png")
    with pytest.raises(InputError, match=r"sample 1, 01.png, .*no 8-bit values \(mode I;16\)"):
        images(tmp_path, COLOUR, "")


@pytest.mark.parametrize("kind", ["EPS", "TIFF", "GIF"])
def test_a_file_is_read_as_what_folders_of_images_hold_only(tmp_path: Path, kind: str) -> None:
    """Whatever it is called: to read an EPS, Pillow starts Ghostscript on it."""
    pictures(tmp_path)
    PIL.open(tmp_path / "00.png").save(tmp_path / "other", kind)
    (tmp_path / "other").rename(tmp_path / "01.png")
    with pytest.raises(InputError, match=r"sample 1, 01.png, cannot be read: cannot identify"):
        images(tmp_path, COLOUR, "")


def test_a_name_that_is_no_unicode(tmp_path: Path) -> None:
    pictures(tmp_path)
    odd = bytes(tmp_path) + b"/\xff\xfe.png"
    try:
        Path(odd.decode(errors="surrogateescape")).write_bytes((tmp_path / "00.png").read_bytes())
    except OSError:
        pytest.skip("the file system takes Unicode only")
    assert len(images(tmp_path, COLOUR, "")) == 4


def test_a_thread_of_an_image_does_not_fill_the_memory(tmp_path: Path) -> None:
    """Cropped to 224 x 224, 1 x 65,000 would become 224 x 14,560,000 first: 10 GB."""
    pictures(tmp_path)
    PIL.new("RGB", (1, 65_000)).save(tmp_path / "01.png")
    large = TensorSpec(name="x", dtype="float32", shape=(1, 224, 224, 3))
    with pytest.raises(InputError, match="1 x 65000 would become 224 x 14560000"):
        images(tmp_path, large, "resize: crop\n")
    assert len(images(tmp_path, large, "resize: pad\n")) == 3
