"""PNG files that ITK does not read, or reads as something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from MedSegTrainerLib.data.png import has_gray_and_alpha, has_palette, read_gray, read_indices
from MedSegTrainerLib.errors import DataError

GRAY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


def palette_image(indices: np.ndarray) -> Image.Image:
    image = Image.fromarray(indices).convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette([0, 0, 0, 200, 10, 10, 128, 128, 128, *[9] * 759])
    return image


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    images = {
        "gray.png": Image.fromarray(GRAY),
        "alpha.png": Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(255 - GRAY)]),
        "palette.png": palette_image(GRAY // 20 % 3),
        "colour.png": Image.fromarray(np.stack([GRAY] * 3, axis=-1)),
        "gray.jpg": Image.fromarray(GRAY),
    }
    for name, image in images.items():
        image.save(tmp_path / name)
    (tmp_path / "short.png").write_bytes(b"\x89PNG")
    (tmp_path / "empty.png").touch()
    return {path.name: path for path in tmp_path.iterdir()}


def test_kinds(files: dict[str, Path]) -> None:
    assert [name for name, path in sorted(files.items()) if has_palette(path)] == ["palette.png"]
    assert [name for name, path in sorted(files.items()) if has_gray_and_alpha(path)] == ["alpha.png"]


def test_gray_values_without_alpha(files: dict[str, Path]) -> None:
    found = read_gray(files["alpha.png"])
    assert np.array_equal(found, GRAY)
    assert found.dtype == np.uint8


def test_indices_of_a_palette(files: dict[str, Path]) -> None:
    assert np.array_equal(read_indices(files["palette.png"]), GRAY // 20 % 3)


def test_a_damaged_file_is_named(files: dict[str, Path]) -> None:
    whole = files["palette.png"].read_bytes()
    files["palette.png"].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"palette\.png cannot be read as an image"):
        read_indices(files["palette.png"])


def test_16_bits_are_not_cut_in_silence(files: dict[str, Path]) -> None:
    content = bytearray(files["alpha.png"].read_bytes())
    content[24] = 16
    files["alpha.png"].write_bytes(bytes(content))
    with pytest.raises(DataError, match="16-bit gray values with an alpha channel"):
        read_gray(files["alpha.png"])
