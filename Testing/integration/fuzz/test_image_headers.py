"""Image files with any field or byte changed: read as what they say, or refused in words, and never anything else.

Each is read by ``reader.py`` in a process with little memory, which must answer within half a minute and stay alive.
The tests ``at_length``, of 1450 files, are marked slow.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import queue
import re
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MOST_SECONDS = 30.0  # for one file, on a busy machine too
START_SECONDS = 300.0  # until the libraries are loaded
MEMORY = 4 << 30  # bytes of addresses; the libraries alone take most of it
READER = Path(__file__).with_name("reader.py")
QUICK = settings(
    max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
SLOW = settings(QUICK, max_examples=250)

SIZE, SPACING = (7, 6, 5), (0.8, 1.1, 2.5)
DIRECTION = (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0)

Change = Callable[[bytes], bytes]


class Reader:
    """The process that reads; a new one where the last one died."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.answers: queue.Queue[str] = queue.Queue()

    def read(self, path: Path, *, label: bool = False) -> dict[str, Any]:
        process = self._alive()
        assert process.stdin is not None
        process.stdin.write(f"label\t{path}\n" if label else f"{path}\n")
        process.stdin.flush()
        try:
            answer = self.answers.get(timeout=MOST_SECONDS)
        except queue.Empty:
            self.end()
            pytest.fail(f"no answer in {MOST_SECONDS} s")
        if not answer:
            self.end()
            pytest.fail(f"the process ended with code {process.returncode}")
        found: dict[str, Any] = json.loads(answer)
        return found

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            with self.process:
                pass
            self.process = None

    def _alive(self) -> subprocess.Popen[str]:
        if self.process is None:
            self.answers = queue.Queue()
            self.process = subprocess.Popen(
                [sys.executable, str(READER), str(MEMORY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
            threading.Thread(target=_listen, args=(self.process, self.answers), daemon=True).start()
            assert self.answers.get(timeout=START_SECONDS) == "ready\n"
        return self.process


def _listen(process: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        answers.put(line)
    answers.put("")


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    found = Reader()
    yield found
    found.end()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("headers")
    (folder / "a.raw").write_bytes(VOXELS)
    return folder


def volume(kind: type = np.int16) -> sitk.Image:
    image = sitk.GetImageFromArray((np.arange(math.prod(SIZE)) % 3).reshape(SIZE[::-1]).astype(kind))
    image.SetSpacing(SPACING)
    image.SetOrigin((-30.0, 12.0, 7.0))
    image.SetDirection(DIRECTION)
    return image


def written(folder: Path, suffix: str, *, flat: bool = False) -> bytes:
    path = folder / f"good{suffix}"
    if not path.exists():
        image = volume(np.uint8)[:, :, 2] if flat else volume()
        sitk.WriteImage(image, str(path), useCompression=suffix == ".nii.gz")
    return path.read_bytes()


def check(reader: Reader, path: Path, content: bytes) -> dict[str, Any]:
    """Whatever the file holds: an image with a grid that can be, or words. Returns the answer for the image."""
    path.write_bytes(content)
    answers = [reader.read(path, label=label) for label in (True, False)]
    for answer in answers:
        assert "traceback" not in answer, answer["traceback"]
        if "image" in answer:
            grid = answer["image"]
            assert all(0 < value < 1e7 for value in grid["spacing"]), grid
            assert all(math.isfinite(value) and abs(value) < 1e7 for value in grid["origin"]), grid
            assert abs(np.linalg.det(np.array(grid["direction"]).reshape(3, 3))) > 0.1, grid
            assert min(grid["size"]) > 0, grid
        else:
            assert len(answer["refused"]) > 20 and path.name in answer["refused"], answer
    return answers[-1]


def bytes_changed(header: int) -> st.SearchStrategy[Change]:
    """Some bytes of the first ``header`` changed, or the file cut, or begun or ended otherwise."""
    pairs = st.lists(st.tuples(st.integers(0, header - 1), st.integers(0, 255)), min_size=1, max_size=4)

    def put(content: bytes, changes: list[tuple[int, int]]) -> bytes:
        changed = bytearray(content)
        for place, value in changes:
            changed[place % len(changed)] = value
        return bytes(changed)

    return st.one_of(
        pairs.map(lambda changes: lambda content: put(content, changes)),
        st.integers(0, header + 50).map(lambda length: lambda content: content[:length]),
        st.binary(min_size=1, max_size=8).map(lambda start: lambda content: start + content[len(start) :]),
        st.tuples(st.integers(0, header), st.binary(min_size=1, max_size=8)).map(
            lambda added: lambda content: content[: added[0]] + added[1] + content[added[0] :]
        ),
    )


WHOLE = st.sampled_from([0, 1, -1, 2, 3, 4, 5, 7, 8, 255, 256, 1000, 32767, -32768])
REAL = st.sampled_from([0.0, -1.0, 1.0, 1e-30, 1e30, 3e38, math.nan, math.inf, -math.inf, 0.5, 1000.0, 352.0])


# --- NIfTI ---


def nifti_fields(version: int) -> st.SearchStrategy[tuple[str, int, Any]]:
    """Format, place and value of a field."""
    dims, dim, reals, real = (40, "h", 76, "f") if version == 1 else (16, "q", 104, "d")
    codes = {1: (70, 72, 252, 254), 2: (12, 14, 344, 348)}[version]
    places = {1: (108, 112, 116, *range(256, 328, 4)), 2: (176, 184, *range(352, 496, 8))}[version]
    start, offset = ("f", 108) if version == 1 else ("q", 168)
    whole = WHOLE if version == 1 else WHOLE | st.sampled_from([10**9, 2**31, 2**62, -(2**62)])
    dim_places = st.sampled_from([dims + index * struct.calcsize(dim) for index in range(8)])
    real_places = st.sampled_from([reals + index * struct.calcsize(real) for index in range(8)])
    return st.one_of(
        st.tuples(st.just(dim), dim_places, whole),
        st.tuples(st.just(real), real_places | st.sampled_from(places), REAL),
        st.tuples(st.just("h"), st.sampled_from(codes), WHOLE),
        st.tuples(st.just(start), st.just(offset), REAL if version == 1 else whole),
    )


def nifti(version: int, order: str) -> bytes:
    """The volume with header and voxels of a version in a byte order, without ITK."""
    array = sitk.GetArrayFromImage(volume()).astype(f"{order}i2")
    header = bytearray(348 if version == 1 else 540)
    fields: list[tuple[str, int, Any]] = [("i", 0, len(header))]
    shape, spacing = (3, *SIZE, 1, 1, 1, 1), (1, *SPACING, 0, 0, 0, 0)
    rows = [(0.768, 0.308, 0.0, 30.0), (-0.224, 1.056, 0.0, -12.0), (0.0, 0.0, 2.5, 7.0)]
    numbers = [value for row in rows for value in row]
    if version == 1:
        fields += [("8h", 40, shape), ("h", 70, 4), ("h", 72, 16), ("8f", 76, spacing)]
        fields += [("f", 108, 352), ("f", 112, 1), ("h", 254, 1), ("12f", 280, numbers), ("4s", 344, b"n+1\0")]
    else:
        fields += [("8q", 16, shape), ("h", 12, 4), ("h", 14, 16), ("8d", 104, spacing)]
        fields += [("q", 168, 544), ("d", 176, 1), ("i", 348, 1), ("12d", 400, numbers), ("8s", 4, b"n+2\0\r\n\x1a\n")]
    for text, place, value in fields:
        struct.pack_into(order + text, header, place, *(value if isinstance(value, (tuple, list)) else (value,)))
    return bytes(header) + bytes(4) + array.tobytes()


def nifti_size(content: bytes) -> tuple[int, ...] | None:
    """The size that a header says, with 1 for axes it does not have; None where it is no header."""
    for order in "<>":
        length = struct.unpack_from(f"{order}i", content)[0] if len(content) >= 540 else 0
        if length in (348, 540):
            dims = struct.unpack_from(order + ("8h" if length == 348 else "8q"), content, 40 if length == 348 else 16)
            return tuple(dims[1 : 1 + min(3, dims[0])]) + (1,) * (3 - min(3, dims[0])) if 0 < dims[0] < 8 else None
    return None


@st.composite
def nifti_files(draw: st.DrawFn) -> tuple[str, bytes]:
    version, order = draw(st.sampled_from([1, 2])), draw(st.sampled_from("<>"))
    content = nifti(version, order)
    if draw(st.booleans()):
        changed = bytearray(content)
        for text, place, value in draw(st.lists(nifti_fields(version), min_size=1, max_size=3)):
            try:
                struct.pack_into(order + text, changed, place, value)
            except (struct.error, OverflowError):
                continue
        content = bytes(changed)
    else:
        content = draw(bytes_changed(len(content)))(content)
    if draw(st.booleans()):
        return "a.nii", content
    packed = gzip.compress(content, mtime=0)
    return "a.nii.gz", draw(bytes_changed(len(packed)))(packed) if draw(st.integers(0, 3)) == 0 else packed


def check_nifti(reader: Reader, place: Path, name: str, content: bytes) -> None:
    answer = check(reader, place / name, content)
    if "image" in answer:
        try:
            plain = gzip.decompress(content) if name.endswith(".gz") else content
        except (OSError, EOFError, zlib.error):
            return
        assert tuple(answer["image"]["size"]) == nifti_size(plain), answer


class TestNifti:
    def test_the_file_that_is_changed_is_read(self, reader: Reader, place: Path) -> None:
        for order in "<>":
            found = check(reader, place / "a.nii", nifti(1, order))["image"]
            assert found["size"] == list(SIZE) and np.allclose(found["spacing"], SPACING)
            assert "is NIfTI-2, which is not read" in check(reader, place / "a.nii", nifti(2, order))["refused"]

    @QUICK
    @given(file=nifti_files())
    def test_any_field(self, reader: Reader, place: Path, file: tuple[str, bytes]) -> None:
        check_nifti(reader, place, *file)

    @pytest.mark.slow
    @SLOW
    @given(file=nifti_files())
    def test_any_field_at_length(self, reader: Reader, place: Path, file: tuple[str, bytes]) -> None:
        check_nifti(reader, place, *file)


# --- NRRD and MetaImage: headers of text ---

TEXTS = (
    "", "0", "1", "-1", "2", "4", "7", "nan", "inf", "-inf", "1e300", "1e-300", "1e30", "0 0 0", "7 6", "7 6 5 4",
    "-7 6 5", "100000 100000 100000", "2147483648 1 1", "7 6 0", "1 1 1", "nan nan nan", "none", "LOCAL", "LIST",
    "a.raw", "x" * 300, "(0,0,0) (0,0,0) (0,0,0)", "(1,0,0) (1,0,0) (0,0,1)", "(nan,0,0) (0,1,0) (0,0,1)",
    "(1e300,0,0) (0,1,0) (0,0,1)", "none none none", "(-1,0,0) (0,1,0) (0,0,1)", "raw", "gzip", "gz", "bzip2", "hex",
    "ascii", "txt", "short", "double", "block", "MET_SHORT", "MET_DOUBLE", "MET_UCHAR_ARRAY",
    "left-posterior-superior", "scanner-xyz", "little", "big", "True", "False", "0 0 0 0 0 0 0 0 0",
    "1 0 0 1 0 0 0 0 1", "%s%n", "\x00", "99999999999999999999", "space space space", "domain domain list",
    "vector domain domain",
)  # fmt: skip


def text_header_changed(content: bytes, end: int) -> st.SearchStrategy[bytes]:
    """Values of the lines ``key: value`` or ``key = value`` before ``end`` exchanged, lines left out or doubled."""
    lines, rest = content[:end].split(b"\n"), content[end:]

    def put(changes: list[tuple[int, str, bool]]) -> bytes:
        changed = list(lines)
        for index, value, doubled in changes:
            place = index % len(changed)
            key, mark, _ = changed[place].partition(b": " if b": " in changed[place] else b" = ")
            if mark:
                changed[place : place + 1] = [key + mark + value.encode()] * (2 if doubled else 1)
            elif doubled:
                del changed[place]
        return b"\n".join(changed) + rest

    change = st.tuples(st.integers(0, 40), st.sampled_from(TEXTS), st.integers(0, 7).map(lambda n: n == 0))
    return st.lists(change, min_size=1, max_size=3).map(put)


def text_files(content: bytes, end: int) -> st.SearchStrategy[bytes]:
    return text_header_changed(content, end) | bytes_changed(end).map(lambda change: change(content))


NRRD = b"""NRRD0004
type: short
dimension: 3
space: left-posterior-superior
sizes: 7 6 5
space directions: (0.768,0.224,0) (-0.308,1.056,0) (0,0,2.5)
kinds: domain domain domain
endian: little
encoding: raw
space origin: (-30,12,7)
"""
META = b"""ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = False
TransformMatrix = 0.96 0.28 0 -0.28 0.96 0 0 0 1
Offset = -30 12 7
CenterOfRotation = 0 0 0
AnatomicalOrientation = RAI
ElementSpacing = 0.8 1.1 2.5
DimSize = 7 6 5
ElementType = MET_SHORT
ElementDataFile = """
VOXELS = sitk.GetArrayFromImage(volume()).astype("<i2").tobytes()
TEXT_HEADERS = {  # name to the bytes of the header and what follows it
    "a.nrrd": (NRRD, b"\n" + VOXELS),
    "b.nrrd": (NRRD.replace(b": raw", b": gzip"), b"\n" + gzip.compress(VOXELS, mtime=0)),
    "a.nhdr": (NRRD + b"data file: a.raw\n", b""), "b.nhdr": (NRRD + b"data file: LIST 3\na.raw\n", b""),
    "a.mha": (META + b"LOCAL\n", VOXELS), "a.mhd": (META + b"a.raw\n", b""),
    "b.mha": (META.replace(b"CompressedData = False", b"CompressedData = True") + b"LOCAL\n", zlib.compress(VOXELS)),
}  # fmt: skip


def check_text(reader: Reader, place: Path, name: str, content: bytes) -> None:
    answer = check(reader, place / name, content)
    said = re.findall(rb"^(?:sizes: |DimSize = )([\d ]+)$", content, re.MULTILINE)
    if "image" in answer and len(said) == 1 and answer["image"]["channels"] == 1:
        size = tuple(map(int, said[0].split()))
        assert tuple(answer["image"]["size"]) == (*size, 1, 1, 1)[: max(3, len(size))], answer


class TestTextHeaders:
    @pytest.mark.parametrize("name", TEXT_HEADERS)
    def test_the_file_that_is_changed_is_read(self, reader: Reader, place: Path, name: str) -> None:
        found = check(reader, place / name, b"".join(TEXT_HEADERS[name]))["image"]
        assert found["size"] == list(SIZE) and np.allclose(found["spacing"], SPACING)

    @QUICK
    @given(data=st.data(), name=st.sampled_from(sorted(TEXT_HEADERS)))
    def test_any_field(self, reader: Reader, place: Path, data: st.DataObject, name: str) -> None:
        header, rest = TEXT_HEADERS[name]
        check_text(reader, place, name, data.draw(text_files(header + rest, len(header))))

    @pytest.mark.slow
    @settings(SLOW, max_examples=600)
    @given(data=st.data(), name=st.sampled_from(sorted(TEXT_HEADERS)))
    def test_any_field_at_length(self, reader: Reader, place: Path, data: st.DataObject, name: str) -> None:
        header, rest = TEXT_HEADERS[name]
        check_text(reader, place, name, data.draw(text_files(header + rest, len(header))))


# --- NPY, NPZ, pictures and DICOM ---


def npy(shape: str = "(5, 6, 7)", kind: str = "'<i2'", order: str = "False", content: bytes = VOXELS) -> bytes:
    text = f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + content


SHAPES = (
    "(5, 6, 7)", "(5,)", "()", "(0, 6, 7)", "(-5, 6, 7)", "(10**9,)", "(1000000, 1000000, 1000000)", "(5, 6, 7, 1)",
    "(2147483648, 2147483648)", "(1, 5, 6, 7)", "(5.0, 6, 7)", "('a',)", "[5, 6, 7]", "None",
)  # fmt: skip
KINDS = (
    "'<i2'", "'>i2'", "'<f2'", "'<f8'", "'|O'", "'<c8'", "'|S10'", "'<M8[s]'", "'|V4'", "'x'", "[('a','<i2')]", "'<i8'",
    "'|b1'", "'<f16'", "2",
)  # fmt: skip
NPY = st.builds(
    npy, st.sampled_from(SHAPES), st.sampled_from(KINDS), st.sampled_from(["False", "True", "1", "None", "'a'"])
)


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


ARRAY = np.frombuffer(VOXELS, "<i2").reshape(SIZE[::-1])
NPZ_FIELDS = st.fixed_dictionaries(
    {"image": st.just(ARRAY)},
    optional={
        "spacing": st.lists(REAL, max_size=4).map(np.array), "origin": st.lists(REAL, max_size=4).map(np.array),
        "direction": st.lists(REAL, min_size=8, max_size=9).map(np.array), "label": st.just(ARRAY),
    },
)  # fmt: skip


def png_chunks(content: bytes) -> st.SearchStrategy[bytes]:
    """The size, depth and colour of a PNG changed, with the right checksum."""
    fields = st.tuples(
        st.sampled_from([0, 1, 6, 7, 65535, 2**31 - 1, 2**32 - 1]), st.sampled_from([0, 1, 6, 7, 65535, 2**31 - 1]),
        st.sampled_from([0, 1, 2, 3, 4, 8, 16, 32]), st.integers(0, 7), st.integers(0, 1), st.integers(0, 1),
        st.integers(0, 2),
    )  # fmt: skip

    def put(values: tuple[int, ...]) -> bytes:
        chunk = b"IHDR" + struct.pack(">IIBBBBB", *values)
        return content[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[33:]

    return fields.map(put)


@st.composite
def other_files(draw: st.DrawFn, folder: Path, dicom: bytes) -> tuple[str, bytes]:
    name = draw(st.sampled_from(["a.npy", "a.npz", "a.png", "a.tif", "a.jpg", "a.dcm"]))
    if name == "a.dcm":
        return name, draw(bytes_changed(len(dicom)))(dicom)
    if name == "a.npy":
        return name, draw(NPY | bytes_changed(90).map(lambda change: change(npy())))
    if name == "a.npz":
        content = npz(**draw(NPZ_FIELDS))
        return name, draw(bytes_changed(len(content)))(content) if draw(st.booleans()) else content
    content = written(folder, name[1:], flat=True)
    if name == "a.png" and draw(st.booleans()):
        return name, draw(png_chunks(content))
    return name, draw(bytes_changed(len(content)))(content)


@pytest.fixture(scope="module")
def dicom(shared_data: Path) -> bytes:
    return (shared_data.parent / "cases" / "apply_odd" / "PATIENT" / "STUDY" / "SERIES" / "IM0").read_bytes()


class TestOthers:
    @settings(QUICK, max_examples=120)
    @given(data=st.data())
    def test_any_field(self, reader: Reader, place: Path, dicom: bytes, data: st.DataObject) -> None:
        name, content = data.draw(other_files(place, dicom))
        check(reader, place / name, content)

    @pytest.mark.slow
    @settings(SLOW, max_examples=600)
    @given(data=st.data())
    def test_any_field_at_length(self, reader: Reader, place: Path, dicom: bytes, data: st.DataObject) -> None:
        name, content = data.draw(other_files(place, dicom))
        check(reader, place / name, content)


SEEDS = {  # what failed: the process ended, an exception came through, or another image was read
    "crash.mha": META.replace(b"NDims = 3", b"NDims = 1e300") + b"LOCAL\n" + VOXELS,
    "pattern.mhd": META + b"%s%s%n.raw 0 4 1\n",
    "steps.mhd": META + b"a%03d.raw 0 4\n",
    "keyboard.nhdr": NRRD + b"data file: -\n",
    "empty.nii": nifti(1, "<")[:44] + b"\0\0" + nifti(1, "<")[46:],  # a side of 0 voxels was read as 1
    "start.nii": b"\0\1" + nifti(1, "<")[2:],  # read all the same, and not checked for being whole
    "bits.nii": nifti(1, "<")[:72] + b"\1\0" + nifti(1, "<")[74:400],  # cut off, and one bit a voxel hid that
    "tokens.npy": npy().replace(b"'shape'", b"'sh\0pe'"),
    "latin.nrrd": NRRD + b"M\xfcller:=1\n\n" + VOXELS,
    "segment.seg.nrrd": NRRD + b"Segment0_Name:=M\xfcller\nSegment0_LabelValue:=1\n\n" + VOXELS,
}


@pytest.mark.parametrize("name", SEEDS)
def test_seeds_that_failed(reader: Reader, place: Path, name: str) -> None:
    answer = check(reader, place / name, SEEDS[name])
    assert ("image" in answer) == (name in ("latin.nrrd", "segment.seg.nrrd")), answer
