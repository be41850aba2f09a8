"""What an image file is by its first bytes, and refusing those that are something else than their names say."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from MedSegTrainerLib.errors import DataError

START = 1024  # bytes that tell a format, and hold the header of a NIfTI file
PACKED_START = 4096  # of an archive; nearly always more than enough for these
GZIP = b"\x1f\x8b"
PHOTOS = {"PNG", "TIFF", "JPEG"}  # read by their content, whatever their suffix
READ_AS = {  # suffix to the formats that its reader takes
    ".nii.gz": {"NIfTI"}, ".nii": {"NIfTI"},
    ".nrrd": {"NRRD"}, ".nhdr": {"NRRD"}, ".mha": {"MetaImage"}, ".mhd": {"MetaImage"},
    ".npy": {"NPY"}, ".npz": {"NPZ or another zip archive"}, ".dcm": {"DICOM"}, ".dicom": {"DICOM"}, ".ima": {"DICOM"},
    ".png": PHOTOS, ".tif": PHOTOS, ".tiff": PHOTOS, ".jpg": PHOTOS, ".jpeg": PHOTOS,
}  # fmt: skip
SUFFIX_OF = {
    "NIfTI": ".nii",
    "packed NIfTI": ".nii.gz",
    "NRRD": ".nrrd",
    "MetaImage": ".mha",
    "NPY": ".npy",
    "DICOM": ".dcm",
    "PNG": ".png",
    "TIFF": ".tif",
    "JPEG": ".jpg",
}
MAGIC = (  # first bytes to format
    (b"NRRD", "NRRD"), (b"ObjectType", "MetaImage"), (b"\x93NUMPY", "NPY"), (b"\x89PNG\r\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"),
    (b"PK\x03\x04", "NPZ or another zip archive"), (b"PK\x05\x06", "NPZ or another zip archive"),
    (b"\x89HDF\r\n", "HDF5"), (b"BM", "BMP"), (b"GIF8", "GIF"), (b"RIFF", "WebP"), (b"BZh", "a bzip2 archive"),
    (b"7z\xbc\xaf", "a 7z archive"), (b"\xfd7zXZ", "an xz archive"), (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"%PDF", "PDF"), (b"# vtk", "VTK"), (b"CDF", "MINC"), (b"version https://git-lfs", "a pointer of Git LFS"),
)  # fmt: skip
ANALYZE = "Analyze (or a NIfTI pair)", "convert it to NIfTI in one file, for instance with: fslchfiletype NIFTI_GZ FILE"
ARCHIVE = "an archive", "unpack it"
PICTURE = "a picture that is not read", "save it as PNG, without loss"
SURFACE = "a surface model", "make a label map of it in 3D Slicer (import as segmentation, save as .seg.nrrd)"
SLIDE = "a whole slide image", "export tiles of it as TIFF or PNG"
SCENE = "a scene of 3D Slicer", "open it there and save its volumes and segmentations as .nrrd and .seg.nrrd"
FOREIGN = {  # suffix to the format's name and what to do
    ".hdr": ANALYZE, ".img": ANALYZE, ".hdr.gz": ANALYZE, ".img.gz": ANALYZE,
    ".mgz": ("FreeSurfer's MGZ", "convert it with: mri_convert FILE.mgz FILE.nii.gz"),
    ".mgh": ("FreeSurfer's MGH", "convert it with: mri_convert FILE.mgh FILE.nii.gz"),
    ".mnc": ("MINC", "convert it with: mnc2nii FILE.mnc FILE.nii"),
    ".par": ("Philips PAR/REC", "convert it with dcm2niix"), ".rec": ("Philips PAR/REC", "convert it with dcm2niix"),
    ".mat": ("MATLAB", "save its arrays as .npy or .npz"),
    ".h5": ("HDF5", "save its arrays as .npy or .npz"), ".hdf5": ("HDF5", "save its arrays as .npy or .npz"),
    ".zip": ARCHIVE, ".tar": ARCHIVE, ".gz": ARCHIVE, ".tgz": ARCHIVE, ".bz2": ARCHIVE, ".7z": ARCHIVE, ".rar": ARCHIVE,
    ".xz": ARCHIVE, ".bmp": PICTURE, ".gif": PICTURE, ".webp": PICTURE, ".jp2": PICTURE, ".heic": PICTURE,
    ".stl": SURFACE, ".vtk": SURFACE, ".vtp": SURFACE, ".ply": SURFACE, ".obj": SURFACE,
    ".svs": SLIDE, ".ndpi": SLIDE, ".mrxs": SLIDE, ".mrb": SCENE, ".mrml": SCENE,
}  # fmt: skip
WEB_PAGE = (b"<!doctype html", b"<html", b"<?xml")
INSTEAD = {  # formats to what they are, and what to do
    "a web page": "not the image. Download the file itself",
    "a pointer of Git LFS": "not the image. Get the file with: git lfs pull",
    "NIfTI-2": "which is not read. Save it as NIfTI-1, for instance in Python: "
    "nibabel.save(nibabel.Nifti1Image.from_image(nibabel.load(old)), new)",
}
# What a DICOM file without preamble begins with (PS3.5, 7.1): a tag of group 2 or 8, its type or its length
DICOM_BARE = re.compile(rb"[\x02\x08]\0[\x00\x01\x05\x08\x12-\x18]\0(U[IL]|CS|OB|DA|TM|[\x02-\x40]\0\0\0)")
DICOM_MAGIC = b"DICM"  # after 128 bytes (PS3.10, 7.1)


def foreign_suffix(path: Path) -> str | None:
    """The suffix of a file in a format that is known and not read, or None."""
    name = path.name.lower()
    return next((suffix for suffix in sorted(FOREIGN, key=len, reverse=True) if name.endswith(suffix)), None)


def refuse_misnamed(path: Path, suffix: str | None) -> None:
    """Raises DataError where a file is known to be of another format than its ``suffix`` promises, or is empty.

    suffix: that of an image, None for other names. Content of no known kind passes: its reader says what is wrong. A
    ``.nii.gz`` need not be packed.
    """
    foreign = foreign_suffix(path) if suffix is None else None
    if foreign is not None:
        what, remedy = FOREIGN[foreign]
        raise DataError(f"{path} is {what}, which is not read. {remedy[:1].upper()}{remedy[1:]}.")
    with path.open("rb") as stream:
        start = stream.read(START)
    if not start:
        raise DataError(f"{path} is empty. Copy or download the file again, or remove the case.")
    if suffix is None:
        return
    packed = start.startswith(GZIP)
    start = unpacked_start(path) if packed else start
    content = _format_of(start)
    if packed and suffix != ".nii.gz":
        what = "packed NIfTI" if content == "NIfTI" else "a gzip archive"
        raise _misnamed(path, what, suffix)
    if packed and content == "a gzip archive":
        raise DataError(f"{path} is packed twice. Unpack it once (gunzip), and name it .nii.gz again.")
    if content is not None and content not in READ_AS[suffix]:
        raise _misnamed(path, content, suffix)
    if content is None and start and "NIfTI" in READ_AS[suffix]:  # ITK guesses, and what it promises cannot be checked
        reason = "it does not begin as NIfTI does"
        raise DataError(f"{path} cannot be read as an image: {reason}. Replace the file or remove the case.")


def _misnamed(path: Path, content: str, suffix: str) -> DataError:
    if content in SUFFIX_OF:
        name = path.name[: len(path.name) - len(suffix)] + SUFFIX_OF[content]
        return DataError(f"{path} is {content}, and its name says {suffix}. Rename it to {name}.")
    if content in INSTEAD:
        return DataError(f"{path} is {content}, {INSTEAD[content]}.")
    return DataError(f"{path} is {content}, and its name says {suffix}. Unpack or convert it, or remove the case.")


def looks_like_dicom(start: bytes) -> bool:
    """Whether a file that begins so is DICOM, also without the preamble that it should have."""
    return start[128:132] == DICOM_MAGIC or DICOM_BARE.match(start) is not None


def _format_of(start: bytes) -> str | None:
    """None for what is not known."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(WEB_PAGE):
        return "a web page"
    if start.startswith(GZIP):
        return "a gzip archive"
    if looks_like_dicom(start):
        return "DICOM"
    sizes = {int.from_bytes(start[:4], order) for order in ("little", "big")}
    if 540 in sizes:
        return "NIfTI-2"
    if 348 in sizes:
        return "NIfTI"
    return next((name for magic, name in MAGIC if start.startswith(magic)), None)


def unpacked_start(path: Path) -> bytes:
    """The first bytes of a file, unpacked where it is a gzip archive; b'' where that is damaged."""
    try:
        return read_start(path)[1]
    except (OSError, EOFError, zlib.error):  # its reader says what is wrong
        return b""


def read_start(path: Path) -> tuple[bool, bytes]:
    """Whether a file is a gzip archive, and its first bytes, unpacked.

    Raises OSError, EOFError or zlib.error where the archive is damaged.
    """
    with path.open("rb") as stream:
        head = stream.read(PACKED_START)
    if not head.startswith(GZIP):
        return False, head[:START]
    try:  # opening it as gzip does takes five times as long, and several checks look at each file
        start = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, START)
    except zlib.error:
        start = b""
    if len(start) == START:
        return True, start
    with gzip.open(path) as archive:
        return True, archive.read(START)
