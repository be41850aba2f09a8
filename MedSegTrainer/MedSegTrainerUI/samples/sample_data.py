"""Data to try the module with, in Slicer's Sample Data module: made-up abdomens, and hippocampi from the network."""

from __future__ import annotations

import logging
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError, MedSegError
from MedSegTrainerUI.samples import phantom_files
from MedSegTrainerUI.slicer_types import Node, QtObject, SegmentationNode, VolumeNode, VtkObject

CATEGORY = "MedSegTrainer"
ICONS = Path(__file__).resolve().parents[2] / "Resources" / "Icons"
LABELLED_PHANTOMS, PHANTOMS = 3, 4
LABELLED_HIPPOCAMPI, HIPPOCAMPI = 5, 6

# Medical Segmentation Decathlon, Task04, CC-BY-SA 4.0 (http://medicaldecathlon.com). The address is its place in
# the Registry of Open Data on AWS (https://registry.opendata.aws/msd); the checksum is the one that MONAI's
# DecathlonDataset expects of the same file.
HIPPOCAMPUS_URL = "https://msd-for-monai.s3-us-west-2.amazonaws.com/Task04_Hippocampus.tar"
HIPPOCAMPUS_FILE = "Task04_Hippocampus.tar"
HIPPOCAMPUS_CHECKSUM = "MD5:9d24dba78a72977dbd1d2e110310f31b"
HIPPOCAMPUS_MEMBER = re.compile(r"(?:\./)?Task04_Hippocampus/(imagesTr|labelsTr)/(hippocampus_\d{3})\.nii\.gz")
LARGEST_MEMBER = 4 << 20  # bytes; the files have some ten thousand
ANTERIOR, POSTERIOR = 1, 2
HIPPOCAMPUS_CLASSES = (
    LabelClass(value=ANTERIOR, name="anterior", color=(240, 170, 60)),
    LabelClass(value=POSTERIOR, name="posterior", color=(70, 150, 230)),
)


def register_sample_data() -> None:
    """Adds both data sets to the Sample Data module; doing it again changes nothing."""
    import SampleData

    logic = SampleData.SampleDataLogic
    if hasattr(logic, "registerCustomSampleDataCategory"):  # Slicer 5.12 and later
        logic.registerCustomSampleDataCategory(CATEGORY, title=_("MedSegTrainer"))
    if hasattr(logic, "registerUrlRewriteRule"):  # scripts get the phantoms by their name
        logic.registerUrlRewriteRule(CATEGORY, phantom_files.made_file)
    _forget_earlier_registration()
    archive = {"uris": HIPPOCAMPUS_URL, "fileNames": HIPPOCAMPUS_FILE, "nodeNames": "MSDHippocampus"}
    phantoms = phantom_files.phantom_source(PHANTOMS, LABELLED_PHANTOMS)
    for name, files, download, picture in (
        ("MedSegTrainerPhantoms", phantoms, download_phantoms, "SamplePhantoms.png"),
        # a script that asks for it by its name gets the path of the archive
        ("MSDHippocampus", {**archive, "loadFiles": False}, download_hippocampi, "SampleHippocampus.png"),
    ):
        logic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=name,
            thumbnailFileName=str(ICONS / picture),
            customDownloader=download,
            **files,
        )


def download_phantoms(source: object = None) -> list[VolumeNode]:
    """What a click in Sample Data does: three labelled phantoms and one to apply the model to."""
    return _reported(load_phantoms)


def download_hippocampi(source: object = None) -> list[VolumeNode]:
    """What a click in Sample Data does: the archive comes into Slicer's cache, its first cases into the scene."""

    def load() -> list[VolumeNode]:
        archive = (HIPPOCAMPUS_URL, HIPPOCAMPUS_FILE, HIPPOCAMPUS_CHECKSUM)
        return load_hippocampi(Path(_sample_data_logic().downloadFileIntoCache(*archive)))

    return _reported(load)


def load_phantoms() -> list[VolumeNode]:
    """Adds the volumes and segmentations to the scene and gives the volumes; the last has no segmentation."""
    from MedSegTrainerUI.samples.phantom_volumes import CLASSES, make_phantom_volume

    volumes = []
    for seed in range(PHANTOMS):
        phantom = make_phantom_volume(seed)
        volume = slicer.util.addVolumeFromArray(phantom.voxels, phantom.ijk_to_ras, f"Phantom {seed + 1}")
        if seed < LABELLED_PHANTOMS:
            _add_segmentation(volume, phantom.labels, phantom.ijk_to_ras, CLASSES)
        volumes.append(volume)
    _show(volumes)
    return volumes


