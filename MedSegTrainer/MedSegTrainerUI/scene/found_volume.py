"""A volume found again that a job was made from: by its voxels and where they lie, whatever it is called by then."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import DataError, MedSegError
from MedSegTrainerUI.scene.volumes import volume_array, volume_geometry
from MedSegTrainerUI.slicer_types import VolumeNode

SAME_PLACE_MM = 1e-3
MOST_VOXELS = 1_000_000
ENTRY_KEYS = {"volume", "name", "size", "ijk_to_ras", "voxels"}


def find_volume(entry: Mapping[str, Any], *, same_scene: bool) -> VolumeNode:
    """The volume that a case was made from: in the same scene by its ID, else by its voxels, whatever it is called.

    In another scene the ID, and even the name, may be that of another patient. Raises DataError where it is not there.
    """
    same_id = slicer.mrmlScene.GetNodeByID(entry["volume"]) if same_scene else None
    if same_id is not None and same_id.IsA("vtkMRMLScalarVolumeNode"):
        if _is_as(same_id, entry):
            return same_id
        raise DataError(
            _(
                "The volume {name} has other voxels than when the model was applied, so that the result does not fit. "
                "Apply the model again; where it is a sequence, show that frame again and import the result, which is "
                "kept."
            ).format(name=same_id.GetName())
        )
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        if _is_as(node, entry):
            return node
    raise DataError(
        _("The volume {name} is not in the scene. The result is kept: load the volume, then import it.").format(
            name=entry["name"]
        )
    )


def _voxels(volume: VolumeNode) -> int:
    """A number that tells volumes of the same size apart: a checksum of a million voxels at most."""
    values = volume_array(volume).ravel()
    return zlib.crc32(np.ascontiguousarray(values[:: values.size // MOST_VOXELS + 1]).tobytes())


def _is_as(volume: VolumeNode, entry: Mapping[str, Any]) -> bool:
    """Whether it lies where the volume of a case lay, with the same voxels."""
    try:
        geometry = volume_geometry(volume)
    except MedSegError:
        return False
    lies_there = list(geometry.size) == entry["size"] and np.allclose(
        geometry.ijk_to_ras, entry["ijk_to_ras"], rtol=0, atol=SAME_PLACE_MM
    )
    return bool(lies_there) and _voxels(volume) == entry["voxels"]


def volume_entry(volume: VolumeNode) -> dict[str, Any]:
    """What ``find_volume`` needs to find it again, and its name, for the record of a job."""
    geometry = volume_geometry(volume)
    return {
        "volume": volume.GetID(),
        "name": volume.GetName(),
        "imported": "",
        "size": [int(count) for count in geometry.size],
        "ijk_to_ras": geometry.ijk_to_ras.tolist(),
        "voxels": _voxels(volume),
    }
