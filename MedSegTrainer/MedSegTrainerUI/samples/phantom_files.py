"""The phantoms as files, which are made when a script asks Sample Data for them by name.

Slicer's ``SampleDataLogic.downloadFromSource`` does not know the function that a click calls: it takes addresses. Those
of the phantoms are rewritten to files that are made at this moment.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

import slicer

ADDRESS = "https://localhost/MedSegTrainer/"
VOLUME, SEGMENTATION = ".nrrd", ".seg.nrrd"


def phantom_source(count: int, labelled: int) -> dict[str, list[str]]:
    """What Sample Data wants to know: ``count`` volumes, and segmentations of the first ``labelled`` of them."""
    names = [f"Phantom {number}" for number in range(1, count + 1)]
    files = [(name, name + VOLUME, "VolumeFile") for name in names]
    files += [(f"{name} segmentation", name + SEGMENTATION, "SegmentationFile") for name in names[:labelled]]
    return {
        "uris": [ADDRESS + quote(file) for _name, file, _kind in files],
        "fileNames": [file for _name, file, _kind in files],
        "nodeNames": [name for name, _file, _kind in files],
        "loadFileTypes": [kind for _name, _file, kind in files],
    }


def made_file(address: str) -> str:
    """The address of the file that stands for one of a phantom; every other address as it is."""
    if not address.startswith(ADDRESS):
        return address
    from MedSegTrainerUI.samples.phantom_volumes import CLASSES, make_phantom_volume
    from MedSegTrainerUI.scene.segment_header import name_segments
    from MedSegTrainerUI.scene.volumes import array_image, write_image

    path = Path(slicer.app.temporaryPath) / "MedSegTrainerPhantoms" / unquote(address[len(ADDRESS) :])
    number, is_label = int(path.name.partition(".")[0].rpartition(" ")[2]), path.name.endswith(SEGMENTATION)
    path.parent.mkdir(parents=True, exist_ok=True)
    phantom = make_phantom_volume(number - 1)
    write_image(array_image(phantom.labels if is_label else phantom.voxels), phantom.ijk_to_ras, path)
    if is_label:
        name_segments(path, CLASSES)
    return path.as_uri()