def load_hippocampi(archive: Path) -> list[VolumeNode]:
    """Adds the first cases of the Decathlon's archive to the scene and gives the volumes.

    The last has no segmentation, to apply the model to. Raises DataError, and leaves the scene as it was.
    """
    from MedSegTrainerUI.scene.volumes import volume_geometry

    volumes: list[VolumeNode] = []
    with tempfile.TemporaryDirectory() as folder, _nothing_half_done() as added:
        for name, image, label in _extract_hippocampi(archive, Path(folder)):
            volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
            added.append(volume)
            _read_volume(image, volume)
            volume.CreateDefaultDisplayNodes()
            if len(volumes) < LABELLED_HIPPOCAMPI:
                labels = slicer.vtkMRMLLabelMapVolumeNode()
                _read_volume(label, labels)
                values, ijk_to_ras = slicer.util.arrayFromVolume(labels), volume_geometry(labels).ijk_to_ras
                added.append(_add_segmentation(volume, values, ijk_to_ras, HIPPOCAMPUS_CLASSES))
            volumes.append(volume)
    _show(volumes)
    return volumes


def _extract_hippocampi(archive: Path, folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """Name, image and label map of the first cases, written to ``folder`` under names made here."""
    members = _read_members(archive)
    names = sorted(name for kind, name in members if kind == "labelsTr" and ("imagesTr", name) in members)
    if len(names) < HIPPOCAMPI:
        raise DataError(
            _("{file} is not the archive of hippocampus volumes. Remove it and download it again.").format(file=archive)
        )
    for name in names[:HIPPOCAMPI]:
        paths = []
        for kind in ("imagesTr", "labelsTr"):
            path = folder / f"{name}-{kind}.nii.gz"
            path.write_bytes(members[kind, name])
            paths.append(path)
        yield name, paths[0], paths[1]


def _read_members(archive: Path) -> dict[tuple[str, str], bytes]:
    """Content of the wanted files by folder and case; whatever else an archive may hold is not touched."""
    members = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                match = HIPPOCAMPUS_MEMBER.fullmatch(member.name)
                if match is None or not member.isreg() or member.size > LARGEST_MEMBER:
                    continue
                stream = tar.extractfile(member)
                if stream is not None:
                    members[match[1], match[2]] = stream.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        text = _("{file} is not a whole archive. Remove it where it is still there, and download it again.")
        raise DataError(text.format(file=archive)) from error
    return members


def _read_volume(path: Path, node: Node) -> None:
    """Reads a file into a node that will not know where it came from: the file is a temporary one."""
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    storage.SetSingleFile(True)
    if not storage.ReadData(node) or node.GetImageData() is None:
        raise DataError(_("{name} cannot be read. Download the data again.").format(name=path.name))


@contextmanager
def _nothing_half_done() -> Iterator[list[Node]]:
    """A list for nodes that are removed again when an error ends the block."""
    added: list[Node] = []
    try:
        yield added
    except BaseException:
        for node in added:
            for part in (node.GetDisplayNode(), node):
                if part is not None:
                    slicer.mrmlScene.RemoveNode(part)
        raise


def _add_segmentation(
    volume: VolumeNode, labels: VtkObject, ijk_to_ras: VtkObject, classes: Sequence[LabelClass]
) -> SegmentationNode:
    """A segmentation in the volume's geometry from labels (k, j, i)."""
    from MedSegTrainerUI.scene.import_segments import add_layers
    from MedSegTrainerUI.scene.label_files import LabelMap

    label_map = LabelMap(array=labels, ijk_to_ras=ijk_to_ras)
    return add_layers([label_map], classes, volume, name=f"{volume.GetName()} segmentation")


def _show(volumes: Sequence[VolumeNode]) -> None:
    """The first volume in the slice views; all of them lie about the same place, so only its segments are shown."""
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        drawn_on = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
        if drawn_on in volumes[1:]:
            node.GetDisplayNode().SetVisibility(False)
    slicer.util.setSliceViewerLayers(background=volumes[0], fit=True)


def _reported(load: Callable[[], list[VolumeNode]]) -> list[VolumeNode]:
    """What ``load`` gives, or nothing and a line in the log of Sample Data that says why."""
    logic = _sample_data_logic()
    try:
        volumes = load()
    except (MedSegError, ValueError, OSError) as error:
        logic.logMessage(_("This sample data could not be loaded: {error}").format(error=error), logging.ERROR)
        return []
    names = ", ".join(volume.GetName() for volume in volumes)
    logic.logMessage(_("Loaded {names}; the last one has no segmentation.").format(names=names), logging.INFO)
    return volumes


def _sample_data_logic() -> QtObject:
    """The one of the Sample Data panel where that is open, whose log shows how far a download is."""
    import SampleData

    return getattr(getattr(slicer.modules, "SampleDataWidget", None), "logic", None) or SampleData.SampleDataLogic()


def _forget_earlier_registration() -> None:
    """After a reload of the module the functions are others: the old ones must not stay beside them."""
    getattr(slicer.modules, "sampleDataSources", {}).pop(CATEGORY, None)
