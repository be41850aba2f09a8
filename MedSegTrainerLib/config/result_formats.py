"""The file formats of results: what label maps and the maps beside them are written as.

A new format is an entry here, and a file with its writer where ITK has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ResultFormat:
    """A format that ``apply`` writes.

    suffix: of label maps, without the first dot. map_suffix: of maps with fractions, the same unless given. note: what
    is special about it, for the help. writer: "module:function" of an ``sitk.Image`` and a stream that takes bytes; ''
    where ITK writes what the suffix says. same_as: the format that it is only another word for. segmentation: the type
    of a DICOM segmentation, which needs the DICOM series of the image; '' for files that stand alone. is_bids: whether
    label maps lie and are described as a derivative data set of BIDS, else beside each other under the images' names.
    """

    suffix: str
    map_suffix: str = ""
    note: str = ""
    writer: str = ""
    same_as: str = ""
    segmentation: Literal["", "BINARY", "LABELMAP"] = ""
    is_bids: bool = False

    @property
    def suffix_of_maps(self) -> str:
        return self.map_suffix or self.suffix


RESULT_FORMATS: dict[str, ResultFormat] = {
    "seg.nrrd": ResultFormat(suffix="seg.nrrd", map_suffix="nrrd", note="keeps names and colours"),
    "nii.gz": ResultFormat(suffix="nii.gz"),
    "nifti": ResultFormat(suffix="nii.gz", same_as="nii.gz"),
    "mha": ResultFormat(suffix="mha"),
    "png": ResultFormat(suffix="png", map_suffix="nrrd", note="2D"),
    "npy": ResultFormat(suffix="npy", writer="MedSegTrainerLib.imaging.numpy_files:write_array"),
    "bids": ResultFormat(suffix="nii.gz", note="NIfTI as a BIDS derivative", is_bids=True),
    "dicom-seg": ResultFormat(suffix="seg.dcm", map_suffix="nrrd", note="of DICOM images", segmentation="BINARY"),
    "dicom-seg-labelmap": ResultFormat(
        suffix="seg.dcm", map_suffix="nrrd", note="the newer form", segmentation="LABELMAP"
    ),
}


def format_names() -> str:
    """All formats as a text, each once."""
    formats = {name: entry for name, entry in RESULT_FORMATS.items() if not entry.same_as}
    return ", ".join(f"{name} ({entry.note})" if entry.note else name for name, entry in formats.items())
