"""The rows of the table of training data, remembered in the scene: names on the parameter node, nodes as references.

References, and not node IDs, so that a scene that is saved, loaded or merged into another keeps them right.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import slicer

from MedSegTrainerUI.slicer_types import Node, SegmentationNode, VolumeNode

PARAMETER = "rows"
NOT_IN_NAMES = '/\\:*?"<>|'


@dataclass(frozen=True, kw_only=True)
class CaseRow:
    """A case: nodes of the scene, or files.

    volumes: vtkMRMLScalarVolumeNode, one a channel, the first is the reference. segmentation: the node or None.
    images, label: paths instead, of a data set on disk; ``segments`` are then the names of its classes, ``values``
    their numbers in its label maps.
    """

    name: str
    use: bool = True
    volumes: tuple[VolumeNode, ...] = ()
    segmentation: SegmentationNode = None
    images: tuple[str, ...] = ()
    label: str = ""
    segments: tuple[str, ...] = ()
    values: tuple[int, ...] = ()


def read_rows(parameterNode: Node) -> list[CaseRow]:
    """The remembered rows in their order; a row of which a node was removed from the scene is not among them."""
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
        rows.append(CaseRow(volumes=volumes, segmentation=segmentation, **{**values, **lists}))
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
        }
        for row in rows
    ]
    with slicer.util.NodeModify(parameterNode):
        for index, entry in enumerate(_entries(parameterNode)):
            for channel in range(entry["volumes"]):
                parameterNode.SetNodeReferenceID(_volume_role(index, channel), None)
            parameterNode.SetNodeReferenceID(_segmentation_role(index), None)
        for index, row in enumerate(rows):
            for channel, volume in enumerate(row.volumes):
                parameterNode.SetNodeReferenceID(_volume_role(index, channel), volume.GetID())
            if row.segmentation is not None:
                parameterNode.SetNodeReferenceID(_segmentation_role(index), row.segmentation.GetID())
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


def _entries(parameterNode: Node) -> list[dict[str, Any]]:
    return json.loads(parameterNode.GetParameter(PARAMETER) or "[]")


# a role of its own for each node: in a list of references the others would move up when a node is removed
def _volume_role(index: int, channel: int) -> str:
    return f"row{index}.volume{channel}"


def _segmentation_role(index: int) -> str:
    return f"row{index}.segmentation"
