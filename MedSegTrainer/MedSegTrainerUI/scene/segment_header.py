"""Names and colours of segments in the header of a NRRD file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from MedSegTrainerLib import atomic
from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerUI.scene.segment_classes import SegmentClass


def name_segments(path: Path, classes: Sequence[SegmentClass | LabelClass]) -> None:
    """Puts names and colours of the classes into the header of a NRRD file, as segmentation files have them."""
    lines = []
    for index, item in enumerate(classes):
        color = " ".join(f"{part / 255:.6f}" for part in item.color)
        name = item.name.replace("\n", " ")
        for key, value in (
            ("ID", f"Segment_{item.value}"),
            ("Name", name),
            ("Color", color),
            ("LabelValue", item.value),
            ("Layer", 0),
        ):
            lines.append(f"Segment{index}_{key}:={value}\n")
    content = path.read_bytes()
    end = content.index(b"\n\n") + 1
    atomic.write_bytes(path, content[:end] + "".join(lines).encode() + content[end:])
