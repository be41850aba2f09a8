"""Names, colours and codes of segments in the header of a NRRD file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from MedSegTrainerLib import atomic
from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerUI.scene.segment_classes import SegmentClass


def name_segments(
    path: Path, classes: Sequence[SegmentClass | LabelClass], layer_of: Mapping[int, int] | None = None
) -> None:
    """Puts names, colours and codes of the classes into the header of a NRRD file, as segmentation files have them.

    layer_of: the layer of each class by its value; without it all lie in one. VTK takes two layers for complex numbers
    and three for colours: here they get the kind that Slicer gives them.
    """
    lines = []
    for index, item in enumerate(classes):
        color = " ".join(f"{part / 255:.6f}" for part in item.color)
        name = item.name.replace("\n", " ")
        for key, value in (
            ("ID", f"Segment_{item.value}"),
            ("Name", name),
            ("Color", color),
            ("LabelValue", item.value),
            ("Layer", (layer_of or {}).get(item.value, 0)),
        ):
            lines.append(f"Segment{index}_{key}:={value}\n")
        if item.terminology:
            lines.append(f"Segment{index}_Tags:=TerminologyEntry:{item.terminology}|\n")
    header, end, voxels = path.read_bytes().partition(b"\n\n")
    header = re.sub(rb"\nkinds: \S+ domain domain domain", b"\nkinds: list domain domain domain", header)
    atomic.write_bytes(path, header + b"\n" + "".join(lines).encode() + end[1:] + voxels)
