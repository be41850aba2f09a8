"""Photographs as viewers show them, and numbers of label maps as their files store them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image, ImageDraw

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.photos import is_lossy, read_photo
from MedSegTrainerLib.imaging.read import read_file

NUMBERS = np.arange(20 * 34).reshape(20, 34) % 251
COLOUR = np.stack([NUMBERS, NUMBERS // 2, 250 - NUMBERS], axis=-1).astype(np.uint8)
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # EXIF 2.32, orientation: what shows the stored rows upright
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}  # fmt: skip
COLOURS = [0, 0, 0, 200, 10, 10, 128, 128, 128, 9, 90, 9]


def pixels(path: Path, *, stored: bool = False) -> np.ndarray:
    return sitk.GetArrayFromImage(read_photo(path, stored=stored))


def with_palette(indices: np.ndarray) -> Image.Image:
    image = Image.new("P", indices.shape[::-1])
    image.putdata(indices.ravel().tolist())
    image.putpalette(COLOURS)
    return image


def write_png(numbers: np.ndarray, bits: int, path: Path, *, alpha: bool = False) -> Path:
    """A gray PNG of so many bits, which Pillow itself does not write; with alpha each second number is one."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    planes = (numbers[..., None] >> np.arange(bits)[::-1]) & 1
    rows = np.packbits(planes.reshape(len(numbers), -1).astype(np.uint8), axis=1)
    header = struct.pack(">IIBBBBB", numbers.shape[1] // (1 + alpha), len(numbers), bits, 4 * alpha, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b""))
    return path


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[274] = orientation
    return tags


@pytest.mark.parametrize("orientation", UPRIGHT)
class TestOrientation:
    @pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
    @pytest.mark.parametrize("compression", [None, "tiff_lzw"])
    def test_of_tiff(self, tmp_path: Path, orientation: int, kind: type[np.generic], compression: str | None) -> None:
        path, numbers = tmp_path / "a.tif", NUMBERS.astype(kind)
        Image.fromarray(numbers).save(path, tiffinfo={274: orientation}, compression=compression)
        for stored in (False, True):
            array = pixels(path, stored=stored)
            assert array.dtype == kind
            assert np.array_equal(array, UPRIGHT[orientation](numbers))

    @pytest.mark.parametrize("kind", [np.uint8, np.uint16])
    def test_of_png(self, tmp_path: Path, orientation: int, kind: type[np.generic]) -> None:
        Image.fromarray(NUMBERS.astype(kind)).save(tmp_path / "a.png", exif=exif(orientation))
        assert np.array_equal(pixels(tmp_path / "a.png"), UPRIGHT[orientation](NUMBERS))

    def test_of_png_that_tells_it_behind_the_pixels(self, tmp_path: Path, orientation: int) -> None:
        Image.fromarray(COLOUR).save(tmp_path / "a.png")
        content = exif(orientation).tobytes().removeprefix(b"Exif\0\0")
        chunk = b"eXIf" + content
        late = struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk))
        whole = (tmp_path / "a.png").read_bytes()
        (tmp_path / "a.png").write_bytes(whole[:-12] + late + whole[-12:])
        assert np.array_equal(pixels(tmp_path / "a.png"), UPRIGHT[orientation](COLOUR))

    def test_of_jpeg(self, tmp_path: Path, orientation: int) -> None:
        smooth = Image.new("RGB", (34, 20))
        ImageDraw.Draw(smooth).rectangle((0, 0, 15, 7), fill=(200, 60, 20))
        smooth.save(tmp_path / "a.jpg", exif=exif(orientation), quality=95)
        expected = UPRIGHT[orientation](np.array(smooth)).astype(int)
        array = pixels(tmp_path / "a.jpg")
        assert array.shape == expected.shape
        assert np.abs(array - expected).max() < 60

    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_of_label_maps_with_a_palette(self, tmp_path: Path, orientation: int, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        options = {"exif": exif(orientation)} if suffix == ".png" else {"tiffinfo": {274: orientation}}
        with_palette(NUMBERS % 4).save(path, **options)
        assert np.array_equal(pixels(path, stored=True), UPRIGHT[orientation](NUMBERS % 4))


class TestValues:
    @pytest.mark.parametrize("bits, largest", [(1, 255), (2, 85), (4, 17)])
    def test_few_bits_are_full_range_in_images_and_as_stored_in_label_maps(
        self, tmp_path: Path, bits: int, largest: int
    ) -> None:
        numbers = NUMBERS % 2**bits
        path = write_png(numbers, bits, tmp_path / "a.png")
        assert np.array_equal(pixels(path), numbers * largest)
        assert np.array_equal(pixels(path, stored=True), numbers)

    def test_one_bit_tiff(self, tmp_path: Path) -> None:
        Image.fromarray(NUMBERS % 2 > 0).save(tmp_path / "a.tif")
        assert np.array_equal(pixels(tmp_path / "a.tif"), NUMBERS % 2 * 255)
        assert np.array_equal(pixels(tmp_path / "a.tif", stored=True), NUMBERS % 2)

    @pytest.mark.parametrize("mode", ["1", "L"])
    def test_where_zero_is_white(self, tmp_path: Path, mode: str) -> None:
        """An image is what viewers show, a label map the number in the file."""
        image = Image.fromarray((NUMBERS % 2 * 255).astype(np.uint8)).convert(mode)
        image.save(tmp_path / "black.tif")
        whole = (tmp_path / "black.tif").read_bytes()
        place = whole.index(struct.pack("<HHIH", 262, 3, 1, 1)) + 8
        (tmp_path / "white.tif").write_bytes(whole[:place] + b"\0" + whole[place + 1 :])
        assert np.array_equal(pixels(tmp_path / "white.tif"), 255 - pixels(tmp_path / "black.tif"))
        assert np.array_equal(*(pixels(tmp_path / f"{name}.tif", stored=True) for name in ("white", "black")))

    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_a_palette(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        with_palette(NUMBERS % 4).save(path)
        assert np.array_equal(pixels(path, stored=True), NUMBERS % 4)
        assert np.array_equal(pixels(path), np.array(COLOURS).reshape(4, 3)[NUMBERS % 4])

    @pytest.mark.parametrize("name, mode", [("a.png", "LA"), ("a.tif", "LA"), ("a.tif", "CMYK"), ("a.jpg", "CMYK")])
    def test_alpha_and_inks(self, tmp_path: Path, name: str, mode: str) -> None:
        flat = Image.new("RGB", (34, 20), (80, 80, 80))
        flat.convert(mode).save(tmp_path / name)
        array = pixels(tmp_path / name)
        assert array.shape == ((20, 34) if mode == "LA" else (20, 34, 3))
        assert np.abs(array.astype(int) - 80).max() <= 3

    @pytest.mark.parametrize("kind", [np.uint8, np.uint16])
    def test_pages_are_slices(self, tmp_path: Path, kind: type[np.generic]) -> None:
        volume = np.stack([NUMBERS, NUMBERS[::-1], NUMBERS // 2]).astype(kind)
        pages = [Image.fromarray(page) for page in volume]
        pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
        assert np.array_equal(pixels(tmp_path / "a.tif"), volume)

    def test_pages_with_a_palette(self, tmp_path: Path) -> None:
        pages = [with_palette(NUMBERS % 4), with_palette(NUMBERS % 3)]
        pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
        assert np.array_equal(pixels(tmp_path / "a.tif", stored=True), np.stack([NUMBERS % 4, NUMBERS % 3]))

    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    def test_deep_colours(self, tmp_path: Path, name: str) -> None:
        deep = COLOUR.astype(np.uint16) * 250
        sitk.WriteImage(sitk.GetImageFromArray(deep, isVector=True), str(tmp_path / name))
        assert np.array_equal(pixels(tmp_path / name), deep)


class TestRefused:
    def test_a_damaged_file(self, tmp_path: Path) -> None:
        with_palette(NUMBERS % 4).save(tmp_path / "a.png")
        whole = (tmp_path / "a.png").read_bytes()
        (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match=r"a\.png cannot be read as an image"):
            read_file(tmp_path / "a.png")

    def test_16_bits_are_not_cut_in_silence(self, tmp_path: Path) -> None:
        path = write_png(NUMBERS * 250, 16, tmp_path / "a.png", alpha=True)
        with pytest.raises(DataError, match="16-bit gray values with an alpha channel"):
            read_photo(path)

    def test_deep_colours_that_are_turned(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        sitk.WriteImage(sitk.GetImageFromArray(COLOUR.astype(np.uint16) * 250, isVector=True), str(path))
        content = exif(6).tobytes().removeprefix(b"Exif\0\0")
        chunk = b"eXIf" + content
        whole = path.read_bytes()
        path.write_bytes(
            whole[:33] + struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + whole[33:]
        )
        with pytest.raises(DataError, match=r"orientation 6.*upright"):
            read_photo(path)


def test_lossy_by_content(tmp_path: Path) -> None:
    image = Image.fromarray(NUMBERS.astype(np.uint8))
    image.save(tmp_path / "jpeg.png", format="JPEG")
    image.save(tmp_path / "jpeg.tif", compression="jpeg")
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "a.tif", compression="tiff_lzw")
    assert [is_lossy(tmp_path / name) for name in ("jpeg.png", "jpeg.tif", "a.png", "a.tif")] == [
        True, True, False, False,
    ]  # fmt: skip
    assert pixels(tmp_path / "jpeg.png").shape == NUMBERS.shape


def test_photographs_upside_down_fit_their_masks() -> None:
    """Labels 1 and 2 lie on what is brighter than the rest only where the picture is turned as its EXIF says."""
    root = Path(__file__).resolve().parents[4] / "shared" / "cases" / "exif_180"
    if not root.is_dir():
        pytest.skip(f"needs {root}")
    for path in sorted((root / "images").iterdir()):
        gray = pixels(path).mean(axis=-1)
        mask = pixels(root / "labels" / f"{path.stem}.png", stored=True)
        inside = [float(gray[mask == value].std()) for value in (0, 1, 2)]
        turned = [float(gray[::-1, ::-1][mask == value].std()) for value in (0, 1, 2)]
        assert sum(inside) < 0.8 * sum(turned)
