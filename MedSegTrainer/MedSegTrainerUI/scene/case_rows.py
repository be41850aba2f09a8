"""The rows of the table of training data, remembered in the scene: names on the parameter node, nodes as references.

References, and not node IDs, so that a scene that is saved, loaded or merged into another keeps them right.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import slicer

from MedSegTrainerUI.scene.result_origin import is_accepted, is_result
from MedSegTrainerUI.slicer_types import Node, RoiNode, SegmentationNode, VolumeNode

PARAMETER = "rows"
Region = Literal["everywhere", "slices", "corrected", "roi", "box"]
Axis = Literal["", "x", "y", "z"]
Box = tuple[tuple[int, int, int], tuple[int, int, int]]
NOT_IN_NAMES = '/\\:*?"<>|'


@dataclass(frozen=True, kw_only=True)
class CaseRow:
    """A case: nodes of the scene, or files.

    volumes: vtkMRMLScalarVolumeNode, one a channel, the first is the reference. segmentation: the node or None.
    images, label: paths instead, of a data set on disk; ``segments`` are then the names of its classes, ``values``
    their numbers in its label maps, ``drawn`` those classes that were looked for (None: all), and ``ignore_label`` the
    value of voxels that nobody labelled.

    region: where the case was labelled: everywhere, in the slices that have something in them, in those where what a
    model had drawn was corrected, inside ``roi`` (a vtkMRMLMarkupsROINode, None where it was removed), or, on disk
    alone, in the voxels ``box`` (first and last i, j, k). axis: along which the slices lie one behind the other, of the
    patient; "": to be found from what is drawn.
    """

    name: str
    use: bool = True
    volumes: tuple[VolumeNode, ...] = ()
    segmentation: SegmentationNode = None
    images: tuple[str, ...] = ()
    label: str = ""
    segments: tuple[str, ...] = ()
    values: tuple[int, ...] = ()
    drawn: tuple[str, ...] | None = None
    ignore_label: int | None = None
    region: Region = "everywhere"
    axis: Axis = ""
    roi: RoiNode = None
    box: Box | None = None


def read_rows(parameterNode: Node) -> list[CaseRow]:
    """The remembered rows in their order; a row of which a node was removed from the scene is not among them.

    Of a result of a model nobody labelled but what was corrected or accepted, whatever is remembered of the row.
    """
    rows = []
    for index, entry in enumerate(_entries(parameterNode)):
        volumes = tuple(
            parameterNode.GetNodeReference(_volume_role(index, channel)) for channel in range(entry["volumes"])
        )
        segmentation = parameterNode.GetNodeReference(_segmentation_role(index)) if entry["segmentation"] else None
        if None in volumes or (entry["segmentation"] and segmentation is None):
            continue
        lists = {key: tuple(entry[key]) for key in ("images", "segments", "values")}
        values = {key: entry[key] for key in ("name", "use", "label")}
        roi = parameterNode.GetNodeReference(_roi_role(index))
        known = {**values, **lists, **_labelled(entry)}
        if is_result(segmentation):
            known["region"] = "everywhere" if is_accepted(segmentation) else "corrected"
        rows.append(CaseRow(volumes=volumes, segmentation=segmentation, roi=roi, **known))
    return rows


def write_rows(parameterNode: Node, rows: Sequence[CaseRow]) -> None:
    """Replaces the remembered rows; observers of the node are told once."""
    entries = [
        {
            "name": row.name,
            "use": row.use,
            "volumes": len(row.volumes),
            "segmentation": row.segmentation is not None,
            "images": row.images,
            "label": row.label,
            "segments": row.segments,
            "values": row.values,
            "drawn": row.drawn,
            "ignore_label": row.ignore_label,
            "region": row.region,
            "axis": row.axis,
            "box": row.box,
        }
        for row in rows
    ]
    with slicer.util.NodeModify(parameterNode):
        for index, entry in enumerate(_entries(parameterNode)):
            for channel in range(entry["volumes"]):
                parameterNode.SetNodeReferenceID(_volume_role(index, channel), None)
            for role in (_segmentation_role(index), _roi_role(index)):
                parameterNode.SetNodeReferenceID(role, None)
        for index, row in enumerate(rows):
            for channel, volume in enumerate(row.volumes):
                parameterNode.SetNodeReferenceID(_volume_role(index, channel), volume.GetID())
            for role, node in ((_segmentation_role(index), row.segmentation), (_roi_role(index), row.roi)):
                if node is not None:
                    parameterNode.SetNodeReferenceID(role, node.GetID())
        parameterNode.SetParameter(PARAMETER, json.dumps(entries))


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """``wanted`` as files of every system can be called, and unlike ``taken`` also where capitals do not count."""
    base = "".join("_" if letter in NOT_IN_NAMES or ord(letter) < 32 else letter for letter in wanted).strip(". ")
    names = {name.casefold() for name in taken}
    name, number = base or "case", 1
    while name.casefold() in names:
        number += 1
        name = f"{base or 'case'} {number}"
    return name


def _labelled(entry: dict[str, Any]) -> dict[str, Any]:
    """What scenes that were saved by earlier versions do not have."""
    drawn, box = entry.get("drawn"), entry.get("box")
    return {
        "drawn": None if drawn is None else tuple(drawn),
        "ignore_label": entry.get("ignore_label"),
        "region": entry.get("region", "everywhere"),
        "axis": entry.get("axis", ""),
        "box": None if box is None else (tuple(box[0]), tuple(box[1])),
    }


def _entries(parameterNode: Node) -> list[dict[str, Any]]:
    return json.loads(parameterNode.GetParameter(PARAMETER) or "[]")


# a role of its own for each node: in a list of references the others would move up when a node is removed
def _volume_role(index: int, channel: int) -> str:
    return f"row{index}.volume{channel}"


def _segmentation_role(index: int) -> str:
    return f"row{index}.segmentation"


def _roi_role(index: int) -> str:
    return f"row{index}.roi"
